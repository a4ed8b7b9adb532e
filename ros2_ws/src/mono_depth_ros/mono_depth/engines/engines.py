"""The engines of a loaded model: chosen, checked and reported on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mono_depth.engines import choice
from mono_depth.engines.background import BackgroundBuilder
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.engine_report import EngineReport
from mono_depth.engines.protocol import BuildContext, EngineError, Plan
from mono_depth.engines.runner import EngineRunner
from mono_depth.engines.trial_images import show, trial_images
from mono_depth.models.protocol import DepthModel, HasNetworks
from mono_depth.models.replaceable_net import DEPTH, OnnxFile, ReplaceableNet
from mono_depth.models.store.registry import ModelEntry
from mono_depth.system.machine import device_name
from mono_depth.system.threads import on_one_thread, usable_cores

_TORCH = Plan(engine="torch", precision="fp32")
_ONNX = Plan(engine="onnxruntime", precision="fp32")
_PATIENCE_S = 2.0  # with an engine in the making whose memory is wanted back


class Engines:
    """Puts engines under the networks of models, and knows what runs.

    A model has one network, or several: one that completes depth and one that guesses, or one for
    images and one for hints.
    """

    def __init__(
        self,
        *,
        engine: str = "auto",
        precision: str = "auto",
        device: torch.device,
        threads: int = 0,
        weights_folder: Path | None = None,
        is_live: bool = False,
    ) -> None:
        """Find out what this machine can run.

        Args:
            engine: auto, torch, openvino or onnxruntime.
            precision: auto, fp32, bf16, fp16 or int8.
            device: where networks run.
            threads: CPU threads; 0 = one for each core.
            weights_folder: built engines are kept in `engines` there; None = the default.
            is_live: frames must not wait while an engine is built for an input of a new size.

        Raises:
            EngineError: what is asked for cannot be had on this machine.
        """
        self._plans = choice.plans(engine, precision, device)
        self._is_auto = engine == "auto" and precision == "auto"
        self._builder = BackgroundBuilder() if is_live else None
        self._why_alone = _why_alone(device) if self._is_auto else "as configured"
        folder = None if weights_folder is None else weights_folder / "engines"
        self._context = BuildContext(
            device=device,
            device_name=device_name(device),
            threads=threads or usable_cores(),
            store=EngineCache(folder),
        )
        self._runners: list[EngineRunner] = []

    def fit(self, model: HasNetworks, entry: ModelEntry) -> None:
        """Let the engines run the networks of a model.

        Raises:
            EngineError: the engine that is asked for cannot run an ONNX file.
        """
        for net in model.networks:
            runner = self._runner(net, entry, model.weights_sha256)
            net.call = runner
            self._runners.append(runner)

    def _runner(
        self, net: ReplaceableNet[nn.Module | OnnxFile], entry: ModelEntry, sha256: str
    ) -> EngineRunner:
        is_module = isinstance(net.module, nn.Module)
        plans = self._plans if is_module else _without_torch(self._plans)
        if not plans and not self._is_auto:
            wanted = ", ".join(map(str, self._plans))
            raise EngineError(
                f"{entry.name} is an ONNX file, which {wanted} cannot run: use engine openvino or "
                "onnxruntime"
            )
        return EngineRunner(
            net,
            entry,
            sha256,
            plans if net.part == DEPTH else self._in_floating_point(plans),
            _TORCH if is_module else _ONNX,
            self._context,
            why_alone=self._why_alone,
            is_auto=self._is_auto,
            builder=self._builder,
        )

    def _in_floating_point(self, plans: Sequence[Plan]) -> list[Plan]:
        """Return what an engine that has int8 for the main network runs the others with."""
        found: list[Plan] = []
        for plan in plans:
            if plan.precision == "int8":
                found += choice.plans(plan.engine, "auto", self._context.device)
            else:
                found.append(plan)
        return found

    @on_one_thread
    def prepare(self, model: DepthModel) -> None:
        """Show the built-in images to a model; where frames must not wait, build its engines.

        Raises:
            FrameError: the model fails on them.
        """
        for runner in self._runners:
            runner.record()
        try:
            with torch.inference_mode():
                for rgb in trial_images():
                    show(model, rgb)
        finally:
            for runner in self._runners:
                runner.stop_recording()
        if self._builder is not None:
            for runner in self._runners:
                runner.build()

    def overflow(self) -> torch.Tensor | None:
        """Return, once, by how much the newest outputs overflowed; None = none can.

        A scalar on the device, 0 or less where they did not: see `EngineRunner.take_excess`.
        """
        taken = [runner.take_excess() for runner in self._runners]
        found = [excess for excess in taken if excess is not None]
        return torch.stack(found).amax() if found else None

    def give_up_fp16(self, share: float) -> None:
        """Use no engine in fp16 from now on; `share` of an output was lost with one."""
        for runner in self._runners:
            runner.give_up_fp16(share)

    def reports(self) -> list[EngineReport]:
        """Return what runs each network that was called."""
        found = [runner.report() for runner in self._runners]
        return [report for report in found if report is not None]

    def release(self) -> None:
        """Let go of all networks and engines, which cannot be called any more.

        A frame waits for it: what a compiler still works on, for minutes maybe, is left behind.
        """
        if self._builder is not None:
            self._builder.close(timeout_s=_PATIENCE_S)
        for runner in self._runners:
            runner.release()

    def close(self) -> None:
        """Wait for engines in the making."""
        if self._builder is not None:
            self._builder.close()


def _why_alone(device: torch.device) -> str:
    package = "openvino" if device.type == "cpu" else "onnxruntime-gpu"
    return f"nothing faster is installed: pip install {package}"


def _without_torch(plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans for a network that is an ONNX file."""
    return [plan for plan in plans if plan.engine != "torch"]

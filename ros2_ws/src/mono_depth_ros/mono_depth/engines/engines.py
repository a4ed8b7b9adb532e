"""The engines of a loaded model: chosen, checked and reported on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mono_depth.engines import choice
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.protocol import BuildContext, EngineError, Plan
from mono_depth.engines.report import EngineReport
from mono_depth.engines.runner import EngineRunner
from mono_depth.engines.trial_images import trial_images
from mono_depth.models.protocol import DepthCompleter, DepthModel
from mono_depth.models.store.registry import ModelEntry
from mono_depth.system.machine import device_name
from mono_depth.system.threads import on_one_thread, usable_cores

_TORCH = Plan(engine="torch", precision="fp32")
_ONNX = Plan(engine="onnxruntime", precision="fp32")


class Engines:
    """Puts engines under the networks of models, and knows what runs.

    A model has one network, or several: one that completes depth and one that guesses.
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
        self._is_live = is_live
        self._why_alone = (
            "nothing faster is installed: pip install openvino"
            if self._is_auto
            else "as configured"
        )
        folder = None if weights_folder is None else weights_folder / "engines"
        self._context = BuildContext(
            device=device,
            device_name=device_name(device),
            threads=threads or usable_cores(),
            store=EngineCache(folder),
        )
        self._runners: list[EngineRunner] = []

    def fit(self, model: DepthModel | DepthCompleter, entry: ModelEntry) -> None:
        """Let the engines run the network of a model, if it has one of its own.

        Raises:
            EngineError: the engine that is asked for cannot run an ONNX file.
        """
        holder: Any = model
        net = getattr(holder, "net", None)
        if net is None:
            return
        is_module = isinstance(net, nn.Module)
        identity = {
            "name": entry.name,
            "family": entry.family,
            "sha256": model.weights_sha256,
            "net": net if is_module else None,
            "onnx_path": None if is_module else net.path,
        }
        reference = _TORCH if is_module else _ONNX
        plans = self._plans if is_module else _without_torch(self._plans)
        if not plans and not self._is_auto:
            wanted = ", ".join(map(str, self._plans))
            raise EngineError(
                f"{entry.name} is an ONNX file, which {wanted} cannot run: use engine openvino or "
                "onnxruntime"
            )
        holder.net = EngineRunner(
            net,
            identity,
            plans,
            reference,
            self._context,
            why_alone=self._why_alone,
            is_auto=self._is_auto,
            is_live=self._is_live,
        )
        self._runners.append(holder.net)

    @on_one_thread
    def prepare(self, model: DepthModel) -> None:
        """Show the built-in pictures to a model; where frames must not wait, build its engines.

        Raises:
            FrameError: the model fails on them.
        """
        for runner in self._runners:
            runner.record()
        try:
            with torch.inference_mode():
                for rgb in trial_images():
                    model.infer(torch.from_numpy(rgb).to(model.device), None)
        finally:
            for runner in self._runners:
                runner.stop_recording()
        if self._is_live:
            for runner in self._runners:
                runner.build()

    def reports(self) -> list[EngineReport]:
        """Return what runs each network that was called."""
        found = [runner.report() for runner in self._runners]
        return [report for report in found if report is not None]

    def release(self) -> None:
        """Let go of all networks and engines, which cannot be called any more."""
        self.close()
        for runner in self._runners:
            runner.release()

    def close(self) -> None:
        """Wait for engines in the making."""
        for runner in self._runners:
            runner.close()


def _without_torch(plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans for a network that is an ONNX file."""
    return [plan for plan in plans if plan.engine != "torch"]

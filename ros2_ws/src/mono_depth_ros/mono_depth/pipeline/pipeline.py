"""From camera frame to depth, in the order the stages run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, Mask, MotionPoints, Prediction, ScaleStatus
from mono_depth.engines.engine_report import EngineReport
from mono_depth.engines.engines import Engines
from mono_depth.errors import ModelError
from mono_depth.models.informative import check_informative
from mono_depth.models.protocol import DepthModel
from mono_depth.outputs.depth_result import DepthLimits, DepthResult
from mono_depth.pipeline.memory_fallback import ModelLoader
from mono_depth.pipeline.motion_stage import MotionStage
from mono_depth.pipeline.own_metres import OwnMetres
from mono_depth.pipeline.predict import predict
from mono_depth.scale.kinds import to_relative
from mono_depth.scale.scale_shift import METRIC_KINDS
from mono_depth.scale.tracker import ScaleTracker
from mono_depth.system.threads import on_one_thread, torch_threads, usable_cores
from mono_depth.temporal.filter import TemporalFilter
from mono_depth.temporal.relative import RelativeFilter


class DepthPipeline:
    """Runs one model and the stages behind it. Not thread-safe: one worker owns it."""

    def __init__(
        self, model: DepthModel, config: PipelineConfig, engines: Engines | None = None
    ) -> None:
        """Run `model`; `engines` runs its networks, None = they run by themselves."""
        self.model = model
        self._engines = engines
        self._loader: ModelLoader | None = None
        self._config = config
        self._scale = ScaleTracker()
        self._own_metres = OwnMetres()
        self._motion = MotionStage()
        self._source_scale: tuple[str, float] | None = None  # of the newest frame
        self._metric_past = TemporalFilter()
        self._relative_past = RelativeFilter()
        # Engines have threads of their own; what is before and after them is small.
        self._network_threads = 1 if engines else config.threads or usable_cores()

    @classmethod
    def from_loader(cls, loader: ModelLoader, config: PipelineConfig) -> DepthPipeline:
        """Run what `loader` loads, now and again when the memory of the GPU is spent."""
        loaded = loader.load()
        pipeline = cls(loaded.model, config, loaded.engines)
        pipeline._loader = loader
        return pipeline

    @property
    def memory_problem(self) -> str:
        """What was given up for lack of memory, "" = nothing."""
        return "" if self._loader is None else self._loader.problem

    def engine_reports(self) -> list[EngineReport]:
        """Return what runs the networks of the model."""
        return [] if self._engines is None else self._engines.reports()

    def close(self) -> None:
        """Wait for what goes on in the background."""
        if self._engines is not None:
            self._engines.close()

    def reconfigure(self, config: PipelineConfig) -> None:
        """Use the live values of `config` from the next frame on."""
        self._config = config

    @on_one_thread
    def process(self, frame: Frame) -> DepthResult:
        """Return the depth of `frame`, with its size and stamp.

        Raises:
            FrameError: the model cannot take the frame, or its output says nothing.
            ModelError: the memory does not suffice, and there is no further way.
        """
        if self._loader is not None and self._loader.has_failed:
            raise ModelError(self._loader.problem)
        config, watch = self._config, _StopWatch(self.model.device)
        with torch.inference_mode():
            rgb = torch.from_numpy(frame.rgb).to(self.model.device, non_blocking=True)
            watch.lap("upload")
            motion = self._motion.points(frame, config)
            watch.lap("motion")
            try:
                prediction, completed = self._predict(frame, rgb, motion)
                reason = ""
            except torch.cuda.OutOfMemoryError as error:
                reason = str(error).partition("\n")[0]
            if reason:  # by now the failed attempt has let go of its memory
                self._step_down(reason)
                rgb = rgb.to(self.model.device)
                prediction, completed = self._predict(frame, rgb, motion)
            with torch_threads(self._network_threads):
                conflict = self._own_metres.conflict(self.model, frame, rgb, prediction)
            watch.lap("infer")
            check_informative(prediction)
            depth_m, scale = self._scale.update(prediction, frame, config.scale, motion)
            scale = replace(scale, conflict=conflict or scale.conflict)
            self._follow_source(scale, prediction)
            relative = to_relative(prediction)
            watch.lap("scale")
            past = self._with_past(depth_m, relative, prediction.confidence, rgb, frame)
            watch.lap("temporal")
        return DepthResult(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            rgb=frame.rgb,
            rgb_tensor=rgb,
            intrinsics=frame.intrinsics,
            scale=scale,
            limits=_limits(config),
            kind=prediction.kind,
            is_visible=_mask_on(frame.is_visible, self.model.device),
            temporal=past.mode,
            temporal_reset=past.reset,
            temporal_doubt=past.doubt,
            is_guided=config.refine.mode == "guided",
            network_depth_m=past.depth_m,
            network_relative=past.relative,
            network_confidence=past.confidence,
            network_mask=prediction.mask,
            network_reasons=prediction.reasons,
            completed=completed,
            motion=motion,
            stage_ms=watch.stage_ms,
        )

    def _predict(
        self, frame: Frame, rgb: torch.Tensor, motion: MotionPoints | None
    ) -> tuple[Prediction, str]:
        with torch_threads(self._network_threads):
            return predict(self.model, frame, rgb, self._config.completion, motion)

    def _step_down(self, reason: str) -> None:
        """Load the model anew so that it needs less memory.

        Raises:
            ModelError: there is no further way, or none works.
        """
        loader, device = self._loader, self.model.device
        if loader is None or loader.is_exhausted:
            raise ModelError(f"out of memory on {device}: {reason}")
        if self._engines is not None:
            self._engines.release()
        self.reset()
        loader.give_up(f"{device}: {reason}")
        loaded = loader.load()
        self.model, self._engines = loaded.model, loaded.engines

    def reset(self) -> None:
        """Forget earlier frames."""
        self._scale.reset()
        self._own_metres.reset()
        self._motion.reset()
        self._source_scale = None
        self._metric_past.reset()
        self._relative_past.reset()

    def _follow_source(self, scale: ScaleStatus, prediction: Prediction) -> None:
        """Bring the memory to the metres of another source at once, instead of in seconds."""
        now = (scale.source, scale.scale)
        if prediction.kind not in METRIC_KINDS or not (scale.is_metric and scale.scale > 0.0):
            self._source_scale = None
            return
        last, self._source_scale = self._source_scale, now
        if last is not None and last[0] != now[0]:
            self._metric_past.rescale(now[1] / last[1])

    def _with_past(
        self,
        depth_m: torch.Tensor | None,
        relative: torch.Tensor,
        confidence: torch.Tensor | None,
        rgb: torch.Tensor,
        frame: Frame,
    ) -> _Past:
        """Let a temporal filter work on metric depth, or without it on relative depth."""
        config = self._config.temporal
        if config.mode == "none":
            self._metric_past.reset()
            self._relative_past.reset()
            return _Past(
                depth_m=depth_m, relative=relative, confidence=confidence, mode="none", reset=""
            )
        if depth_m is not None and frame.intrinsics is not None:
            self._relative_past.reset()
            filtered = self._metric_past.apply(
                depth_m,
                rgb=rgb,
                intrinsics=frame.intrinsics,
                stamp_ns=frame.stamp_ns,
                T_odom_camera=frame.T_odom_camera,
                config=config,
                longest_gap_s=frame.longest_gap_s,
            )
            depth_m, relative = filtered.values, 1.0 / filtered.values
        else:
            self._metric_past.reset()
            filtered = self._relative_past.apply(
                relative,
                rgb=rgb,
                intrinsics=frame.intrinsics,
                stamp_ns=frame.stamp_ns,
                config=config,
                longest_gap_s=frame.longest_gap_s,
            )
            relative = filtered.values
        rating = filtered.confidence
        if confidence is not None:
            size = rating.shape
            rating = rating * functional.interpolate(confidence[None, None], size)[0, 0]
        return _Past(
            depth_m=depth_m,
            relative=relative,
            confidence=rating,
            mode=filtered.mode,
            reset=filtered.reset,
            doubt=filtered.doubt,
        )


@dataclass(frozen=True, kw_only=True)
class _Past:
    """What the temporal filter made of a frame."""

    depth_m: torch.Tensor | None
    relative: torch.Tensor
    confidence: torch.Tensor | None
    mode: str
    reset: str
    doubt: str = ""


def _limits(config: PipelineConfig) -> DepthLimits:
    beyond = math.inf if config.out_of_range == "inf" else math.nan
    return DepthLimits(min_m=config.min_depth_m, max_m=config.max_depth_m, beyond=beyond)


def _mask_on(mask: Mask | None, device: torch.device) -> torch.Tensor | None:
    return None if mask is None else torch.from_numpy(mask).to(device)


class _StopWatch:
    """Wall time between laps. Waits for the GPU, which otherwise only has its work queued."""

    def __init__(self, device: torch.device) -> None:
        self.stage_ms: dict[str, float] = {}
        self._device = device
        self._last_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Record the time since the lap before as `stage`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now_s = time.perf_counter()
        self.stage_ms[stage] = (now_s - self._last_s) * 1e3
        self._last_s = now_s

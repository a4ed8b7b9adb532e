"""From camera frame to depth, in the order the stages run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from mono_depth.camera.gravity import Vector
from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, Mask, MotionPoints, Prediction, ScaleStatus
from mono_depth.engines.engine_report import EngineReport
from mono_depth.engines.engines import Engines
from mono_depth.errors import ModelError
from mono_depth.models.informative import check_range, finite_range
from mono_depth.models.protocol import DepthModel
from mono_depth.outputs.depth_result import DepthLimits, DepthResult
from mono_depth.pipeline.ahead import predicted_ahead
from mono_depth.pipeline.confidence import pixel_and_scale, rated
from mono_depth.pipeline.image_check import ImageCheck, check_image
from mono_depth.pipeline.memory_fallback import ModelLoader, first_line
from mono_depth.pipeline.motion_stage import MotionStage, with_points
from mono_depth.pipeline.output_form import output_form
from mono_depth.pipeline.own_metres import OwnMetres
from mono_depth.pipeline.predict import could_use, predict
from mono_depth.pipeline.sky import find_sky, nearest_claim
from mono_depth.pipeline.stage_times import StageTimes
from mono_depth.scale.held_scale import HeldScale, HeldScales, OutputForm
from mono_depth.scale.kinds import to_relative
from mono_depth.scale.scale_shift import METRIC_KINDS
from mono_depth.scale.sources import height_m
from mono_depth.scale.tracker import ScaleTracker
from mono_depth.system.gpu_errors import is_out_of_memory
from mono_depth.system.gpu_turns import GPU_TURNS
from mono_depth.system.recorded import Recorded
from mono_depth.system.threads import on_one_thread, torch_threads, usable_cores
from mono_depth.system.transfers import uploaded
from mono_depth.temporal.filter import TemporalFilter
from mono_depth.temporal.relative import RelativeFilter

_LOG = logging.getLogger(__name__)
_LEFT_OUT = (
    "scale.source is fixed: the network gets the image alone, as it did when it was calibrated; "
    "height and gravity, sparse points and sensor depth are left out"
)
_LOST = 1e-3  # of an output, that the engine in fp16 lost to numbers too large for it


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
        self.held_scales: HeldScales | None = None  # of earlier runs; None = none are used
        self.measured_scale: HeldScale | None = None  # the newest that may be held by later runs
        self._own_metres = OwnMetres()
        self._told_left_out = False
        self._motion = MotionStage()
        # Of the newest frame: source, whether it is held from an earlier run, scale.
        self._source_scale: tuple[str, bool, float] | None = None
        self._last_scale: ScaleStatus | None = None
        self._mask: tuple[Mask, torch.Tensor] | None = None  # of the newest frame with one
        self._metric_past = TemporalFilter()
        self._relative_past = RelativeFilter()
        self._rate = Recorded(pixel_and_scale)
        self._ahead: dict[int, Prediction] = {}  # of `process_each`, by the id of the frame
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
        while True:
            try:
                with self.turn():
                    return self._found(frame)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = first_line(error)
            self._step_down(reason)  # by now the failed attempt has let go of its memory

    @on_one_thread
    def process_each(self, frames: Sequence[Frame]) -> list[DepthResult | Exception]:
        """Return the depth of images that have nothing to do with one another.

        The network runs once for all of them where it can; the rest is as `reset` and `process`.

        Returns:
            For each frame its depth, or the error that `process` has for it.
        """
        with self.turn():
            self._ahead = predicted_ahead(self.model, frames, self._network_threads)
        found: list[DepthResult | Exception] = []
        try:
            for frame in frames:
                self.reset()
                try:
                    found.append(self.process(frame))
                except Exception as error:  # noqa: BLE001 - of one image, and told with it
                    found.append(error)
        finally:
            self._ahead = {}
        return found

    def turn(self) -> AbstractContextManager[None]:
        """Return a block in which a frame and its outputs are made, beside no capture of a graph.

        `process` has one of its own; the maps of its result are made when they are asked for.
        """
        return GPU_TURNS.frame(self.model.device)

    def give_way(self, error: Exception) -> bool:
        """Load a model that needs less memory if `error`, of an output of a frame, asks for it.

        Raises:
            ModelError: there is no further way, or none works.
        """
        if not is_out_of_memory(error):
            return False
        self._step_down(first_line(error))
        return True

    def _found(self, frame: Frame) -> DepthResult:
        """Return the depth of `frame` by the model that is loaded now."""
        check = check_image(frame.rgb, frame.is_visible)
        if check.is_blind and frame.sensor_depth_m is None:
            return self._blind(frame, check)
        config, times = self._config, StageTimes(self.model.device)
        with torch.inference_mode():
            rgb = uploaded(frame.rgb, self.model.device)
            times.lap("upload")
            motion = self._motion.points(frame, config)
            times.lap("motion")
            prediction, completed = self._predict(frame, rgb)
            overflow = None if self._engines is None else self._engines.overflow()
            low, high, lost = finite_range(prediction.values, overflow)
            if self._engines is not None and lost > _LOST:
                self._engines.give_up_fp16(lost)
                prediction, completed = self._predict(frame, rgb)
                low, high, _ = finite_range(prediction.values)
            conflict = self._own_metres.conflict(self.model, frame, prediction)
            times.lap("infer")
            check_range(low, high)
            form = output_form(self.model, frame, prediction, completed, config)
            earlier = self._earlier_scale(form)
            # unless asked for, the scale stays that of mode off: a larger one puts movers farther
            told = motion if config.scale.source == "odometry" else None
            depth_m, scale = self._scale.update(prediction, frame, config.scale, earlier, told)
            scale = replace(scale, conflict=conflict or scale.conflict, image_allows=check.allows)
            scale = self._with_what_was_left_out(scale, frame)
            self._note_measured(scale, form)
            self._last_scale = scale
            self._follow_source(scale, prediction)
            relative = to_relative(prediction)
            times.lap("scale")
            moved_m = with_points(depth_m, scale, motion, frame.intrinsics)
            if moved_m is not None and moved_m is not depth_m:
                depth_m, relative = moved_m, 1.0 / moved_m
            times.lap("correction")
            past = self._with_past(depth_m, relative, prediction.confidence, frame, motion)
            times.lap("temporal")
            confidence = rated(
                past.confidence,
                past.depth_m,
                prediction,
                scale,
                completed=completed,
                clarity=check.clarity,
                run=self._rate,
            )
            sky = self._sky(past.depth_m, prediction, frame, check)
            times.lap("trust")
        return DepthResult(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            rgb=frame.rgb,
            rgb_tensor=rgb,
            intrinsics=frame.intrinsics,
            scale=scale,
            limits=_limits(config),
            kind=prediction.kind,
            is_visible=self._mask_there(frame.is_visible),
            temporal=past.mode,
            temporal_reset=past.reset,
            temporal_doubt=past.doubt,
            is_guided=config.refine.mode == "guided",
            network_depth_m=past.depth_m,
            network_relative=past.relative,
            network_confidence=confidence,
            own_confidence=prediction.confidence,
            image_problem=check.problem,
            network_sky=None if sky is None else uploaded(sky, self.model.device),
            sky_share=0.0 if sky is None else float(sky.mean()),
            network_mask=prediction.mask,
            network_reasons=prediction.reasons,
            completed=completed,
            motion=motion,
            gravity_camera=_gravity(frame),
            camera_height_m=height_m(frame, config.scale) or None,
            stage_ms=times,
        )

    @staticmethod
    def _sky(
        depth_m: torch.Tensor | None, prediction: Prediction, frame: Frame, check: ImageCheck
    ) -> Mask | None:
        """Return where sky is; without metres nothing is known to be far."""
        if depth_m is None or frame.intrinsics is None or check.clarity == 0.0:
            return None
        claimed_m = nearest_claim(depth_m, prediction)
        gravity = frame.gravity_camera
        return find_sky(frame.rgb, claimed_m, frame.intrinsics, gravity, frame.is_visible)

    def _blind(self, frame: Frame, check: ImageCheck) -> DepthResult:
        """Return that nothing is known; what a network says of a covered lens is a guess."""
        self._metric_past.reset()
        self._relative_past.reset()
        self._motion.reset()
        nothing = ScaleStatus(source="none", state="uninitialised", reason=check.problem)
        scale = replace(self._last_scale or nothing, image_allows=check.allows)
        unknown = torch.full((1, 1), torch.nan, device=self.model.device)
        return DepthResult(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            rgb=frame.rgb,
            rgb_tensor=uploaded(frame.rgb, self.model.device),
            intrinsics=frame.intrinsics,
            scale=scale,
            limits=_limits(self._config),
            kind=self.model.kind,
            network_depth_m=unknown if scale.is_metric else None,
            network_relative=unknown,
            network_confidence=None,
            image_problem=check.problem,
        )

    def _predict(self, frame: Frame, rgb: torch.Tensor) -> tuple[Prediction, str]:
        config = self._config
        ahead = self._ahead.pop(id(frame), None)
        if ahead is not None:
            return ahead, ""
        with torch_threads(self._network_threads):
            return predict(
                self.model,
                frame,
                rgb,
                config.completion,
                image_alone=config.scale.source == "fixed",
            )

    def _with_what_was_left_out(self, scale: ScaleStatus, frame: Frame) -> ScaleStatus:
        """Say that a fixed scale keeps the network from what else is known."""
        config = self._config
        if config.scale.source != "fixed" or not could_use(self.model, frame, config.completion):
            return scale
        if not self._told_left_out:
            _LOG.warning(_LEFT_OUT)
            self._told_left_out = True
        return replace(scale, last_reject=_LEFT_OUT)

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
        self._source_scale = self._last_scale = None
        self._metric_past.reset()
        self._relative_past.reset()

    def _follow_source(self, scale: ScaleStatus, prediction: Prediction) -> None:
        """Bring the memory to the metres of another source at once, instead of in seconds."""
        if not (scale.is_metric and scale.scale > 0.0):
            self._source_scale = None
            return
        now = (scale.source, scale.state == "held", scale.scale)
        last, self._source_scale = self._source_scale, now
        if last is None or last[:2] == now[:2]:
            return
        if prediction.kind in METRIC_KINDS:
            self._metric_past.rescale(now[2] / last[2])
        elif last[1] != now[1]:  # scale and shift of an earlier run are another law, not a factor
            self._metric_past.reset()

    def _earlier_scale(self, form: OutputForm | None) -> HeldScale | None:
        if form is None or self.held_scales is None or not self._config.scale.keep:
            return None
        return self.held_scales.find(form)

    def _note_measured(self, scale: ScaleStatus, form: OutputForm | None) -> None:
        if self._config.scale.keep:
            self.measured_scale = HeldScale.of(scale, form, time.time()) or self.measured_scale

    def _mask_there(self, mask: Mask | None) -> torch.Tensor | None:
        """Return a mask on the device; that of a rectified camera is the same in each frame."""
        if mask is None:
            return None
        known = self._mask
        if known is None or known[0] is not mask or known[1].device.type != self.model.device.type:
            known = mask, uploaded(mask, self.model.device)
            self._mask = known
        return known[1]

    def _with_past(
        self,
        depth_m: torch.Tensor | None,
        relative: torch.Tensor,
        confidence: torch.Tensor | None,
        frame: Frame,
        motion: MotionPoints | None,
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
                rgb=frame.rgb,
                intrinsics=frame.intrinsics,
                stamp_ns=frame.stamp_ns,
                T_odom_camera=frame.T_odom_camera,
                config=config,
                longest_gap_s=frame.longest_gap_s,
                corners=None if motion is None else motion.corners,
            )
            depth_m, relative = filtered.values, 1.0 / filtered.values
        else:
            self._metric_past.reset()
            filtered = self._relative_past.apply(
                relative,
                rgb=frame.rgb,
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


def _gravity(frame: Frame) -> Vector | None:
    """Return gravity in the optical frame; z of the odometry points up (REP 103)."""
    if frame.gravity_camera is not None or frame.T_odom_camera is None:
        return frame.gravity_camera
    return np.asarray(-frame.T_odom_camera[2, :3], np.float64)


def _limits(config: PipelineConfig) -> DepthLimits:
    beyond = math.inf if config.out_of_range == "inf" else math.nan
    return DepthLimits(min_m=config.min_depth_m, max_m=config.max_depth_m, beyond=beyond)

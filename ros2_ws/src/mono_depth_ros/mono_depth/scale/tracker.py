"""Metric scale of one camera over time: sources in, metres and their status out."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import (
    Frame,
    Intrinsics,
    MotionPoints,
    OutputKind,
    Prediction,
    ScaleStatus,
)
from mono_depth.errors import FrameError
from mono_depth.scale import sparse_points
from mono_depth.scale.contradiction import HintLeap, contradiction
from mono_depth.scale.held_scale import HeldScale
from mono_depth.scale.kinds import MEASURED, to_metres, with_focal_rule
from mono_depth.scale.scale_filter import ScaleFilter
from mono_depth.scale.scale_shift import IDENTITY, METRIC_KINDS, Pivot, ScaleShift
from mono_depth.scale.sources import ScaleInput, Sources, height_m

_MODEL_SIGMA = 0.25  # of the scale of a model of metres, assumed where nothing measures it
_GROUND_PERIOD_S = 0.09  # the ground is looked at no more often
_CLEARLY = 0.8  # another source takes over when its deviation is below this share
_CONFLICT_SIGMAS = 3.0
_CONFLICT_SHARE = 0.1
_USABLE = ("valid", "degraded")


class ScaleLostError(FrameError):
    """The scale is lost, and `scale.on_loss` wants no output then."""

    def __init__(self, status: ScaleStatus) -> None:
        super().__init__(f"{status.reason} (scale.on_loss is stop)")
        self.status = replace(status, is_usable=False)


class ScaleTracker:
    """Keeps what each source has measured. Not thread-safe: one worker owns it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all measurements."""
        self._filters: dict[str, ScaleFilter] = {}
        self._sources = Sources()
        self._kind: OutputKind | None = None
        self._stamp_ns: int | None = None
        self._pivot: Pivot | None = None
        self._moved = 0.0  # log depth, by hints
        self._hint_leap, self._leap = HintLeap(), ""
        self._is_contradicted = False
        self._in_use = ""
        self._held: ScaleShift | None = None  # of the source that was used last

    def update(
        self,
        prediction: Prediction,
        frame: Frame,
        config: ScaleConfig,
        earlier: HeldScale | None = None,
        motion: MotionPoints | None = None,
    ) -> tuple[torch.Tensor | None, ScaleStatus]:
        """Measure the scale with what is known of `frame` and return its depth.

        A stamp that is not newer than the last one measures nothing.

        Args:
            prediction: of the network.
            frame: what it was made of.
            config: which source, and its limits.
            earlier: what an earlier run measured for this form of output; it is held until a
                source is trusted.
            motion: points for the source odometry; None = it makes its own.

        Returns:
            (h, w) float32 metres, NaN = unknown, or None where there is no metric scale; and
            where the metres come from.

        Raises:
            ConfigError: the source does not fit the model.
            ScaleLostError: the scale is lost and `scale.on_loss` is stop.
        """
        intrinsics = frame.intrinsics
        if intrinsics is None:
            return to_metres(prediction, config, intrinsics=None)
        prediction = with_focal_rule(prediction, config, intrinsics)
        if config.source not in ("auto", *MEASURED):
            depth_m, status = to_metres(prediction, config, intrinsics=intrinsics)
            conflict = self._contradicted(depth_m, status.source, prediction, frame, config)
            if conflict:
                status = replace(status, state="degraded", reason=conflict, conflict=conflict)
            return depth_m, status
        if prediction.kind is not self._kind or self._went_back(frame.stamp_ns, config):
            self.reset()
            self._kind = prediction.kind
        self._measure(prediction, frame, intrinsics, config, motion)
        depth_m, status = self._chosen(prediction, frame, config, earlier)
        conflict = self._conflict(config, frame.stamp_ns)
        is_grave = bool(conflict) and "model" not in conflict
        contradicted = self._contradicted(depth_m, status.source, prediction, frame, config)
        if contradicted and not is_grave:
            conflict, is_grave = contradicted, True
        if is_grave and status.state == "valid":
            status = replace(status, state="degraded", reason=conflict)
        return depth_m, replace(status, conflict=conflict)

    def _contradicted(
        self,
        depth_m: torch.Tensor | None,
        source: str,
        prediction: Prediction,
        frame: Frame,
        config: ScaleConfig,
    ) -> str:
        """Return how the metres contradict the network, "" = not, or two sources agree on them."""
        already, self._is_contradicted = self._is_contradicted, False
        own = source not in MEASURED and prediction.image_only is None
        if depth_m is None or own or source == "fixed":  # which somebody has measured
            return ""
        has_points = sparse_points.has_any(frame) and source != "ground_plane"
        by = "sparse_points" if has_points else source
        name = source if source in MEASURED else "hints"
        found = contradiction(depth_m, prediction, name, by=by, already=already) or self._leap
        self._is_contradicted = bool(found)
        return "" if self._has_witness(source, config, frame.stamp_ns) else found

    def _has_witness(self, source: str, config: ScaleConfig, stamp_ns: int) -> bool:
        """Tell whether another source has measured the same."""
        used = self._filters.get(source)
        return used is not None and any(
            abs(other.level - used.level) < _CONFLICT_SHARE
            for name, other in self._filters.items()
            if name != source and other.state(stamp_ns, config) == "valid"
        )

    def _went_back(self, stamp_ns: int, config: ScaleConfig) -> bool:
        """Tell a clock that started over from a frame that is late."""
        return self._stamp_ns is not None and (self._stamp_ns - stamp_ns) * 1e-9 > config.lost_s

    def _measure(
        self,
        prediction: Prediction,
        frame: Frame,
        intrinsics: Intrinsics,
        config: ScaleConfig,
        motion: MotionPoints | None,
    ) -> None:
        if self._stamp_ns is not None and frame.stamp_ns <= self._stamp_ns:
            return
        asked = self._asked(prediction.kind, frame, config)
        if not asked and not self._filters:
            return
        self._stamp_ns = frame.stamp_ns
        view = ScaleInput.of(prediction, frame, intrinsics, motion)
        self._pivot = None if view is None else view.pivot
        if view is None:
            return
        self._moved = view.moved
        self._leap = self._hint_leap.add(view.moved) if prediction.image_only is not None else ""
        for source in dict.fromkeys((*asked, *self._filters)):
            scale_filter = self._filter_of(source, prediction.kind)
            scale_filter.expire(frame.stamp_ns, config)
            scale_filter.predict(view.pivot, frame.stamp_ns)
            if source in asked and self._is_due(source, frame.stamp_ns):
                found = self._sources.ask(
                    source,
                    view,
                    config,
                    shape=scale_filter.scale_shift,
                    belief=scale_filter.belief,
                    free_slope=scale_filter.sees_slope,
                )
                scale_filter.correct(found, frame.stamp_ns)

    def _filter_of(self, source: str, kind: OutputKind) -> ScaleFilter:
        if source not in self._filters:
            is_metric = kind in METRIC_KINDS
            # the ground, or a few corners, do not tell more than one number well
            self._filters[source] = ScaleFilter(
                is_metric=is_metric,
                sees_slope=source == "sparse_points" or not is_metric,
                y_is_depth=kind is OutputKind.DEPTH_AFFINE,
            )
        return self._filters[source]

    def _asked(self, kind: OutputKind, frame: Frame, config: ScaleConfig) -> list[str]:
        """Return the sources to ask about this frame.

        Following corners is the most work, so automatically it is done only where nothing
        else measures.
        """
        if config.source != "auto":
            return [config.source]
        asked = []
        if sparse_points.has_any(frame):
            asked.append("sparse_points")
        if kind in METRIC_KINDS and height_m(frame, config) > 0.0:
            asked.append("ground_plane")
        others = [
            scale_filter for name, scale_filter in self._filters.items() if name != "odometry"
        ]
        trusted = any(
            scale_filter.state(frame.stamp_ns, config) in _USABLE for scale_filter in others
        )
        if frame.T_odom_camera is not None and not trusted:
            asked.append("odometry")
        return asked

    def _is_due(self, source: str, stamp_ns: int) -> bool:
        scale_filter = self._filters.get(source)
        if source != "ground_plane" or scale_filter is None:
            return True
        return not 0.0 <= scale_filter.age_s(stamp_ns) < _GROUND_PERIOD_S

    def _chosen(
        self,
        prediction: Prediction,
        frame: Frame,
        config: ScaleConfig,
        earlier: HeldScale | None,
    ) -> tuple[torch.Tensor | None, ScaleStatus]:
        """Return the metres of the most certain source."""
        stamp_ns = frame.stamp_ns
        usable = {
            name: scale_filter
            for name, scale_filter in self._filters.items()
            if config.source in ("auto", name) and scale_filter.state(stamp_ns, config) in _USABLE
        }
        if usable:
            best = min(usable, key=lambda name: usable[name].sigma_rel)
            current = usable.get(self._in_use)
            if current and usable[best].sigma_rel > _CLEARLY * current.sigma_rel:
                best = self._in_use
            self._in_use, self._held = best, usable[best].scale_shift
            return self._metres(prediction, self._held), self._status(best, stamp_ns, config)
        if self._in_use and config.source in ("auto", self._in_use):
            return self._lost(prediction, frame, config)
        if earlier is not None and earlier.helps(config, prediction.scale_sigma_rel):
            return self._from_earlier(prediction, stamp_ns, config, earlier)
        waiting = next((name for name in self._filters if config.source in ("auto", name)), "")
        if config.source == "auto":
            depth_m, status = to_metres(prediction, config, intrinsics=frame.intrinsics)
            if depth_m is not None or not waiting:
                reject = self._filters[waiting].last_reject if waiting else ""
                return depth_m, replace(status, last_reject=reject)
        if not waiting:  # the first frame, and it says too little to be measured
            reason = f"{config.source} is uninitialised: nothing measured yet"
            return None, ScaleStatus(source=config.source, state="uninitialised", reason=reason)
        return None, replace(self._status(waiting, stamp_ns, config), is_usable=False)

    def _from_earlier(
        self, prediction: Prediction, stamp_ns: int, config: ScaleConfig, earlier: HeldScale
    ) -> tuple[torch.Tensor | None, ScaleStatus]:
        """Return the metres of an earlier run, or of a source of this one that says nearer."""
        measured = {
            name: scale_filter
            for name, scale_filter in self._filters.items()
            if config.source in ("auto", name)
            and scale_filter.state(stamp_ns, config) == "converging"
        }
        nearer = earlier.nearer(measured, self._pivot)
        if nearer:
            depth_m = self._metres(prediction, measured[nearer].scale_shift)
            return depth_m, self._status(nearer, stamp_ns, config)
        rejects = [item.last_reject for item in self._filters.values() if item.last_reject]
        status = replace(earlier.status(), last_reject=rejects[0] if rejects else "")
        return self._metres(prediction, earlier.scale_shift), status

    def _lost(
        self, prediction: Prediction, frame: Frame, config: ScaleConfig
    ) -> tuple[torch.Tensor | None, ScaleStatus]:
        """Do what the user wants without a scale that there was."""
        status = self._status(self._in_use, frame.stamp_ns, config)
        status = replace(status, state="lost", reason=f"scale lost: {status.reason}")
        if config.on_loss == "stop":
            raise ScaleLostError(status)
        if config.on_loss == "hold":
            return self._metres(prediction, self._held), status
        if config.on_loss == "model" and prediction.kind in METRIC_KINDS:
            return self._metres(prediction, IDENTITY), replace(status, scale=1.0, shift=0.0)
        return None, replace(status, is_usable=False)

    def _metres(
        self, prediction: Prediction, scale_shift: ScaleShift | None
    ) -> torch.Tensor | None:
        return None if scale_shift is None else scale_shift.metres(prediction)

    def _status(self, source: str, stamp_ns: int, config: ScaleConfig) -> ScaleStatus:
        scale_filter = self._filters[source]
        state, scale_shift = scale_filter.state(stamp_ns, config), scale_filter.scale_shift
        age_s = scale_filter.age_s(stamp_ns)
        reason = ""
        if state != "valid":
            age = "nothing measured yet"
            if not math.isinf(age_s):
                age = f"last measured {age_s:.1f} s ago"
            last_reject = scale_filter.last_reject
            refused = f"; last refusal: {last_reject}" if last_reject else ""
            deviation = f"deviation {100.0 * scale_filter.sigma_rel:.0f} %"
            reason = f"{source} is {state}: {age}, {deviation}{refused}"
        is_metric = self._kind in METRIC_KINDS
        return ScaleStatus(
            source=source,
            state=state,
            reason=reason,
            scale=math.nan
            if scale_shift is None
            else 1.0 / scale_shift.gain
            if is_metric
            else scale_shift.gain,
            shift=math.nan if scale_shift is None else scale_shift.shift,
            sigma_rel=scale_filter.sigma_rel,
            age_s=age_s,
            inliers=scale_filter.inliers,
            last_reject=scale_filter.last_reject,
        )

    def _conflict(self, config: ScaleConfig, stamp_ns: int) -> str:
        """Return which two sources contradict one another, "" = none."""
        trusted = [
            (name, scale_filter.level, scale_filter.sigma_rel)
            for name, scale_filter in self._filters.items()
            if scale_filter.state(stamp_ns, config) in _USABLE
        ]
        if self._pivot is not None and self._kind in METRIC_KINDS:
            level = math.log(self._pivot.middle) + self._moved
            trusted.append(("model", level, _MODEL_SIGMA))
        for (name, level, sigma), (other, other_level, other_sigma) in combinations(trusted, 2):
            apart = abs(level - other_level)
            limit = max(_CONFLICT_SIGMAS * math.hypot(sigma, other_sigma), _CONFLICT_SHARE)
            if apart > limit:
                return f"{name} and {other} differ by {100.0 * math.expm1(apart):.0f} %"
        return ""

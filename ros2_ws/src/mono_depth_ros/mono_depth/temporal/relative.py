"""The temporal filter of models without metres: inverse depth known up to scale and shift.

One frame, in order: dense optical flow finds where each pixel was; the growth of inverse depth
of a camera that moves forward is added to the memory; scale and shift of the network are brought
to those of the past, leaking back to the network's own so that they cannot run away; what agrees
is fused. The memory is short, for what flow carries along ages.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import TemporalConfig
from mono_depth.data import Intrinsics
from mono_depth.motion.dense_flow import DenseFlow, DenseFlowEstimator, no_flow
from mono_depth.motion.tracker import grey_of, working_camera
from mono_depth.outputs.upsampling import resized
from mono_depth.system.transfers import downloaded, uploaded
from mono_depth.temporal.approach import (
    MIN_STEADY,
    SignedSurprise,
    Signs,
    SmallMaps,
    stillness_of,
)
from mono_depth.temporal.common_scale import CommonScale
from mono_depth.temporal.filter_input import LONG_SIDE_PX, Filtered, FilterInput
from mono_depth.temporal.forward_motion import STILL, ForwardMotion, forward_motion_of
from mono_depth.temporal.fusion import (
    MIN_SHARE,
    SAMPLE_STEP,
    History,
    Samples,
    Warped,
    alone,
    confidence,
    every_sample,
    fuse,
    leak,
    spread,
)
from mono_depth.temporal.photometric_match import matches_in_brightness
from mono_depth.temporal.scale_shift import RANGE_SHARE, Measure, ScaleShift, align
from mono_depth.temporal.warp import inside, look_up, unmixed

_UNKNOWN = 1e12  # far beyond the output of any network
_SMOOTH = 0.02  # values that differ by less than this fraction may be interpolated
_PHOTO_SPREAD = 25.0  # difference of brightness that is another surface, of 255
_MEMORY_FRAMES = 3  # of the past at most, beside the present
_TIME_CONSTANT_S = 0.3  # at most, of scale and shift
_MIN_PAIRS = 50
_NEAR = 0.85  # quantile of the values; what is nearer may not be pushed away
_LEAST_MOVED = 0.25  # of the pixels
_STEADY_COUNT = 20.0  # frames; half of them make a surface one that stood still


@dataclass(frozen=True, kw_only=True)
class _Memory:
    """What is kept of the last frame."""

    view: FilterInput
    history: History
    scale_shift: ScaleShift  # brings the network's output to the level of the history
    frames: int  # since the past was last forgotten
    common_scale: CommonScale = field(default_factory=CommonScale)
    signs: Signs = field(default_factory=Signs)  # of the surprises so far


class RelativeFilter:
    """Keeps the memory of one camera that gives no metres. Not thread-safe."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None
        self._flow = DenseFlowEstimator()

    def reset(self) -> None:
        """Forget the past."""
        self._memory = None

    def apply(
        self,
        inverse_depth: torch.Tensor,
        *,
        rgb: npt.NDArray[np.uint8],
        intrinsics: Intrinsics | None,
        stamp_ns: int,
        config: TemporalConfig,
        longest_gap_s: float | None = None,
    ) -> Filtered:
        """Fuse one map of inverse depth with the past.

        Args:
            inverse_depth: (h, w) float32 without unit, larger = nearer, NaN = unknown.
            rgb: (H, W, 3) uint8, the image of the depth.
            intrinsics: camera of `rgb`; None = unknown, then one of usual width is assumed.
            stamp_ns: of the image.
            config: mode and memory; every mode but `static` is `flow`.
            longest_gap_s: see `Frame`.
        """
        camera = working_camera(intrinsics or _usual_camera(rgb), LONG_SIDE_PX)
        small = resized(inverse_depth, (camera.height, camera.width))
        view = FilterInput(
            values=small.nan_to_num(nan=_UNKNOWN, posinf=_UNKNOWN, neginf=_UNKNOWN),
            host_grey=grey_of(rgb, camera),
            camera=camera,
            stamp_ns=stamp_ns,
        )
        mode = "static" if config.mode == "static" else "flow"
        memory, reset = self._with_past(view, mode, config, longest_gap_s)
        if memory is None:
            history = alone(view.values, view.grey)
            memory = _Memory(view=view, history=history, scale_shift=ScaleShift(), frames=1)
        self._memory = memory
        size = (inverse_depth.shape[0], inverse_depth.shape[1])
        change = memory.history.values - memory.scale_shift.of(view.values)
        return Filtered(
            values=memory.scale_shift.of(inverse_depth) + resized(change, size),
            confidence=confidence(memory.history).mul_(view.values < 0.5 * _UNKNOWN),
            mode=mode,
            reset=reset,
        )

    def _with_past(
        self, view: FilterInput, mode: str, config: TemporalConfig, longest_gap_s: float | None
    ) -> tuple[_Memory | None, str]:
        """Return the new memory, or why the past was forgotten."""
        last = self._memory
        if last is None:
            return None, ""
        if last.view.camera != view.camera:
            return None, "the image size or the calibration changed"
        step_s = (view.stamp_ns - last.view.stamp_ns) * 1e-9
        gap_s = step_s if longest_gap_s is None else longest_gap_s
        if step_s <= 0.0 or gap_s > config.max_gap_s:
            return None, f"{step_s:.3f} s between two frames"
        if mode == "static":
            flow = no_flow(view.host_grey.shape)
        else:
            flow = self._flow.estimate(view.host_grey, last.view.host_grey)
        memory = _carried(last, view, flow, step_s, config)
        return memory, "" if memory else "the image changed: a cut, or the camera moved too far"


def _carried(
    last: _Memory, view: FilterInput, flow: DenseFlow, step_s: float, config: TemporalConfig
) -> _Memory | None:
    """Return the new memory, None where flow does not find the last frame in this one."""
    grid = uploaded(flow.grid(), view.values.device)
    warped = _looked_up(last.history, grid, flow)
    lighter = view.grey - warped.grey
    pairs = _pairs(view, warped, lighter)
    if pairs is None:
        return None
    still = stillness_of(_moved_px(flow), view.camera)
    forward_motion = _forward_motion(pairs, flow, view.camera)
    then = forward_motion.of(pairs.then)
    forget = leak(step_s, min(config.scale_time_constant_s, _TIME_CONSTANT_S), last.frames)
    steady = _steady(pairs.count) if still > 0.5 else slice(None)
    scale_shift = align(last.scale_shift, pairs.now[steady], then[steady], forget)
    now = scale_shift.of(pairs.now)
    measure = Measure.of(now)
    near = pairs.now >= np.quantile(pairs.now, _NEAR)
    farther = float(np.median(measure.fraction(pairs.now, now)[near]))
    common_scale, taken = last.common_scale.watch(farther, still)
    present, past = scale_shift.of(view.values), forward_motion.of(warped.values)
    agrees = matches_in_brightness(lighter.sub_(pairs.exposure).abs_(), warped.valid, _PHOTO_SPREAD)
    # Noise is alike at every distance only as a part of the whole range.
    even = replace(measure, floor=measure.floor / RANGE_SHARE)
    nearer = even.fraction(present, past)
    maps = SmallMaps.read(downloaded(SmallMaps.of(nearer, agrees, warped.count, warped.grid)))
    approach = SignedSurprise(maps, last.signs, nearer_sign=1.0).approach(0.0, still)
    followed = approach.on(warped)
    past = past + followed.nearer * even.whole(present, past)
    if taken > 0.0:
        scale_shift = scale_shift.taken_back(min(taken / farther, 1.0))
        past = past + (scale_shift.of(view.values) - present)
        present = scale_shift.of(view.values)
    history = fuse(
        present,
        replace(warped, values=past, count=followed.count),
        measure.fraction(present, past),
        agrees=followed.without_jumps(agrees, nearer),
        noise=spread(measure.fraction(now, then)),
        grey=view.grey,
        memory_frames=min(config.memory_frames, _MEMORY_FRAMES),
    )
    return _Memory(
        view=view,
        history=history,
        scale_shift=scale_shift,
        frames=last.frames + 1,
        common_scale=common_scale,
        signs=approach.signs,
    )


def _steady(count: Samples) -> npt.NDArray[np.bool_]:
    """Return which surfaces did not come nearer lately: they tell the scale."""
    steady = count >= 0.5 * min(float(count.max()), _STEADY_COUNT)
    return steady if steady.sum() >= MIN_STEADY else np.ones_like(steady)


def _looked_up(history: History, grid: torch.Tensor, flow: DenseFlow) -> Warped:
    maps, nearest = look_up(history.maps, grid)
    return Warped(
        values=unmixed(maps[0], nearest, _SMOOTH * nearest.abs()),
        count=maps[1],
        variance=maps[2],
        grey=maps[3],
        valid=inside(grid) & uploaded(flow.is_good, grid.device),
        grid=grid,
    )


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Samples of surfaces that both frames see."""

    now: Samples  # (N,) output of the network
    then: Samples  # (N,) memory
    count: Samples  # (N,) frames that the memory was seen in
    is_pair: npt.NDArray[np.bool_]  # which of all samples they are
    exposure: float  # how much lighter the image became


def _pairs(view: FilterInput, warped: Warped, lighter: torch.Tensor) -> _Pairs | None:
    (samples,) = downloaded(
        [every_sample(warped.valid, view.values, warped.values, lighter, warped.count)]
    )
    valid, now, then, change, count = samples.reshape(len(samples), -1).astype(np.float64)
    seen = (valid > 0.0) & (np.maximum(now, then) < 0.2 * _UNKNOWN)
    if not seen.any():
        return None
    exposure = float(np.median(change[seen]))
    seen &= np.abs(change - exposure) < _PHOTO_SPREAD
    if seen.sum() < _MIN_PAIRS or seen.mean() < MIN_SHARE:
        return None
    return _Pairs(
        now=now[seen],
        then=then[seen],
        count=count[seen],
        is_pair=seen,
        exposure=exposure,
    )


def _forward_motion(pairs: _Pairs, flow: DenseFlow, camera: Intrinsics) -> ForwardMotion:
    """Return how inverse depth grew by the forward motion in the flow."""
    half = slice(SAMPLE_STEP // 2, None, SAMPLE_STEP)
    dx, dy = flow.dx[half, half].ravel(), flow.dy[half, half].ravel()
    if not (dx.any() or dy.any()):
        return STILL
    rows, columns = (np.arange(size, dtype=np.float64)[half] for size in flow.dx.shape)
    column, row = (index.ravel()[pairs.is_pair] for index in np.meshgrid(columns, rows))
    ray = ((column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy)
    flow_px = (dx[pairs.is_pair].astype(np.float64), dy[pairs.is_pair].astype(np.float64))
    return forward_motion_of(pairs.then, ray, flow_px, camera)


def _moved_px(flow: DenseFlow) -> float:
    """Return how far the image moves by the camera: the quarter that moves least tells."""
    half = slice(SAMPLE_STEP // 2, None, SAMPLE_STEP)
    length_px = np.hypot(flow.dx[half, half], flow.dy[half, half])
    return float(np.quantile(length_px, _LEAST_MOVED)) if length_px.size else 0.0


def _usual_camera(rgb: npt.NDArray[np.uint8]) -> Intrinsics:
    """Return a camera 53 degrees wide. Only the growth of inverse depth depends on the angle."""
    height, width = rgb.shape[:2]
    return Intrinsics(
        width=width,
        height=height,
        fx=float(width),
        fy=float(width),
        cx=(width - 1) / 2,
        cy=(height - 1) / 2,
    )

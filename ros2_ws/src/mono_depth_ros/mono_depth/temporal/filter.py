"""The temporal filter: fuses each depth map with what earlier frames saw of the same surfaces.

One frame, in order: find how the camera moved, warp the memory into the present view, remove the
drift of scale between the two, reject what does not agree (occlusion, moving objects, new
objects), fuse, rate the confidence. Works in log depth at a small size and hands the change on
to the full one, so no detail of the network is lost and no frame of latency is added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.camera.poses import Pose
from mono_depth.config import TemporalConfig
from mono_depth.data import DepthImage, FollowedCorners, Intrinsics
from mono_depth.motion.ego_motion import EgoMotionEstimator, Tracks
from mono_depth.motion.pose_check import PoseCheck
from mono_depth.motion.tracker import grey_of, working_camera
from mono_depth.outputs.upsampling import resized
from mono_depth.system.recorded import Recorded, Tensors
from mono_depth.system.transfers import downloaded, uploaded
from mono_depth.temporal.approach import (
    MIN_STEADY,
    SignedSurprise,
    Signs,
    SmallMaps,
    stillness,
)
from mono_depth.temporal.common_scale import CommonScale, level_of_still
from mono_depth.temporal.filter_input import LONG_SIDE_PX, Filtered, FilterInput
from mono_depth.temporal.fusion import (
    MIN_SHARE,
    History,
    Samples,
    Warped,
    alone,
    confidence,
    every_sample,
    fuse,
    fused,
    leak,
    spread,
)
from mono_depth.temporal.photometric_match import exposure_change, matches_in_brightness
from mono_depth.temporal.unit import PATIENCE, UnitOfDepth
from mono_depth.temporal.warp import Warper, unmoved

_UNKNOWN = 30.0  # log depth of a pixel without depth: 1e13 m
_KNOWN_BELOW = 15.0  # log depth
_MIN_LIKENESS = 0.6  # correlation of two images; true motion gave 0.93 and more, cuts 0.41 and less
_MIN_CONTRAST = 4.0  # standard deviation of brightness below which an image is mostly noise, of 255
_PHOTO_SPREAD = 40.0  # difference of brightness that is another surface, of 255
_MIN_STEP_M = 0.002  # of odometry; a shorter one is noise
_MAX_STEP_FACTOR = 10.0  # of the unit of depth; a larger one is no measurement
_KNOWN_UNIT = 0.5  # certainty of the unit from which on odometry is held to it
_MIN_ALIGN = 50
_ENOUGH_CORNERS = 80  # of something else; of fewer, more are followed here
_HUBER = 1.345
_ONE_SIDED = 1.5  # times the spread on the far side, for the most that noise is


@dataclass(frozen=True, kw_only=True)
class _Memory:
    """What is kept of the last frame."""

    view: FilterInput
    history: History
    log_scale: float  # added to the log depth of the network to fit the past
    frames: int  # since the past was last forgotten
    still: float = 0.0  # how surely the camera stands still, 0..1
    common_scale: CommonScale = field(default_factory=CommonScale)
    signs: Signs = field(default_factory=Signs)  # of the surprises so far


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """How the present differs from the past."""

    surprise: torch.Tensor  # (h, w) of the present, in log depth
    agrees: torch.Tensor  # (h, w) bool, where the images may show the same surface
    maps: SmallMaps  # of both, on the CPU
    jump: Samples  # of the surprise, where the images show the same
    middle_m: float  # depth of the middle of the scene


class TemporalFilter:
    """Keeps the memory of one camera that gives metres. Not thread-safe."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None
        self._camera: tuple[Intrinsics, torch.device] | None = None
        self._unit = UnitOfDepth()
        self._doubt = ""  # why odometry is not used for this frame
        self._corners: tuple[FollowedCorners, Intrinsics] | None = None  # of this frame

    def reset(self) -> None:
        """Forget the past."""
        self._memory = None
        self._unit = UnitOfDepth()

    def rescale(self, factor: float) -> None:
        """Multiply what is remembered: the metres of the frames to come are of another source."""
        if self._memory is not None:
            self._memory.history.values.add_(math.log(factor))
            self._unit.rescale(factor)

    def apply(
        self,
        depth_m: torch.Tensor,
        *,
        rgb: npt.NDArray[np.uint8],
        intrinsics: Intrinsics,
        stamp_ns: int,
        T_odom_camera: Pose | None,
        config: TemporalConfig,
        longest_gap_s: float | None = None,
        corners: FollowedCorners | None = None,
    ) -> Filtered:
        """Fuse one depth map with the past.

        Args:
            depth_m: (h, w) float32 metres, NaN = unknown.
            rgb: (H, W, 3) uint8, the image of the depth.
            intrinsics: camera of `rgb`.
            stamp_ns: of the image.
            T_odom_camera: pose of the camera at the stamp, None = unknown.
            config: mode and memory.
            longest_gap_s: see `Frame`.
            corners: that something else has followed; None = the filter follows some itself.
        """
        self._corners = None if corners is None else (corners, intrinsics)
        view = self._view(depth_m, rgb, intrinsics, stamp_ns, T_odom_camera)
        self._doubt = ""
        memory, mode, reset = self._with_past(view, config, longest_gap_s)
        if memory is None:
            self._unit = UnitOfDepth()
            history = alone(view.values, view.grey)
            memory = _Memory(view=view, history=history, log_scale=0.0, frames=1)
        self._memory = memory
        change = memory.history.values - view.values
        return Filtered(
            values=depth_m * resized(change, (depth_m.shape[0], depth_m.shape[1])).exp(),
            confidence=confidence(memory.history).mul_(view.values < _KNOWN_BELOW),
            mode=mode,
            reset=reset,
            doubt=self._doubt,
        )

    def _view(
        self,
        depth_m: torch.Tensor,
        rgb: npt.NDArray[np.uint8],
        intrinsics: Intrinsics,
        stamp_ns: int,
        T_odom_camera: Pose | None,
    ) -> FilterInput:
        camera = working_camera(intrinsics, LONG_SIDE_PX)
        if (camera, depth_m.device) != self._camera:
            self._camera = camera, depth_m.device
            self._warper = Warper(camera, depth_m.device)
            self._ego_motion = EgoMotionEstimator(camera)
            self._pose_check = PoseCheck(self._ego_motion)
            self._differences = Recorded(_differences, copies=False)
            self._fused = Recorded(fused, copies=False)
        known = T_odom_camera is not None and bool(np.isfinite(T_odom_camera).all())
        log_depth = resized(depth_m, (camera.height, camera.width)).log()
        return FilterInput(
            values=log_depth.nan_to_num_(nan=_UNKNOWN, posinf=_UNKNOWN, neginf=_UNKNOWN),
            host_grey=grey_of(rgb, camera),
            camera=camera,
            stamp_ns=stamp_ns,
            T_odom_camera=T_odom_camera if known else None,
        )

    def _with_past(
        self, view: FilterInput, config: TemporalConfig, longest_gap_s: float | None
    ) -> tuple[_Memory | None, str, str]:
        """Return the new memory, the mode and why the past was forgotten."""
        last = self._memory
        mode = _mode(view, last, config.mode)
        if last is None:
            return None, mode, ""
        if last.view.camera != view.camera:
            return None, mode, "the image size or the calibration changed"
        step_s = (view.stamp_ns - last.view.stamp_ns) * 1e-9
        gap_s = step_s if longest_gap_s is None else longest_gap_s
        if step_s <= 0.0 or gap_s > config.max_gap_s:
            return None, mode, f"{step_s:.3f} s between two frames"
        T_last_now, mode = self._motion(mode, last, view)
        if T_last_now is None:
            return None, mode, "no rigid motion of the camera explains the image"
        memory = self._moved(last, view, T_last_now, step_s, config)
        if memory is not None and mode == "pose":
            memory = self._held(memory, step_s, config)
        if memory is None:
            return None, mode, "the image changed: a cut, or the camera moved too far"
        return memory, mode, ""

    def _moved(
        self,
        last: _Memory,
        view: FilterInput,
        T_last_now: Pose,
        step_s: float,
        config: TemporalConfig,
    ) -> _Memory | None:
        """Return the new memory, None where the image does not show what is remembered."""
        warped = self._warped(last, view, T_last_now)
        compared = _compared(view, warped, self._differences)
        if compared is None:
            return None
        surprise, jump = compared.surprise, compared.jump
        still = stillness(T_last_now, view.camera, compared.middle_m)
        signed = SignedSurprise(compared.maps, last.signs, nearer_sign=-1.0)
        log_scale, common_scale = last.log_scale, last.common_scale
        if jump.size >= _MIN_ALIGN:
            patience = 1.0 + (PATIENCE - 1.0) * self._unit.certainty
            forget = leak(step_s, config.scale_time_constant_s * patience, last.frames)
            forget = max(forget, still / config.memory_frames)
            fitted, common_scale = _common(-jump, signed.of_steady(), still, common_scale)
            log_scale = (1.0 - forget) * fitted
        common_scale, taken = common_scale.watch(log_scale, still)
        surprise.add_(log_scale)
        approach = signed.approach(log_scale, still)
        followed = approach.on(warped)
        is_same = followed.without_jumps(compared.agrees, surprise)
        past = warped.values.sub_(followed.nearer).sub_(taken)
        history = fuse(
            view.values + (log_scale - taken),
            replace(warped, values=past, count=followed.count),
            surprise.add_(followed.nearer),
            agrees=is_same,
            noise=_noise(jump + log_scale),
            grey=view.grey,
            memory_frames=config.memory_frames,
            run=self._fused,
        )
        return _Memory(
            view=view,
            history=history,
            log_scale=log_scale - taken,
            frames=last.frames + 1,
            still=still,
            common_scale=common_scale,
            signs=approach.signs,
        )

    def _warped(self, last: _Memory, view: FilterInput, T_last_now: Pose) -> Warped:
        if np.array_equal(T_last_now, np.eye(4)):
            return unmoved(last.history)
        motion = uploaded(T_last_now.astype(np.float32), view.values.device)
        return self._warper.warp(last.history, view.values + last.log_scale, motion)

    def _held(self, memory: _Memory, step_s: float, config: TemporalConfig) -> _Memory:
        """Return the memory nearer to the unit that it should be in, by odometry."""
        change = self._unit.pull(memory.log_scale, step_s, config.scale_time_constant_s)
        # A camera that stands still shows no unit, and nothing may be pushed away without cause.
        change = min(change, (1.0 - memory.still) * abs(change))
        memory.history.values.add_(change)
        return replace(memory, log_scale=memory.log_scale + change)

    def _motion(self, mode: str, last: _Memory, view: FilterInput) -> tuple[Pose | None, str]:
        """Return the motion of the camera, None = not known, and where it is from."""
        if mode == "static":
            return np.eye(4), mode
        log_depth = last.history.values.cpu().numpy()
        tracks = self._tracks(last, view, log_depth)
        T_odom_last, T_odom_now = last.view.T_odom_camera, view.T_odom_camera
        if mode == "pose" and T_odom_last is not None and T_odom_now is not None:
            T_last_now = np.asarray(np.linalg.inv(T_odom_last) @ T_odom_now)
            return self._checked(T_last_now, tracks, view.stamp_ns - last.view.stamp_ns)
        found = self._ego_motion.motion_of(tracks)
        return None if found is None else found.T_last_now, mode

    def _tracks(self, last: _Memory, view: FilterInput, log_depth: DepthImage) -> Tracks:
        """Return corners with the depth of the last frame, followed here if nothing else has."""
        if self._corners is not None:
            corners, intrinsics = self._corners
            if corners.since_ns == last.view.stamp_ns and len(corners.now) >= _ENOUGH_CORNERS:
                return self._ego_motion.tracks_of(corners, intrinsics, log_depth)
        return self._ego_motion.tracks(view.host_grey, last.view.host_grey, log_depth)

    def _checked(self, T_last_now: Pose, tracks: Tracks, step_ns: int) -> tuple[Pose, str]:
        """Return a motion of odometry in the unit that depth has now, or the image's own.

        The image's own where odometry does not fit it: on a mount that turns, late, or on wheels
        that spin. Depth that is moved by a wrong pose would be worse than none of the past.
        """
        self._unit.predict(step_ns * 1e-9)
        unit = math.exp(self._unit.log_unit) if self._unit.certainty > _KNOWN_UNIT else None
        verdict = self._pose_check.judge(T_last_now, tracks, unit)
        if verdict.fits is False and verdict.own is not None:
            self._doubt = verdict.reason
            return verdict.own.T_last_now, "flow"
        step, T = verdict.step, T_last_now.copy()
        if step is not None:
            T[:3, :3] = step.R_last_now
            T[:3, 3] = step.R_last_now @ T_last_now[:3, :3].T @ T_last_now[:3, 3]
            if float(np.linalg.norm(T[:3, 3])) > _MIN_STEP_M:
                factor = min(max(step.factor, 1.0 / _MAX_STEP_FACTOR), _MAX_STEP_FACTOR)
                self._unit.correct(factor, step.sigma / factor)
        T[:3, 3] *= math.exp(self._unit.log_unit)
        return T, "pose"


def _compared(view: FilterInput, warped: Warped, differences: Recorded) -> _Compared | None:
    """Return how present and past differ, None where they do not show the same."""
    past = (warped.values, warped.count, warped.grey, warped.valid)
    place = () if warped.grid is None else (warped.grid,)
    surprise, agrees, *rest = differences(view.values, view.grey, *past, *place)
    found, is_known, exposure, *maps = downloaded(rest)
    now, jump, change, bright = found.reshape(len(found), -1).astype(np.float64)
    seen = is_known.ravel() > 0.0
    if seen.mean() < MIN_SHARE or _differ(bright[seen], bright[seen] - change[seen]):
        return None
    return _Compared(
        surprise=surprise,
        agrees=agrees,
        maps=SmallMaps.read(maps),
        jump=jump[seen & (np.abs(change - float(exposure)) < _PHOTO_SPREAD)],
        middle_m=math.exp(float(np.median(now[seen]))),
    )


def _differences(
    values: torch.Tensor,
    grey: torch.Tensor,
    past: torch.Tensor,
    count: torch.Tensor,
    past_grey: torch.Tensor,
    valid: torch.Tensor,
    *grid: torch.Tensor,
) -> Tensors:
    """Return what of present and past is compared: two maps, and what goes to the CPU."""
    lighter, surprise = grey - past_grey, values - past
    # Exposure may change from frame to frame, so the median difference is taken out.
    samples = every_sample(valid, values, surprise, lighter, grey)
    known = (samples[0] > 0.0) & (samples[1].maximum(samples[1] - samples[2]) < _KNOWN_BELOW)
    changed = exposure_change(samples[3], known)
    agrees = matches_in_brightness(lighter.sub_(changed).abs_(), valid, _PHOTO_SPREAD)
    small = SmallMaps.of(surprise, agrees, count, grid[0] if grid else None)
    return surprise, agrees, samples[1:], known, changed, *small


def _mode(view: FilterInput, last: _Memory | None, wanted: str) -> str:
    """Return the mode of this frame: `pose` needs the pose of both frames, else it is `flow`."""
    if wanted in ("static", "flow"):
        return wanted
    known = view.T_odom_camera is not None
    known &= last is None or last.view.T_odom_camera is not None
    return "pose" if known else "flow"


def _differ(now: Samples, then: Samples) -> bool:
    """Tell whether two images show different things, at any exposure."""
    if min(float(now.std()), float(then.std())) < _MIN_CONTRAST:
        return False
    return float(np.corrcoef(now, then)[0, 1]) < _MIN_LIKENESS


def _common(
    farther: Samples, steady: Samples, still: float, state: CommonScale
) -> tuple[float, CommonScale]:
    """Return by how much the past is farther than the present in all of the frame.

    Where the camera stands still it is what stands still that tells, for the rest may approach.
    """
    if still <= 0.0 or steady.size < MIN_STEADY:
        return _robust_mean(farther), state
    level, blur = level_of_still(steady, state.blur, state.expected)
    found = level if still >= 1.0 else level + (1.0 - still) * (_robust_mean(farther) - level)
    state = replace(state, blur=blur)
    return found, state


def _noise(surprise: Samples) -> float:
    """Return the noise of the network in a frame, which an approach does not change."""
    return min(spread(surprise), _ONE_SIDED * spread(surprise[surprise > 0.0]))


def _robust_mean(values: Samples) -> float:
    """Return the mean by Huber's weights."""
    mean = float(np.median(values))
    for _ in range(5):
        residual = np.abs(values - mean)
        limit = _HUBER * (1.4826 * float(np.median(residual)) + 1e-4)
        weight = np.minimum(1.0, limit / np.maximum(residual, 1e-9))
        mean = float(np.dot(values, weight) / weight.sum())
    return mean

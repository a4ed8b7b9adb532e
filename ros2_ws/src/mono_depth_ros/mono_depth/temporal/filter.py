"""The temporal filter: fuses each depth map with what earlier frames saw of the same surfaces.

One frame, in order: find how the camera moved, warp the memory into the present view, remove the
drift of scale between the two, reject what does not agree (occlusion, moving objects, new
objects), fuse, rate the confidence. Works in log depth at a small size and hands the change on
to the full one, so no detail of the network is lost and no frame of latency is added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mono_depth.config import TemporalConfig
from mono_depth.data import Intrinsics
from mono_depth.temporal.ego_motion import EgoMotionEstimator
from mono_depth.temporal.poses import Pose
from mono_depth.temporal.warp import History, Warped, Warper

_LONG_SIDE = 320  # of the maps that the filter works on [pixels]
_FIRST_SPREAD = 0.05  # disagreement assumed for a surface seen once, in log depth
_LEAST_SPREAD = 0.001
_VARIANCE_GAIN = 0.15
_GATE = (0.05, 0.4)  # limits of the gate, in log depth
_GATE_SPREADS = 3.0
_MIN_SHARE = 0.3  # less memory than this in view counts as a cut
_PHOTO_CUT_SHARE = 0.5  # more pixels than this of another brightness too
_PHOTO_SPREAD = 40.0  # difference of brightness that is another surface, of 255
_ALIGN_STEP = 8  # every 8th pixel serves to find the drift of scale
_MIN_ALIGN = 50
_HUBER = 1.345
_MAX_COUNT = 100.0  # frames that a surface was seen in, as far as they are counted
_CONFIDENT_COUNT = 5.0  # frames, and spread of their mean in log depth, for confidence 0.5
_CONFIDENT_SPREAD = 0.0225


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """Depth of the present frame after the filter."""

    depth_m: torch.Tensor  # (h, w) float32 as it came in, changed by the filter
    confidence: torch.Tensor  # (h', w') float32, 0..1
    mode: str  # where the motion came from: "pose", "flow", "static", "off"
    reset: str  # why the past was forgotten with this frame, "" = it was not


@dataclass(frozen=True, kw_only=True)
class _View:
    """One frame at the size the filter works on."""

    log_depth: torch.Tensor  # (h, w) of the network, NaN = unknown
    grey: torch.Tensor  # (h, w) float32, 0..255
    host_grey: npt.NDArray[np.uint8]  # the same in the memory of the CPU, for optical flow
    camera: Intrinsics
    stamp_ns: int
    T_odom_camera: Pose | None


@dataclass(frozen=True, kw_only=True)
class _Memory:
    """What is kept of the last frame."""

    view: _View
    history: History
    log_scale: float  # added to the log depth of the network to fit the past
    frames: int  # since the past was last forgotten


class TemporalFilter:
    """Keeps the memory of one camera. Not thread-safe."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None
        self._camera: Intrinsics | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._memory = None

    def apply(
        self,
        depth_m: torch.Tensor,
        *,
        rgb: torch.Tensor,
        intrinsics: Intrinsics,
        stamp_ns: int,
        T_odom_camera: Pose | None,
        config: TemporalConfig,
    ) -> Filtered:
        """Fuse one depth map with the past.

        Args:
            depth_m: (h, w) float32 metres, NaN = unknown.
            rgb: (H, W, 3) uint8, the image of the depth.
            intrinsics: camera of `rgb`.
            stamp_ns: of the image.
            T_odom_camera: pose of the camera at the stamp, None = unknown.
            config: mode and memory.
        """
        view = self._view(depth_m, rgb, intrinsics, stamp_ns, T_odom_camera)
        memory, mode, reset = self._with_past(view, config)
        self._memory = memory = memory or _alone(view)
        filtered = memory.history.log_depth
        return Filtered(
            depth_m=_changed(depth_m, view.log_depth, filtered),
            confidence=_confidence(memory.history, view.log_depth),
            mode=mode,
            reset=reset,
        )

    def _view(
        self,
        depth_m: torch.Tensor,
        rgb: torch.Tensor,
        intrinsics: Intrinsics,
        stamp_ns: int,
        T_odom_camera: Pose | None,
    ) -> _View:
        camera = _working_camera(intrinsics)
        if camera != self._camera:
            self._camera = camera
            self._warper = Warper(camera, depth_m.device)
            self._ego_motion = EgoMotionEstimator(camera)
        grey = _grey(rgb, camera)
        return _View(
            log_depth=_resized(depth_m, camera).log(),
            grey=grey,
            host_grey=grey.to(torch.uint8).cpu().numpy(),
            camera=camera,
            stamp_ns=stamp_ns,
            T_odom_camera=T_odom_camera,
        )

    def _with_past(self, view: _View, config: TemporalConfig) -> tuple[_Memory | None, str, str]:
        """Return the new memory, the mode and why the past was forgotten."""
        last = self._memory
        mode = _mode(view, last, config.mode)
        if last is None:
            return None, mode, ""
        if last.view.camera != view.camera:
            return None, mode, "the image size or the calibration changed"
        step_s = (view.stamp_ns - last.view.stamp_ns) * 1e-9
        if not 0.0 < step_s <= config.max_gap_s:
            return None, mode, f"{step_s:.3f} s between two frames"
        T_last_now = self._motion(mode, last, view)
        if T_last_now is None:
            return None, mode, "no rigid motion of the camera explains the picture"
        R_t = torch.from_numpy(T_last_now).to(view.log_depth)
        level = view.log_depth + last.log_scale
        warped = self._warper.warp(last.history, level, R_t)
        agrees, cut = _same_surface(warped, view)
        if cut:
            return None, mode, "the picture changed: a cut, or the camera moved too far"
        drift = _drift(warped.log_depth - view.log_depth, agrees)
        log_scale = _leaked(last, drift, step_s, config)
        history = _fuse(view, log_scale, warped, agrees, config.memory_frames)
        memory = _Memory(view=view, history=history, log_scale=log_scale, frames=last.frames + 1)
        return memory, mode, ""

    def _motion(self, mode: str, last: _Memory, view: _View) -> Pose | None:
        if mode == "static":
            return np.eye(4)
        if (
            mode == "pose"
            and last.view.T_odom_camera is not None
            and view.T_odom_camera is not None
        ):
            return np.linalg.inv(last.view.T_odom_camera) @ view.T_odom_camera
        depth = last.history.log_depth.cpu().numpy()
        found = self._ego_motion.estimate(view.host_grey, last.view.host_grey, depth)
        return None if found is None else found.T_last_now


def _mode(view: _View, last: _Memory | None, wanted: str) -> str:
    """Return the mode of this frame: `pose` needs the pose of both frames, else it is `flow`."""
    if wanted in ("static", "flow"):
        return wanted
    known = view.T_odom_camera is not None
    known &= last is None or last.view.T_odom_camera is not None
    return "pose" if known else "flow"


def _alone(view: _View) -> _Memory:
    """Return the memory of a frame without a past."""
    known = view.log_depth.isfinite()
    history = History(
        log_depth=view.log_depth,
        count=known.float(),
        variance=torch.full_like(view.log_depth, _FIRST_SPREAD**2),
        grey=view.grey,
    )
    return _Memory(view=view, history=history, log_scale=0.0, frames=1)


def _same_surface(warped: Warped, view: _View) -> tuple[torch.Tensor, bool]:
    """Compare brightness: which pixels may show what is remembered, and whether none does.

    Exposure may change from frame to frame, so the median difference is taken out.
    """
    known = warped.valid & warped.log_depth.isfinite() & view.log_depth.isfinite()
    difference = view.grey - warped.grey
    seen = difference[known]
    if seen.numel() < _MIN_SHARE * known.numel():
        return known, True
    agrees = known & ((difference - seen.median()).abs() < _PHOTO_SPREAD)
    share = float(agrees.sum()) / seen.numel()
    return agrees, share < 1.0 - _PHOTO_CUT_SHARE


def _drift(difference: torch.Tensor, agrees: torch.Tensor) -> float | None:
    """Return the robust mean of log(remembered / present depth), None with too few pixels."""
    half = _ALIGN_STEP // 2
    sample = difference[half::_ALIGN_STEP, half::_ALIGN_STEP]
    sample = sample[agrees[half::_ALIGN_STEP, half::_ALIGN_STEP]]
    if sample.numel() < _MIN_ALIGN:
        return None
    values = sample.cpu().numpy()
    mean = float(np.median(values))
    for _ in range(5):
        residual = np.abs(values - mean)
        limit = _HUBER * (1.4826 * float(np.median(residual)) + 1e-4)
        weight = np.minimum(1.0, limit / np.maximum(residual, 1e-9))
        mean = float(np.average(values, weights=weight))
    return mean


def _leaked(last: _Memory, drift: float | None, step_s: float, config: TemporalConfig) -> float:
    """Return the log scale that fits the past, leaking to that of the network.

    So the scale is the network's own, averaged over the time constant: it cannot run away.
    """
    if drift is None:
        return last.log_scale
    leak = max(1.0 - math.exp(-step_s / config.scale_time_constant_s), 1.0 / (last.frames + 1))
    return (1.0 - leak) * drift


def _fuse(
    view: _View, log_scale: float, warped: Warped, agrees: torch.Tensor, memory_frames: int
) -> History:
    """Average present and past where they agree; take the present alone where they do not."""
    present = view.log_depth + log_scale
    surprise = present - warped.log_depth
    gate = (_GATE_SPREADS * warped.variance.clamp_min(_noise(surprise, agrees) ** 2).sqrt()).clamp(
        *_GATE
    )
    near = agrees & (surprise.abs() < 2.0 * gate)
    trust = torch.where(near, torch.exp(-0.5 * (surprise / gate) ** 2), 0.0)
    support = trust * warped.count
    weight = support.clamp_max(memory_frames)
    past = torch.where(near, warped.log_depth, present)
    variance = torch.lerp(warped.variance, surprise**2, _VARIANCE_GAIN).clamp_min(_LEAST_SPREAD**2)
    return History(
        log_depth=(weight * past + present) / (weight + 1.0),
        count=torch.where(present.isfinite(), (support + 1.0).clamp_max(_MAX_COUNT), 0.0),
        variance=torch.where(near, variance, warped.variance.clamp_min(_FIRST_SPREAD**2)),
        grey=view.grey,
    )


def _noise(surprise: torch.Tensor, agrees: torch.Tensor) -> float:
    """Return how much the network disagrees with itself in this frame, as a robust spread."""
    half = _ALIGN_STEP // 2
    sample = surprise[half::_ALIGN_STEP, half::_ALIGN_STEP].abs()
    sample = sample[agrees[half::_ALIGN_STEP, half::_ALIGN_STEP]]
    return 1.4826 * float(sample.median()) if sample.numel() else 0.0


def _confidence(history: History, raw_log_depth: torch.Tensor) -> torch.Tensor:
    """Rate each pixel by how many frames saw its surface and how well they agree.

    0.5 for five frames whose mean is known to _CONFIDENT_SPREAD; 0 where there is no depth.
    """
    count = history.count.clamp_min(1.0)
    odds = count / _CONFIDENT_COUNT * _CONFIDENT_SPREAD / (history.variance / count).sqrt()
    return torch.where(raw_log_depth.isfinite(), odds / (1.0 + odds), 0.0)


def _changed(
    depth_m: torch.Tensor, raw_log_depth: torch.Tensor, filtered: torch.Tensor
) -> torch.Tensor:
    """Apply the change that the filter made at its size to the depth at its own."""
    if depth_m.shape == filtered.shape:
        return filtered.exp()
    change = torch.where(raw_log_depth.isfinite(), filtered - raw_log_depth, 0.0)
    size = depth_m.shape
    return depth_m * functional.interpolate(change[None, None], size, mode="bilinear")[0, 0].exp()


def _working_camera(intrinsics: Intrinsics) -> Intrinsics:
    shrink = min(1.0, _LONG_SIDE / max(intrinsics.width, intrinsics.height))
    return intrinsics.scaled_to(
        max(1, round(intrinsics.width * shrink)), max(1, round(intrinsics.height * shrink))
    )


def _resized(depth_m: torch.Tensor, camera: Intrinsics) -> torch.Tensor:
    size = (camera.height, camera.width)
    if depth_m.shape == size:
        return depth_m
    return functional.interpolate(depth_m[None, None], size, mode="bilinear")[0, 0]


def _grey(rgb: torch.Tensor, camera: Intrinsics) -> torch.Tensor:
    """Return (h, w) float32 brightness, 0..255. Source: ITU-R BT.601 luma."""
    size = (camera.height, camera.width)
    if rgb.device.type == "cpu":
        grey = cv2.cvtColor(rgb.numpy(), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small).float()
    luma = torch.tensor([0.299, 0.587, 0.114], device=rgb.device)
    return functional.interpolate((rgb.float() @ luma)[None, None], size, mode="area")[0, 0]

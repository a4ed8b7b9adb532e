"""What comes nearer: told from noise by the sign of its surprises, and believed at once.

Noise of a network is now nearer and now farther than the past. What approaches is nearer, frame
after frame, and so are the pixels around it. A mean of the signed surprise over some frames and
over windows of several sizes tells both apart long before a mean of depth has followed; where it
does, the past is brought to the level of the present and stands for few frames from then on. Only
towards the camera: what recedes may trail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch.nn import functional

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.outputs.upsampling import resized
from mono_depth.temporal.fusion import Samples, Warped, spread
from mono_depth.temporal.photometric_match import mean_around

MIN_STEADY = 20  # samples, for what holds for the whole image

_FIRST_NOISE = 0.01  # of the means over frames, before any was seen, as a fraction

_LONG_SIDE = 80  # of the maps that the means are taken on [pixels]
_WINDOWS = (0.07, 0.15, 0.3)  # of the long side: small and fast things, large and slow ones
_STEP = 3  # every third pixel of them serves for what holds for the whole image
_STEADY_COUNT = 20.0  # frames; half of them make a surface one that stood still
_GAIN = 0.3  # of the present frame in the mean over frames
_NOISE_RATIO = 0.42  # of the mean over frames to one frame, for this gain
_NOISE_GAIN = 0.05
_NOISES = (0.003, 0.03)  # limits
_SURE = (3.0, 4.0)  # deviations by noise: from where on it may be an approach, and surely is
_FOLLOWED_COUNT = 10.0  # frames; what was just followed needs less to be followed on,
_LEAST_SURE = 0.4  # down to this share
_COUNT = 2.0  # frames that the past stands for where it was followed
_FOLLOWED = 0.02  # by so much, as a fraction
_MAX_SURPRISE = 0.6  # as a fraction
_JUMP = 0.25  # as a fraction: what follows by more in one frame is no mean of frames
_STILL_PX, _MOVING_PX = 0.5, 2.0  # motion of the image at a width of 320, from frame to frame
_MOVING_NOISES = 4.0  # times the noise: the view of a moving camera changes what networks say
_MOVING_AREA = 0.33  # of its image; where more seems to come nearer, it is the network


@dataclass(frozen=True, kw_only=True)
class Approach:
    """By how much the past has to come nearer. Maps are (h, w)."""

    nearer: torch.Tensor  # as a fraction, at least 0
    count: torch.Tensor  # frames that the past stands for then
    noise: tuple[float, ...]  # of the means over frames, for each window


class SignedSurprise:
    """Means of how much nearer the present is than the past, over windows of an image."""

    def __init__(self, nearer: torch.Tensor, warped: Warped, agrees: torch.Tensor) -> None:
        """Take the means.

        Args:
            nearer: (h, w) by what fraction the present is nearer than the past, signed.
            warped: the past.
            agrees: (h, w) bool, where the images may show the same surface.
        """
        self._warped = warped
        height, width = nearer.shape
        shrink = min(1.0, _LONG_SIDE / max(height, width))
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        known = agrees.float()
        self._known = _shrunk(known, size)
        self._count = _shrunk(warped.count, size)
        now = _shrunk(nearer.clamp(-_MAX_SURPRISE, _MAX_SURPRISE).mul_(known), size)
        then = _shrunk(warped.trend * known, size)
        self._now, self._then = [], []
        for window in _WINDOWS:
            side = 2 * round(0.5 * window * max(size)) + 1
            share = mean_around(self._known, side).clamp_min_(1e-3)
            self._now.append(mean_around(now, side).div_(share))
            self._then.append(mean_around(then, side).div_(share))

    def of_steady(self) -> Samples:
        """Return samples of the present surprise, of surfaces that did not come nearer lately."""
        known, now, count = _sampled(self._known, self._now[1], self._count)
        seen = known > 0.5
        if not seen.any():
            return now[seen]
        steady = seen & (count >= 0.5 * min(float(count[seen].max()), _STEADY_COUNT))
        return now[steady if steady.sum() >= MIN_STEADY else seen]

    def approach(self, common: float, still: float, noise: tuple[float, ...]) -> Approach:
        """Tell where the present is nearer than the past, and not by noise.

        Args:
            common: surprise of all of the image that is no approach, as a fraction.
            still: 0..1, how surely the camera stands still.
            noise: of the means over frames, in the frame before.
        """
        demand = (self._count / _FOLLOWED_COUNT).clamp_(_LEAST_SURE, 1.0)
        most, noises = torch.zeros_like(self._known), []
        for now, then, last in zip(self._now, self._then, noise, strict=True):
            now = now - common
            trend = torch.lerp(then, now, _GAIN)
            known, samples = _sampled(self._known, trend)
            noises.append(last + _NOISE_GAIN * (_noise(samples[known > 0.5]) - last))
            unit = noises[-1] * (still + (1.0 - still) * _MOVING_NOISES)
            sure = (trend / demand).div_(unit).sub_(_SURE[0]).div_(_SURE[1] - _SURE[0])
            # By its trend where that is slow, to the present less its noise where it is fast.
            change = torch.maximum(trend, now - noises[-1] / _NOISE_RATIO)
            change = torch.minimum(change, now).clamp_min_(0.0).mul_(sure.clamp_(0.0, 1.0))
            most = torch.maximum(most, change)
        if still < 1.0:
            area = float((most > 0.5 * _FOLLOWED).float().mean())
            most.mul_(still + (1.0 - still) * max(0.0, 1.0 - area / _MOVING_AREA))
        count = self._warped.count
        nearer = resized(most, (count.shape[0], count.shape[1]))
        lost = (nearer * (1.0 / _FOLLOWED)).clamp_max_(1.0).mul_((count - _COUNT).clamp_min_(0.0))
        return Approach(nearer=nearer, count=count - lost, noise=tuple(noises))


def followed(
    warped: Warped,
    past: torch.Tensor,
    approach: Approach,
    nearer: torch.Tensor,
    agrees: torch.Tensor,
) -> Warped:
    """Return the past after an approach.

    Args:
        warped: the past.
        past: (h, w) its values, brought nearer.
        approach: by which they were.
        nearer: (h, w) by what fraction the present is nearer than the past was, signed.
        agrees: (h, w) bool, where the images may show the same surface.
    """
    bounded = nearer.clamp(-_MAX_SURPRISE, _MAX_SURPRISE)
    trend = torch.lerp(warped.trend, bounded, _GAIN).mul_(agrees)
    return replace(warped, values=past, count=approach.count, trend=trend)


def not_jumped(approach: Approach, nearer: torch.Tensor, still: float) -> torch.Tensor:
    """Return (h, w) bool: False where the past had to follow so far that it is another surface.

    Args:
        approach: by which the past came nearer.
        nearer: (h, w) by what fraction the present is nearer than the past was, signed.
        still: 0..1, how surely the camera stands still.
    """
    return (nearer < _JUMP / max(still, 1e-3)) | (approach.nearer < _FOLLOWED)


def first_noise() -> tuple[float, ...]:
    """Return the noise for each window, before any was seen."""
    return (_FIRST_NOISE,) * len(_WINDOWS)


def stillness(T_last_now: Pose, camera: Intrinsics, depth_m: float) -> float:
    """Return 1 for a camera that stands still, 0 for one whose image moves by pixels.

    Args:
        T_last_now: its motion from frame to frame.
        camera: of the maps.
        depth_m: of the middle of the scene.
    """
    turn_rad = np.linalg.norm(T_last_now[:3, :3] - np.eye(3)) / 2.0**0.5  # for small ones
    step = np.linalg.norm(T_last_now[:3, 3]) / depth_m
    return stillness_of(camera.fx * float(turn_rad + step), camera)


def stillness_of(moved_px: float, camera: Intrinsics) -> float:
    """Return 1 where the image of a camera stands still, 0 where it moves by pixels."""
    moved_px *= 320.0 / max(camera.width, camera.height)
    return min(max((_MOVING_PX - moved_px) / (_MOVING_PX - _STILL_PX), 0.0), 1.0)


def _noise(trends: Samples) -> float:
    """Return the deviation by noise: of what goes away from the camera, as no approach does."""
    return min(max(spread(trends[trends < 0.0]), _NOISES[0]), _NOISES[1])


def _sampled(*maps: torch.Tensor) -> list[Samples]:
    half = _STEP // 2
    small = [layer[half::_STEP, half::_STEP].reshape(-1) for layer in maps]
    return list(torch.stack(small).cpu().numpy().astype(np.float64))


def _shrunk(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(values.shape) == size:
        return values
    if values.device.type == "cpu":  # the same sums, in a fraction of the time
        small = cv2.resize(values.numpy(), size[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small)
    return functional.interpolate(values[None, None], size, mode="area")[0, 0]

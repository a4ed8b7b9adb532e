"""What comes nearer: told from noise by the sign of its surprises, and believed at once.

Noise of a network is now nearer and now farther than the past. What approaches is nearer, frame
after frame, and so are the pixels around it. A mean of the signed surprise over some frames and
over windows of several sizes tells both apart long before a mean of depth has followed; where it
does, the past is brought to the level of the present and stands for few frames from then on. What
recedes may trail, which is the safe side, until that is plain to see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.outputs.upsampling import resized
from mono_depth.system.transfers import uploaded
from mono_depth.temporal.fusion import Samples, Warped

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
_SURE = (3.3, 4.3)  # deviations by noise: from where on it may be an approach, and surely is
_GONE = (6.0, 8.0)  # deviations: from where on it may have gone away, and surely has
_FOLLOWED_COUNT = 10.0  # frames; what was just followed needs less to be followed on,
_LEAST_SURE = 0.4  # down to this share
_COUNT = 2.0  # frames that the past stands for where it was followed
_FOLLOWED = 0.02  # by so much, as a fraction
_MAX_SURPRISE = 0.6  # as a fraction
_ANOTHER = 0.9  # as a fraction: another surface, or an unknown value
_JUMP = 0.25  # as a fraction: what follows by more in one frame is no mean of frames
_STILL_PX, _MOVING_PX = 0.5, 2.0  # motion of the image at a width of 320, from frame to frame
_MOVING_NOISES = 4.0  # times the noise: the view of a moving camera changes what networks say
_MOVING_AREA = 0.33  # of its image; where more seems to come nearer, it is the network


Map = npt.NDArray[np.float32]  # (h', w')


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What is remembered of the signs of surprises."""

    trend: Map | None = None  # (h', w') mean over frames of how much nearer they were
    noise: tuple[float, ...] = (_FIRST_NOISE,) * len(_WINDOWS)  # of it, for each window


@dataclass(frozen=True, kw_only=True)
class Approach:
    """By how much the past has to come nearer."""

    small: npt.NDArray[np.float32]  # (2, h', w'): the fraction, negative = farther; the share of
    # the frames that the past stands for which it keeps
    signs: Signs
    jump: float  # nearer by more than this fraction is another surface where the past followed
    nearer_sign: float

    def on(self, warped: Warped) -> FollowedPast:
        """Return the approach at the size of the past, where that is."""
        size = (warped.count.shape[0], warped.count.shape[1])
        nearer, kept = uploaded(self.small, warped.count.device)
        return FollowedPast(
            nearer=resized(nearer, size),
            count=resized(kept, size).mul_(warped.count),
            jump=self.jump,
            nearer_sign=self.nearer_sign,
        )


@dataclass(frozen=True, kw_only=True)
class FollowedPast:
    """By how much each pixel of the past has to come nearer. Maps are (h, w)."""

    nearer: torch.Tensor  # as a fraction, negative = farther
    count: torch.Tensor  # frames that the past stands for then
    jump: float
    nearer_sign: float

    def without_jumps(self, agrees: torch.Tensor, surprise: torch.Tensor) -> torch.Tensor:
        """Return (h, w) bool: where present and past are of one surface.

        Args:
            agrees: (h, w) bool, where the images may show the same surface.
            surprise: (h, w) of the present, before the past followed.
        """
        if math.isinf(self.jump):
            return agrees
        within = surprise < self.jump if self.nearer_sign > 0.0 else surprise > -self.jump
        return agrees & (within | (self.nearer < _FOLLOWED))


@dataclass(frozen=True, kw_only=True)
class SmallMaps:
    """What the means are taken of, small, in the memory of the CPU. Maps are (h', w')."""

    known: Map  # share of the pixels that are
    surprise: Map  # by what fraction the present differs from the past, 0 where unknown
    count: Map  # frames that the past stands for
    column: Map | None  # where the pixel was in the last frame, -1..1 from edge to edge;
    row: Map | None  # None = there

    @staticmethod
    def of(
        surprise: torch.Tensor,
        agrees: torch.Tensor,
        past_count: torch.Tensor,
        grid: torch.Tensor | None,
    ) -> list[torch.Tensor]:
        """Return the maps in order, where they are, to be brought to the CPU.

        Args:
            surprise: (h, w) by what fraction the present differs from the past.
            agrees: (h, w) bool, where the images may show the same surface.
            past_count: see `Warped.count`.
            grid: see `Warped.grid`.
        """
        height, width = surprise.shape
        shrink = min(1.0, _LONG_SIDE / max(height, width))
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        # Noise lies in blobs, so every second pixel of a large map tells as much as all of them.
        step = max(1, max(height, width) // (2 * _LONG_SIDE))
        every = (slice(step // 2, None, step),) * 2
        sample = surprise[every]
        known = (agrees[every] & (sample.abs() < _ANOTHER)).float()
        bounded = sample.clamp(-_MAX_SURPRISE, _MAX_SURPRISE).mul_(known)
        maps = [known, bounded, past_count[every].contiguous()]
        small = [_shrunk(values, size) for values in maps]
        if grid is None:
            return small
        column, row = (
            ((torch.arange(few, device=surprise.device) + 0.5) * (many / few)).long()
            for few, many in ((size[1], width), (size[0], height))
        )
        there = grid[row[:, None], column[None, :]]
        return [*small, there[..., 0], there[..., 1]]

    @staticmethod
    def read(maps: Sequence[Map]) -> SmallMaps:
        """Take what `of` gave once it is in the memory of the CPU."""
        known, surprise, count, *place = maps
        column, row = place or (None, None)
        return SmallMaps(known=known, surprise=surprise, count=count, column=column, row=row)


class SignedSurprise:
    """Means of how much nearer the present is than the past, over windows of an image."""

    def __init__(self, maps: SmallMaps, signs: Signs, *, nearer_sign: float) -> None:
        """Take the means.

        Args:
            maps: of the present.
            signs: of the last frame.
            nearer_sign: of the surprise where the present is nearer, 1 or -1.
        """
        self._signs, self._sign = signs, nearer_sign
        self._known, self._count = maps.known, maps.count
        self._sum = nearer_sign * maps.surprise
        self._trend = _carried(signs.trend, maps)
        long_side = max(self._known.shape)
        self._sides = [2 * round(0.5 * window * long_side) + 1 for window in _WINDOWS]
        self._shares = [np.maximum(_blurred(self._known, side), 1e-3) for side in self._sides]
        self._now = self._means(self._sum)

    def of_steady(self) -> Samples:
        """Return samples of the present surprise, of surfaces that did not come nearer lately."""
        known, now, count = _sampled(self._known, self._now[1], self._count)
        seen = known > 0.5
        if not seen.any():
            return now[seen]
        steady = seen & (count >= 0.5 * min(float(count[seen].max()), _STEADY_COUNT))
        return now[steady if steady.sum() >= MIN_STEADY else seen]

    def approach(self, common: float, still: float) -> Approach:
        """Tell where the present is nearer than the past, and not by noise.

        Args:
            common: surprise of all of the image that is no approach, as a fraction, nearer = +.
            still: 0..1, how surely the camera stands still.
        """
        demand = np.clip(self._count / _FOLLOWED_COUNT, _LEAST_SURE, 1.0)
        # A mean over frames of sums, so that the mean over a window weighs each pixel alike.
        total = self._trend * self._known
        total += _GAIN * (self._sum - self._known * common - total)
        trends = self._means(total)
        noise = self._noise(trends)
        unit = [each * (still + (1.0 - still) * _MOVING_NOISES) for each in noise]
        most = np.zeros_like(total)
        for window, trend in enumerate(trends):
            now = self._now[window] - common
            over = trend / demand - _SURE[0] * unit[window]
            sure = np.clip(over / (unit[window] * (_SURE[1] - _SURE[0])), 0.0, 1.0)
            # By its trend where that is slow, to the present less its noise where it is fast.
            change = np.maximum(trend, now - noise[window] / _NOISE_RATIO)
            np.maximum(most, np.minimum(change, now) * sure, out=most)
        if still < 1.0:
            area = float(np.mean(most > 0.5 * _FOLLOWED))
            most *= still + (1.0 - still) * max(0.0, 1.0 - area / _MOVING_AREA)
        gone = (trends[1] / -unit[1] - _GONE[0]) / (_GONE[1] - _GONE[0])
        most += np.clip(gone, 0.0, still) * np.minimum(self._now[1] - common, 0.0)
        trend = np.asarray(total / np.maximum(self._known, 1e-3), np.float32)
        signs = Signs(trend=trend, noise=noise)
        return self._followed(most, still, signs)

    def _means(self, total: Map) -> list[Map]:
        return [
            np.asarray(_blurred(total, side) / share, np.float32)
            for side, share in zip(self._sides, self._shares, strict=True)
        ]

    def _noise(self, trends: Sequence[Map]) -> tuple[float, ...]:
        known, *samples = _sampled(self._known, *trends)
        seen = known > 0.5
        return tuple(
            last + _NOISE_GAIN * (_deviation(values[seen]) - last)
            for values, last in zip(samples, self._signs.noise, strict=True)
        )

    def _followed(self, most: Map, still: float, signs: Signs) -> Approach:
        lost = np.minimum(np.abs(most) / _FOLLOWED, 1.0)
        kept = 1.0 + lost * (_COUNT / np.maximum(self._count, _COUNT) - 1.0)
        jumped = still > 0.0 and float(most.max()) >= _FOLLOWED
        return Approach(
            small=np.stack((most, kept)).astype(np.float32),
            signs=signs,
            jump=_JUMP / still if jumped else math.inf,
            nearer_sign=self._sign,
        )


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


def _deviation(trends: Samples) -> float:
    """Return the deviation by noise: noise has two signs, what comes or goes has one."""
    ordered = np.sort(trends)
    below, size = int(np.searchsorted(ordered, 0.0)), len(ordered)
    if not 0 < below < size:
        return _NOISES[0]
    middle = min(-ordered[below // 2], ordered[(below + size) // 2])
    return min(max(1.4826 * float(middle), _NOISES[0]), _NOISES[1])


def _carried(trend: Map | None, maps: SmallMaps) -> Map:
    """Return a map of the last frame where its surfaces are now."""
    if trend is None or trend.shape != maps.known.shape:
        return np.zeros_like(maps.known)
    if maps.column is None or maps.row is None:
        return trend
    height, width = trend.shape
    column, row = (0.5 * width) * (maps.column + 1.0) - 0.5, (0.5 * height) * (maps.row + 1.0) - 0.5
    carried = cv2.remap(trend, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(carried)


def _sampled(*maps: Map) -> list[Samples]:
    every = (slice(_STEP // 2, None, _STEP),) * 2
    return [layer[every].ravel().astype(np.float64) for layer in maps]


def _blurred(values: Map, side_px: int) -> Map:
    return np.asarray(cv2.blur(values, (side_px, side_px)))


def _shrunk(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(values.shape) == size:
        return values
    if values.device.type == "cpu":  # the same sums, in a fraction of the time
        small = cv2.resize(values.numpy(), size[::-1], interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small)
    return functional.interpolate(values[None, None], size, mode="area")[0, 0]

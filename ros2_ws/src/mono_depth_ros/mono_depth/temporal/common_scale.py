"""The correction of scale that a whole frame gets, and how far it may push things away.

What is common to a frame is the network's: its scale wanders. But before a camera that stands
still nothing changes what a network sees, except what comes: a correction that pushes things
farther, frame after frame, hides an approach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.temporal.fusion import Samples

_GAIN = 0.3  # of the present frame in the mean over frames
_NOISE_RATIO = 0.42  # of the mean over frames to one frame, for this gain
_SPREAD_GAIN = 0.1
_SPREADS = (0.004, 0.08)  # limits
_LEAST_SPREAD = 0.012
_SURE = 2.0  # deviations of the mean over frames
_SURE_AT_ONCE = 3.5  # deviations of one frame
_LEAK = 0.05  # by frame, of what a camera brings along that comes to a stand
_LEAST_MOVED = 0.08  # quantile to start from
_BANDWIDTH = 1.5  # deviations
_BLURS = (0.004, 0.05)  # limits of the deviation
_ITERATIONS = 15
_MIN_LOW = 5


@dataclass(frozen=True, kw_only=True)
class CommonScale:
    """Watches a correction that is farther for all of the frame, as a fraction."""

    brought: float = 0.0  # correction that was there when the camera came to a stand
    trend: float = 0.0  # mean over frames of the rest
    spread: float = 0.02  # of one frame about that mean
    blur: float = 0.02  # deviation of windows of one frame about its level

    def watch(self, farther: float, still: float) -> tuple[CommonScale, float]:
        """Return the next state, and what of a correction to take back.

        Args:
            farther: the correction pushes everything away by this fraction.
            still: 0..1, how surely the camera stands still.
        """
        brought = (1.0 - still) * max(farther, 0.0) + still * (1.0 - _LEAK) * self.brought
        rest = farther - brought
        trend = self.trend + _GAIN * (rest - self.trend)
        miss = 1.25 * min(abs(rest - self.trend), 3.0 * self.spread)
        deviation = self.spread + _SPREAD_GAIN * (miss - self.spread)
        deviation = min(max(deviation, _SPREADS[0]), _SPREADS[1])
        least = _SURE * _NOISE_RATIO * max(deviation, _LEAST_SPREAD)
        taken = 0.0
        if trend > least or rest > _SURE_AT_ONCE * deviation:
            taken = still * max(min(rest, max(trend, rest - deviation)), 0.0)
        now = CommonScale(brought=brought, trend=trend, spread=deviation, blur=self.blur)
        return now, taken


def least_moved(nearer: Samples, blur: float) -> tuple[float, float]:
    """Return the level of what came nearer least, and the deviation about it.

    The mode of the samples that is found from their low end (mean shift): what comes nearer may
    fill most of the image, and what stands still keeps its level.

    Args:
        nearer: (N,) by what fraction the present is nearer than the past.
        blur: deviation of the samples about their level, as far as it is known.

    Source: Comaniciu and Meer, Mean shift, TPAMI 2002.
    """
    level = float(np.quantile(nearer, _LEAST_MOVED))
    width = _BANDWIDTH * blur
    for _ in range(_ITERATIONS):
        weight = np.exp(-0.5 * ((nearer - level) / width) ** 2)
        level = float(np.dot(weight, nearer) / max(float(weight.sum()), 1e-12))
    low = level - nearer[nearer < level]
    if low.size <= _MIN_LOW:
        return level, blur
    now = min(max(1.4826 * float(np.median(low)), _BLURS[0]), _BLURS[1])
    return level, blur + 0.05 * (now - blur)

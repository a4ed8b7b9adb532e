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
_SURE_GONE = 3.0  # times as much where the correction brings things nearer: the safe side
_SURE_AT_ONCE = 3.5  # deviations of one frame
_LEAK = 0.05  # by frame, of what a camera brings along that comes to a stand
_ENDS = (0.08, 0.92)  # quantiles to start from
_BANDWIDTH = 1.5  # deviations
_BLURS = (0.004, 0.05)  # limits of the deviation
_BLUR_GAIN = 0.05
_ITERATIONS = 15
_CONVERGED = 0.02  # of the deviation
_MIN_BELOW = 5


@dataclass(frozen=True, kw_only=True)
class CommonScale:
    """Watches a correction that is farther for all of the frame, as a fraction."""

    brought: float = 0.0  # correction that was there when the camera came to a stand
    trend: float = 0.0  # mean over frames of the rest
    spread: float = 0.02  # of one frame about that mean
    blur: float = 0.02  # deviation of windows of one frame about its level

    @property
    def expected(self) -> float:
        """The correction to expect, by the frames before."""
        return self.brought + self.trend

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
        elif trend < -_SURE_GONE * least:
            taken = still * min(max(rest, trend), 0.0)
        now = CommonScale(brought=brought, trend=trend, spread=deviation, blur=self.blur)
        return now, taken


def level_of_still(nearer: Samples, blur: float, expected: float) -> tuple[float, float]:
    """Return the level of what stands still, and the deviation about it.

    Something that comes or goes may fill most of the image. The samples have a mode below and one
    above (mean shift from either end), which are one where nothing moves; what stands still is the
    one that is as expected, in doubt the lower one, which pushes nothing away.

    Args:
        nearer: (N,) by what fraction the present is nearer than the past.
        blur: deviation of the samples about their level, as far as it is known.
        expected: the level, by the frames before.

    Source: Comaniciu and Meer, Mean shift, TPAMI 2002.
    """
    low, high = (_mode(nearer, float(np.quantile(nearer, start)), blur) for start in _ENDS)
    level = high if abs(high - expected) < abs(low - expected) - blur else low
    below = level - nearer[nearer < level]
    if below.size <= _MIN_BELOW or level > low + blur:
        return level, blur
    now = min(max(1.4826 * float(np.median(below)), _BLURS[0]), _BLURS[1])
    return level, blur + _BLUR_GAIN * (now - blur)


def _mode(values: Samples, start: float, blur: float) -> float:
    mode = start
    for _ in range(_ITERATIONS):
        weight = np.exp(np.square(values - mode) * (-0.5 / (_BANDWIDTH * blur) ** 2))
        total = float(weight.sum())
        last, mode = mode, float(weight @ values) / total if total > 0.0 else mode
        if abs(mode - last) < _CONVERGED * blur:
            break
    return mode

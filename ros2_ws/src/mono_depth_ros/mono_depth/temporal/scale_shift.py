"""Scale and shift of a relative model, kept near those of the frames before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from mono_depth.temporal.fusion import Samples

RANGE_SHARE = 0.25  # of the values, that is added to each of them

_ITERATIONS = 5
_MIN_CORRELATION = 0.7  # of present and past: with less there is too little depth to fit a scale
_SCALE = (0.67, 1.5)
_SCALE_STEP = 1.3  # from one frame to the next
_LEVEL = 0.5  # of the middle of the image, as a share of the range of values
_NOISE_RATIO = 0.5  # variance of the memory's noise, as a share of that of one frame

Values = TypeVar("Values", Samples, torch.Tensor)


@dataclass(frozen=True, kw_only=True)
class ScaleShift:
    """The correction of the scale and shift of a network's output."""

    scale: float = 1.0
    shift: float = 0.0

    def of(self, values: Values) -> Values:
        """Return the values on the level of the past."""
        return values * self.scale + self.shift

    def taken_back(self, share: float) -> ScaleShift:
        """Return the correction with a share of it taken back, 0..1."""
        kept = 1.0 - share
        return ScaleShift(scale=1.0 + kept * (self.scale - 1.0), shift=kept * self.shift)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Tells how large a difference of values without unit is.

    The zero of a relative model is arbitrary, so a value counts from the low end of the image,
    and something of its range is added for what lies there.
    """

    low: float
    floor: float

    @classmethod
    def of(cls, values: Samples) -> Measure:
        """Return the measure of an image with these values."""
        low, high = (float(q) for q in np.quantile(values, (0.02, 0.98)))
        return cls(low=low, floor=max(RANGE_SHARE * (high - low), 1e-6 * abs(high), 1e-12))

    def fraction(self, value: Values, other: Values) -> Values:
        """Return by what fraction a value differs from another."""
        return (value - other) / self.whole(value, other)

    def whole(self, value: Values, other: Values) -> Values:
        """Return what the difference of two values is a fraction of."""
        larger = (value + other + abs(value - other)) * 0.5
        return (larger - self.low).clip(0.0) + self.floor


def align(last: ScaleShift, now: Samples, then: Samples, forget: float) -> ScaleShift:
    """Return the correction that brings the network's output to the level of the past.

    A line with errors in both (Deming): least squares in one direction would lose some scale with
    every frame, for the noise of the network counts as depth.

    Args:
        last: of the last frame.
        now: (N,) output of the network.
        then: (N,) the memory of the same surfaces.
        forget: share of the correction to take back, 0..1.
    """
    scale, shift = last.scale, last.shift
    for _ in range(_ITERATIONS):
        miss = np.abs(scale * now + shift - then)
        weight = 1.0 / (1.0 + (miss / (2.965 * float(np.median(miss)) + 1e-12)) ** 2) ** 2
        weight /= weight.sum()
        mean, mean_then = float(weight @ now), float(weight @ then)
        offset, offset_then = now - mean, then - mean_then
        power, power_then = float(weight @ offset**2), float(weight @ offset_then**2)
        shared = float(weight @ (offset * offset_then))
        if shared > _MIN_CORRELATION * (power * power_then) ** 0.5 > 0.0:
            # Both noises follow the spread of their map.
            excess = (1.0 - _NOISE_RATIO) * power_then
            root = (excess**2 + 4.0 * _NOISE_RATIO * power_then / power * shared**2) ** 0.5
            scale = (excess + root) / (2.0 * shared)
        shift = mean_then - scale * mean
    scale = min(max(scale, last.scale / _SCALE_STEP), last.scale * _SCALE_STEP)
    kept = 1.0 - forget
    level = kept * (mean_then - mean)
    limit = _LEVEL * float(np.ptp(np.quantile(now, (0.02, 0.98))))
    # Scale and level leak by themselves: about the mean, where a change of one leaves the other.
    scale = min(max(1.0 + kept * (scale - 1.0), _SCALE[0]), _SCALE[1])
    return ScaleShift(scale=scale, shift=min(max(level, -limit), limit) + (1.0 - scale) * mean)

"""Scale and shift that turn network output into metres, in the domain of its kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.data import OutputKind, Prediction

Floats = npt.NDArray[np.float64]

_MIN_VALUES = 20
_ENOUGH_VALUES = 2000  # for the middle of a frame

METRIC_KINDS = (OutputKind.METRIC, OutputKind.METRIC_FOCAL, OutputKind.COMPLETION)


@dataclass(frozen=True, kw_only=True)
class ScaleShift:
    """y = gain * x + shift.

    y is 1 / depth for models of depth in metres (x = 1 / output) and of inverse depth
    (x = output), and depth for models of depth without scale (x = output).
    """

    gain: float
    shift: float

    def metres(self, prediction: Prediction) -> torch.Tensor:
        """Return (h, w) float32 metres, NaN where there is no positive finite depth."""
        values = prediction.values
        if prediction.kind in METRIC_KINDS:
            depth_m = values / (self.gain + self.shift * values)
            usable = (values > 0.0) & (depth_m > 0.0) & (depth_m < torch.inf)
        else:
            y = self.gain * values + self.shift
            depth_m = y if prediction.kind is OutputKind.DEPTH_AFFINE else 1.0 / y
            usable = (depth_m > 0.0) & (depth_m < torch.inf)
        return torch.where(usable, depth_m, torch.nan)


IDENTITY = ScaleShift(gain=1.0, shift=0.0)  # of models of metres


def regressor(values: Floats, kind: OutputKind) -> Floats:
    """Return the x of `ScaleShift` for network values; NaN where they are not usable."""
    if kind not in METRIC_KINDS:
        return np.where(np.isfinite(values), values, np.nan)
    usable = np.isfinite(values) & (values > 0.0)
    x: Floats = np.full(values.shape, np.nan)
    np.divide(1.0, values, out=x, where=usable)
    return x


def target(depth_m: Floats, kind: OutputKind) -> Floats:
    """Return the y of `ScaleShift` for depth in metres, > 0."""
    return np.asarray(depth_m if kind is OutputKind.DEPTH_AFFINE else 1.0 / depth_m)


@dataclass(frozen=True, kw_only=True)
class Pivot:
    """Where two of `ScaleShift` are compared: the middle of what the network says about a frame.

    There each is its level, log y at x = `middle`, and its slope, the relative change of y
    over `width`. The two are nearly independent, which gain and shift are not.
    """

    middle: float
    width: float
    lowest: float  # of x in the frame

    @classmethod
    def of(cls, x: Floats) -> Pivot | None:
        """Return the pivot of the (h, w) x of a frame, None if they say nothing."""
        known = x[::2, ::2] if x.size > _ENOUGH_VALUES else x
        known = known[np.isfinite(known)]
        if known.size < _MIN_VALUES:
            return None
        lowest, low, middle, high = np.percentile(known, (1.0, 5.0, 50.0, 95.0))
        if not high - low > 1e-6 * abs(middle):
            return None
        return cls(
            middle=float(middle),
            width=float(high - low),
            lowest=float(lowest),
        )

    def relative(self, x: Floats) -> Floats:
        """Return how far `x` lies from the middle, in widths."""
        return np.asarray((x - self.middle) / self.width)

    def state_of(self, scale_shift: ScaleShift) -> tuple[float, float]:
        """Return level and slope of one whose y is positive in the middle."""
        y = scale_shift.gain * self.middle + scale_shift.shift
        return float(np.log(y)), scale_shift.gain * self.width / y

    def scale_shift_of(self, level: float, slope: float) -> ScaleShift:
        """Return scale and shift of a level and a slope."""
        y = float(np.exp(level))
        gain = y * slope / self.width
        return ScaleShift(gain=gain, shift=y - gain * self.middle)

    def steepest(self) -> float:
        """Return the slope at which y is still positive everywhere in the frame."""
        down = min((self.lowest - self.middle) / self.width, -0.1)
        proportional = self.width / self.middle if self.lowest > 0.0 else 0.0
        return max(-0.9 / down, proportional)

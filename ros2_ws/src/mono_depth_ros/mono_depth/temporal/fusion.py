"""What the temporal filters remember, and how present and past become one.

A filter works on one value for each pixel, the log of depth in metres or the inverse depth of a
relative model. An unknown value is a surface farther away from every known one than any gate
reaches: it never mixes with a known one, and needs no mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.system.recorded import Tensors

UNKNOWN_ABOVE = 0.5  # of the unknown value: what is larger is unknown
FIRST_SPREAD = 0.05  # disagreement assumed for a surface seen once, as a fraction
SAMPLE_STEP = 8  # every 8th pixel serves for what holds for the whole image
MIN_SHARE = 0.3  # less memory than this in view counts as a cut

_LEAST_SPREAD = 0.001
_VARIANCE_GAIN = 0.15
_GATE = (0.05, 0.4)  # limits of the gate, as a fraction
_GATE_SPREADS = 3.0
_MAX_SURPRISE = 0.6  # as a fraction; what changed by more is another surface to any network
_MAX_COUNT = 100.0  # frames that a surface was seen in, as far as they are counted
_CONFIDENT_COUNT = 5.0  # frames, and spread of their mean, for confidence 0.5
_CONFIDENT_SPREAD = 0.0225

Samples = npt.NDArray[np.float64]  # (N,)


@dataclass(frozen=True, kw_only=True)
class History:
    """What is remembered of one frame."""

    maps: torch.Tensor  # (4, h, w) float32: the properties below

    @property
    def values(self) -> torch.Tensor:
        """(h, w), fused."""
        return self.maps[0]

    @property
    def count(self) -> torch.Tensor:
        """(h, w), frames that the fused value stands for."""
        return self.maps[1]

    @property
    def variance(self) -> torch.Tensor:
        """(h, w), of the disagreement between a frame and its past, as a fraction."""
        return self.maps[2]

    @property
    def grey(self) -> torch.Tensor:
        """(h, w), brightness, 0..255."""
        return self.maps[3]


@dataclass(frozen=True, kw_only=True)
class Warped:
    """A history seen from the present camera. All maps are (h, w)."""

    values: torch.Tensor  # of the remembered surface, as the present camera would measure it
    count: torch.Tensor
    variance: torch.Tensor
    grey: torch.Tensor
    valid: torch.Tensor  # bool, False where the last frame did not see the pixel
    grid: torch.Tensor | None  # (h, w, 2) where it was, as `grid_sample` takes it; None = there


def alone(values: torch.Tensor, grey: torch.Tensor) -> History:
    """Return the history of a frame without a past."""
    maps = torch.empty((4, *values.shape), device=values.device)
    maps[0], maps[1], maps[2], maps[3] = values, 1.0, FIRST_SPREAD**2, grey
    return History(maps=maps)


def every_sample(*maps: torch.Tensor) -> torch.Tensor:
    """Return every `SAMPLE_STEP`-th pixel of (h, w) maps: (n, h', w') float32, where they are."""
    every = (slice(SAMPLE_STEP // 2, None, SAMPLE_STEP),) * 2
    return torch.stack([layer[every].float() for layer in maps])


def fuse(
    present: torch.Tensor,
    warped: Warped,
    surprise: torch.Tensor,
    *,
    agrees: torch.Tensor,
    noise: float,
    grey: torch.Tensor,
    memory_frames: int,
    run: Callable[..., Tensors] | None = None,
) -> History:
    """Average present and past where they agree; take the present alone where they do not.

    Args:
        present: (h, w) values of this frame, on the scale of the past.
        warped: the past, in this frame.
        surprise: (h, w) how much the present differs from the past, as a fraction.
        agrees: (h, w) bool, where the images may show the same surface.
        noise: how much the network disagrees with itself in this frame, as a fraction.
        grey: (h, w) uint8, this frame.
        memory_frames: how many frames the past may stand for.
        run: `fused`, recorded; None = as it is.
    """
    least, most = present.new_full((), noise**2), present.new_full((), memory_frames)
    past = warped.values, warped.count, warped.variance
    (maps,) = (run or fused)(present, *past, surprise, agrees, grey, least, most)
    return History(maps=maps)


def fused(
    present: torch.Tensor,
    past: torch.Tensor,
    count: torch.Tensor,
    past_variance: torch.Tensor,
    surprise: torch.Tensor,
    agrees: torch.Tensor,
    grey: torch.Tensor,
    least_variance: torch.Tensor,
    most_frames: torch.Tensor,
) -> Tensors:
    """Return the maps of the history of `fuse`; numbers come as tensors, to be recorded."""
    gate = past_variance.clamp_min(least_variance).sqrt_().mul_(_GATE_SPREADS).clamp_(*_GATE)
    relative = (surprise / gate).square_()
    near = (agrees & (relative < 4.0) & (surprise.abs() < _MAX_SURPRISE)).float()
    support = relative.mul_(-0.5).exp_().mul_(near).mul_(count)
    weight = support.clamp_max(most_frames)
    maps = torch.empty((4, *present.shape), device=present.device)
    torch.mul(weight, past, out=maps[0])
    maps[0].add_(present).div_(weight.add_(1.0))
    torch.clamp(support.add_(1.0), max=_MAX_COUNT, out=maps[1])
    agreed = torch.lerp(past_variance, surprise.square(), _VARIANCE_GAIN)
    # Where the past was left out its variance stays: the network is as noisy there as it was.
    kept = past_variance.clamp_min(FIRST_SPREAD**2)
    torch.lerp(kept, agreed.clamp_(_LEAST_SPREAD**2, 1.0), near, out=maps[2])
    maps[3] = grey
    return (maps,)


def confidence(history: History) -> torch.Tensor:
    """Rate each pixel by how many frames saw its surface and how well they agree.

    0.5 for five frames whose mean is known to `_CONFIDENT_SPREAD`.
    """
    count = history.count.clamp_min(1.0)
    odds = history.variance.rsqrt().mul_(count * count.sqrt())
    odds.mul_(_CONFIDENT_SPREAD / _CONFIDENT_COUNT)
    return odds / (1.0 + odds)


def spread(residuals: Samples) -> float:
    """Return a robust standard deviation about zero, 0 without residuals."""
    return 1.4826 * float(np.median(np.abs(residuals))) if residuals.size else 0.0


def leak(step_s: float, time_constant_s: float, frames: int) -> float:
    """Return the share of a correction to forget, so that it is a mean over the time constant.

    A correction that leaks to none cannot run away. The first frames count alike.
    """
    return max(1.0 - math.exp(-step_s / time_constant_s), 1.0 / (frames + 1))

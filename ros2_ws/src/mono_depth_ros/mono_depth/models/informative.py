"""Whether the output of a network says anything."""

from __future__ import annotations

import math

import torch

from mono_depth.data import Prediction
from mono_depth.errors import FrameError

_NOTHING = (math.inf, -math.inf)


def check_informative(prediction: Prediction) -> None:
    """Raise `FrameError` if the output says nothing: no finite, no positive, or one value only."""
    check_range(*finite_range(prediction.values)[:2])


def finite_range(
    values: torch.Tensor, beside: torch.Tensor | None = None
) -> tuple[float, float, float]:
    """Return the least and the largest finite value, +Inf and -Inf if there is none.

    Args:
        values: (h, w) float32.
        beside: a scalar that lies on the same device and is wanted as well, None = none.

    Returns:
        The two, and `beside` (0 for None): a GPU is waited for once.
    """
    if values.device.type == "cpu":
        low, high = map(float, torch.aminmax(values))
        if not math.isfinite(low + high):  # else every value is finite: selecting them costs time
            finite = values[values.isfinite()]
            low, high = map(float, torch.aminmax(finite)) if finite.numel() else _NOTHING
        return low, high, 0.0 if beside is None else float(beside)
    is_finite = values.abs() < torch.inf
    low_there = torch.where(is_finite, values, torch.inf).amin()
    high_there = torch.where(is_finite, values, -torch.inf).amax()
    wanted = torch.zeros_like(low_there) if beside is None else beside.to(low_there.dtype)
    low, high, besides = torch.stack((low_there, high_there, wanted)).cpu().tolist()
    return low, high, besides


def check_range(low: float, high: float) -> None:
    """Raise `FrameError` if an output with this `finite_range` says nothing."""
    if low > high:
        raise FrameError("the network gave no finite value")
    if high <= 0.0:
        raise FrameError(f"the network gave no positive value (largest {high:g})")
    if high - low <= 1e-6 * abs(high):
        raise FrameError(f"the network gave the constant {high:g}")

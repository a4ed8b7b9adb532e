"""Whether the output of a network says anything."""

from __future__ import annotations

import math

import torch

from mono_depth.data import Prediction
from mono_depth.errors import FrameError


def check_informative(prediction: Prediction) -> None:
    """Raise `FrameError` if the output says nothing: no finite, no positive, or one value only."""
    low, high = _range(prediction.values)
    if not math.isfinite(low + high):  # else every value is finite: selecting them costs time
        finite = prediction.values[prediction.values.isfinite()]
        if finite.numel() == 0:
            raise FrameError("the network gave no finite value")
        low, high = _range(finite)
    if high <= 0.0:
        raise FrameError(f"the network gave no positive value (largest {high:g})")
    if high - low <= 1e-6 * abs(high):
        raise FrameError(f"the network gave the constant {high:g}")


def _range(values: torch.Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(values)
    return float(low), float(high)

"""Where two images show the same surface, by their brightness."""

from __future__ import annotations

import cv2
import torch
from torch.nn import functional

from mono_depth.temporal.fusion import SAMPLE_STEP

_WINDOW_PX = 7
_LIMITS = (15.0, 30.0)  # of the mean difference in a window, of 255
_USUAL = 7.0  # times the median difference of the frame: blur and noise are alike everywhere


def exposure_change(lighter: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return how much lighter the image became in all, 0..255, a scalar where the samples are.

    Args:
        lighter: samples of the change of brightness.
        seen: bool, which of them both images show; NaN is returned for none.
    """
    return torch.where(seen, lighter, torch.nan).nanmedian()


def matches_in_brightness(
    difference: torch.Tensor, valid: torch.Tensor, limit: float
) -> torch.Tensor:
    """Tell which pixels may show the same surface.

    Of something that came into view some pixels match by chance, but not their surroundings.

    Args:
        difference: (h, w) float32 of brightness, 0..255, the change of exposure removed.
        valid: (h, w) bool, where both images are known.
        limit: of a single pixel.

    Returns:
        (h, w) bool.
    """
    difference = torch.where(valid, difference, 0.0)
    around = mean_around(difference, _WINDOW_PX)
    half = SAMPLE_STEP // 2
    sample = (slice(half, None, SAMPLE_STEP),) * 2
    usual = torch.where(valid[sample], around[sample], torch.nan).nanmedian()
    return valid & (difference < limit) & (around < (_USUAL * usual).clamp(*_LIMITS))


def mean_around(values: torch.Tensor, side_px: int) -> torch.Tensor:
    """Return (h, w): the mean of the square window around each pixel, with an odd side."""
    if values.device.type == "cpu":  # the same sums, in a fraction of the time
        return torch.from_numpy(cv2.blur(values.numpy(), (side_px, side_px)))
    return functional.avg_pool2d(
        values[None, None], side_px, 1, side_px // 2, count_include_pad=False
    )[0, 0]

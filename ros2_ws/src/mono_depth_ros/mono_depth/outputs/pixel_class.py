"""What each pixel of a depth image is: a surface that is seen, beyond range, or unknown."""

from __future__ import annotations

from enum import IntEnum

import torch

LEAST_CONFIDENCE = 1e-4  # below, depth is a guess; what is new and doubtful has 0.001


class PixelClass(IntEnum):
    """What is known of a pixel, and so what a planner may do along its ray."""

    UNKNOWN = 0  # nothing: neither mark nor clear
    SEEN = 1  # there is a surface at the depth given: mark it
    BEYOND = 2  # sky, or farther than max_depth_m: no obstacle in range, nothing to mark


def classify(
    depth: torch.Tensor,
    confidence: torch.Tensor,
    *,
    is_beyond: torch.Tensor,
    is_sky: torch.Tensor | None,
) -> torch.Tensor:
    """Return (H, W) uint8 of `PixelClass`.

    Args:
        depth: (H, W) float32, NaN = unknown, metres or relative.
        confidence: (H, W) float32, 0..1.
        is_beyond: (H, W) bool, farther than what is given out.
        is_sky: (H, W) bool, None = there is none.
    """
    is_known = ~depth.isnan() & (confidence >= LEAST_CONFIDENCE)
    codes = is_known.to(torch.uint8) * (1 + is_beyond.to(torch.uint8))
    return codes if is_sky is None else codes.masked_fill(is_sky, int(PixelClass.BEYOND))

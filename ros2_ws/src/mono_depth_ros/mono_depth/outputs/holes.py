"""Which pixels completion had no depth for, and why: for people to look at."""

from __future__ import annotations

from enum import IntEnum

import torch
from torch.nn.functional import max_pool2d

_THIN = 0.02  # of the width: a gap up to this wide is the shadow of an edge


class HoleReason(IntEnum):
    """Why the depth of a pixel was not given to the network."""

    KNOWN = 0  # it was given
    HOLE = 1  # nothing was measured: glass, mirrors, black things, out of range, between points
    EDGE = 2  # at the edge of a thing: a shadow of the sensor, or a jump of the first guess
    UNSURE = 3  # the first guess was not sure


def split_holes(is_hole: torch.Tensor) -> torch.Tensor:
    """Tell the holes of a depth camera from the thin gaps that it leaves along edges.

    Projector and eye of a depth camera stand apart, so beside each near thing lies a strip that
    one of the two does not see.

    Args:
        is_hole: (h, w) bool.

    Returns:
        (h, w) uint8 of `HoleReason`.

    Source: morphological opening, J. Serra, "Image Analysis and Mathematical Morphology", 1982.
    """
    reach = max(1, round(0.5 * _THIN * is_hole.shape[1]))
    wide = _opened(is_hole, reach)
    codes = torch.where(wide, int(HoleReason.HOLE), int(HoleReason.EDGE))
    return torch.where(is_hole, codes, int(HoleReason.KNOWN)).to(torch.uint8)


def _opened(mask: torch.Tensor, reach: int) -> torch.Tensor:
    """Keep what a square of 2 * reach + 1 pixels fits into; it may stick out of the image."""
    side = 2 * reach + 1
    values = mask[None, None].float()
    eroded = -max_pool2d(-values, side, stride=1, padding=reach)
    return max_pool2d(eroded, side, stride=1, padding=reach)[0, 0] > 0.5

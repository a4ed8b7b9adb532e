"""Surfaces that recede: floors, walls, ceilings.

Something that moves about stands upright and is of one depth; what goes off into the distance is a
part of the place. Points of such a surface speak for all of it, however far apart they lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mono_depth.data import Intrinsics

_LEAST_SLOPE, _MOST_SLOPE = 0.5, 8.0  # log depth per unit of x/z, beyond which it is a jump
_STEP_PX = 1  # to each side, over which a slope is measured
_COLUMNS = 14  # cells across the image, of any row: depth tells the row
_REACH = (1, 2)  # cells to each side: layers of depth, columns
_LEAST_POINTS = 4.0  # less what speaks against them


@dataclass(frozen=True, kw_only=True)
class Witnesses:
    """What points or corners say about how much farther the pixels about them are."""

    columns: torch.Tensor  # (N,) of the depth map
    layers: torch.Tensor  # (N,) of depth, as those of the map
    count: torch.Tensor  # (N,) below 0 = against it
    push: torch.Tensor  # (N,) log depth times count, of those above 0


def is_receding(log_depth: torch.Tensor, camera: Intrinsics) -> torch.Tensor:
    """Return (h, w) where depth goes on evenly into the distance.

    Args:
        log_depth: (h, w) of the view.
        camera: of the image of the view.
    """
    height, width = log_depth.shape
    across = _slope(log_depth, 1) * (camera.fx * width / camera.width)
    along = _slope(log_depth, 0) * (camera.fy * height / camera.height)
    slope = torch.hypot(across, along)
    return (slope > _LEAST_SLOPE) & (slope < _MOST_SLOPE)


def most_push(
    is_surface: torch.Tensor, layers: torch.Tensor, witnesses: Witnesses, n_layers: int
) -> torch.Tensor:
    """Return (h, w) how much farther such a surface may get, in log depth, 0 elsewhere.

    Args:
        is_surface: (h, w) as `is_receding` gives it.
        layers: (h, w) int64 the layer of depth of each pixel.
        witnesses: that lie on it.
        n_layers: how many layers there are.
    """
    width = is_surface.shape[1]
    per_px = _COLUMNS / width
    cell = witnesses.layers * _COLUMNS + (witnesses.columns * per_px).long()
    said = torch.stack((witnesses.count, witnesses.count.clamp(min=0.0), witnesses.push))
    grid = said.new_zeros((3, n_layers * _COLUMNS)).index_add_(1, cell, said)
    sides = [2 * reach + 1 for reach in _REACH]
    near = F.avg_pool2d(grid.view(1, 3, n_layers, _COLUMNS), sides, 1, _REACH, divisor_override=1)
    own, count, total = near[0].flatten(1)
    most = torch.where(own >= _LEAST_POINTS, total / count.clamp(min=1.0), 0.0)
    columns = (torch.arange(width, device=layers.device) * per_px).long()
    return torch.where(is_surface, most[layers * _COLUMNS + columns], 0.0)


def _slope(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Return (h, w) how much values change from pixel to pixel, of the next inner one at edges."""
    far = 2 * _STEP_PX
    size = values.shape[dim]
    if size <= far:
        return torch.zeros_like(values)
    change = values.narrow(dim, far, size - far) - values.narrow(dim, 0, size - far)
    at = torch.arange(-_STEP_PX, size - _STEP_PX, device=values.device).clamp(0, size - far - 1)
    return change.index_select(dim, at) / far

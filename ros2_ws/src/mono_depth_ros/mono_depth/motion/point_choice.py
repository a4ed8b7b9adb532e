"""Which of many points are used where not all can be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics, MotionPoints

_CELLS = 14  # across the image
_LAYER_LOG = 0.25  # log depth that points of a cell have in common
_PER_SIGMA = 4.0  # a deviation of a quarter counts as much as twice the distance


def chosen_points(points: MotionPoints, camera: Intrinsics, most: int) -> npt.NDArray[np.intp]:
    """Return (M,) indices of points that are spread over the image and over depth, M <= most.

    The nearest and surest of each cell goes first. A cell is a part of the image and of depth, so
    something small in front of a wall has one of its own; where there are more cells than points
    are wanted, the far ones go without.

    Args:
        points: of the image.
        camera: of the image.
        most: how many are wanted.
    """
    if len(points) <= most:
        return np.arange(len(points))
    side_px = camera.width / _CELLS
    columns, rows = np.floor((points.pixels.T + 0.5) / side_px).astype(np.intp)
    layers = np.floor(np.log(points.depth_m) / _LAYER_LOG).astype(np.intp)
    cell = np.unique(np.stack((columns, rows, layers)), axis=1, return_inverse=True)[1].ravel()
    cost = points.depth_m * (1.0 + _PER_SIGMA * points.sigma_rel)
    order = np.lexsort((cost, cell))
    first = np.searchsorted(cell[order], cell[order])  # where the cell of each begins
    rank = np.empty(len(points), np.intp)
    rank[order] = np.arange(len(points)) - first
    return np.lexsort((cost, rank))[:most]

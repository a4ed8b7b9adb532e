"""Which solid a ray hits first. Each solid is tested only inside its image rectangle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.synthetic.arrays import F32, F64, I32, Rows
from mono_depth.synthetic.solids import Solids, UnitMaps, intersect, unit_maps


@dataclass(frozen=True)
class RayGrid:
    """Rays of an image: slopes x/z and y/z of each pixel, with bounds per column and row."""

    x: F32  # (1, W) or (H, W)
    y: F32  # (H, 1) or (H, W)
    column_low: F32  # (W,) ascending
    column_high: F32
    row_low: F32  # (H,) ascending
    row_high: F32

    @staticmethod
    def pinhole(x: F32, y: F32) -> RayGrid:
        """Return the grid of a camera without distortion; both slopes ascend."""
        return RayGrid(x[None, :], y[:, None], x, x, y, y)

    @staticmethod
    def distorted(x: F32, y: F32) -> RayGrid:
        """Return the grid of a lens that gives (H, W) slopes."""
        return RayGrid(x, y, *_bounds(x, axis=0), *_bounds(y, axis=1))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return len(self.row_low), len(self.column_low)


def _bounds(slopes: F32, axis: int) -> tuple[F32, F32]:
    low = np.minimum.accumulate(slopes.min(axis=axis)[::-1])[::-1].copy()
    return low, np.maximum.accumulate(slopes.max(axis=axis))


@dataclass(frozen=True)
class Visible:
    """The nearest solid of every ray."""

    depth_m: F32  # inf = nothing
    solid: I32  # -1 = nothing


def rectangles(maps: UnitMaps, grid: RayGrid) -> tuple[Rows, Rows, Rows, Rows]:
    """Return first and last + 1 column and row of the pixels that may see each solid."""
    return (
        np.searchsorted(grid.column_high, maps.rects[:, 0], "left"),
        np.searchsorted(grid.column_low, maps.rects[:, 2], "right"),
        np.searchsorted(grid.row_high, maps.rects[:, 1], "left"),
        np.searchsorted(grid.row_low, maps.rects[:, 3], "right"),
    )


def draw(
    solids: Solids, T_odom_camera: F64, grid: RayGrid, maps: UnitMaps | None = None
) -> Visible:
    """Return what a camera sees."""
    maps = maps or unit_maps(solids, T_odom_camera)
    depth = np.full(grid.shape, np.inf, np.float32)
    found = np.full(grid.shape, -1, np.int32)
    x0, x1, y0, y1 = rectangles(maps, grid)
    shape = solids.shape.tolist()
    for i in np.argsort(maps.nearest_m, kind="stable").tolist():
        rows, columns = slice(y0[i], y1[i]), slice(x0[i], x1[i])
        if x0[i] >= x1[i] or y0[i] >= y1[i]:
            continue
        part = depth[rows, columns]
        if maps.nearest_m[i] > 1.0 and part.max() < maps.nearest_m[i]:
            continue  # hidden behind what is drawn
        x = grid.x[:, columns] if grid.x.shape[0] == 1 else grid.x[rows, columns]
        y = grid.y[rows] if grid.y.shape[1] == 1 else grid.y[rows, columns]
        t = intersect(shape[i], maps.directions[i], maps.origins[i], x, y)
        nearer = t < part
        np.copyto(part, t, where=nearer)
        np.copyto(found[rows, columns], np.int32(i), where=nearer)
    return Visible(depth, found)


def draw_rays(solids: Solids, maps: UnitMaps, x: F32, y: F32) -> Visible:
    """Return what single rays (x, y, 1) see; `x` and `y` are (n,)."""
    depth = np.full(len(x), np.inf, np.float32)
    found = np.full(len(x), -1, np.int32)
    bounds = np.array([x.min(), y.min(), x.max(), y.max()], np.float32)
    rects = maps.rects
    seen = (rects[:, 0] <= bounds[2]) & (rects[:, 2] >= bounds[0])
    seen &= (rects[:, 1] <= bounds[3]) & (rects[:, 3] >= bounds[1])
    for i in np.flatnonzero(seen).tolist():
        x0, y0, x1, y1 = rects[i].tolist()
        rows = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        if not len(rows):
            continue
        t = intersect(int(solids.shape[i]), maps.directions[i], maps.origins[i], x[rows], y[rows])
        nearer = t < depth[rows]
        rows = rows[nearer]
        depth[rows] = t[nearer]
        found[rows] = i
    return Visible(depth, found)

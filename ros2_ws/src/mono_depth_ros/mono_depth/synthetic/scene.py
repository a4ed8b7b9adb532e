"""A scene: what is in it, how it is lit, where one can be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.light import ContactMap, Lighting, ShadowMap
from mono_depth.synthetic.materials import MaterialTable
from mono_depth.synthetic.movers import Mover
from mono_depth.synthetic.solids import Shape, Solids

Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Sky:
    """What is seen where nothing else is."""

    zenith_rgb: Rgb
    horizon_rgb: Rgb
    cloud_rgb: Rgb
    cloudiness: float  # 0..1


@dataclass(frozen=True)
class Scene:
    """A procedural world in the odom frame: x forward, y left, z up, floor at z = 0."""

    kind: str
    solids: Solids
    materials: MaterialTable
    lighting: Lighting
    low_m: F64  # (3,) corner of the region a camera may be in
    high_m: F64  # (3,)
    movers: tuple[Mover, ...] = ()
    sky: Sky | None = None
    map_size: int = 768  # pixels of shadow and contact maps

    @cached_property
    def shadows(self) -> ShadowMap:
        """Shadow map of everything that stands still."""
        radius = 0.55 * float(np.hypot(*(self.high_m - self.low_m)[:2])) + 2.0
        return ShadowMap(self.lighting.key, self.solids, self.map_size, radius)

    @cached_property
    def contact(self) -> ContactMap:
        """Darkness near the feet of everything that stands still."""
        return ContactMap(self.solids, self.low_m, self.high_m, self.map_size)

    def movers_at(self, time_s: float) -> Solids:
        """Return the solids that move, where they are at that time."""
        moved = self.solids[:0]
        for mover in self.movers:
            moved = Solids.joined(moved, mover.at(time_s))
        return moved

    @cached_property
    def _obstacles(self) -> tuple[F64, F64, F64, F64, F64]:
        solid = self.solids[self.solids.shape != Shape.ROOM]
        corners = solid.corners_m()
        low, high = corners.min(axis=1), corners.max(axis=1)
        upright = np.abs(solid.rotation[:, 2, 2]) > 0.9999
        center = np.where(upright[:, None], solid.center_m, 0.5 * (low + high))
        half = np.where(upright[:, None], solid.half_size_m, 0.5 * (high - low))
        axis = np.where(upright[:, None], solid.rotation[:, :2, 0], [1.0, 0.0])
        for mover in self.movers:  # its whole way is taken
            start, end = np.array(mover.start_m), np.array(mover.end_m)
            way = end - start
            length = float(np.hypot(*way)) + 1e-9
            size = [0.5 * length + 0.4, 0.4, 0.95]
            center = np.vstack([center, [*(0.5 * (start + end)), 0.95]])
            half = np.vstack([half, size])
            axis = np.vstack([axis, way / length])
            low = np.vstack([low, [0.0, 0.0, 0.0]])
            high = np.vstack([high, [0.0, 0.0, 1.9]])
        return center, half, axis, low[:, 2], high[:, 2]

    def clearance_m(self, points_m: F64, band_m: tuple[float, float] | None = None) -> F64:
        """Return the distance from points to the nearest obstacle or border of the scene.

        Args:
            points_m: (n, 3) in the odom frame.
            band_m: count what lies between these heights, and only horizontal distance (a
                robot that stands on the floor); None = distance in space.
        """
        center, half, axis, low, high = self._obstacles
        if band_m is not None:
            rows = (low < band_m[1]) & (high > band_m[0])
            center, half, axis = center[rows], half[rows], axis[rows]
        offset = points_m[:, None, :] - center[None]
        along = np.abs(offset[..., 0] * axis[:, 0] + offset[..., 1] * axis[:, 1]) - half[:, 0]
        across = np.abs(offset[..., 1] * axis[:, 0] - offset[..., 0] * axis[:, 1]) - half[:, 1]
        axes = 2
        gaps = [along, across]
        if band_m is None:
            gaps.append(np.abs(offset[..., 2]) - half[:, 2])
            axes = 3
        outside = np.sqrt(sum(np.maximum(g, 0.0) ** 2 for g in gaps))
        inside = np.minimum(np.maximum.reduce(gaps), 0.0)
        border = np.minimum(points_m - self.low_m, self.high_m - points_m)[:, :axes].min(axis=1)
        nearest = (outside + inside).min(axis=1, initial=np.inf)
        return np.asarray(np.minimum(nearest, border))

    def clearance_map_m(
        self, x_m: F64, y_m: F64, band_m: tuple[float, float], most_m: float
    ) -> F64:
        """Return (len(y_m), len(x_m)) horizontal `clearance_m` on a grid, at most `most_m`.

        Args:
            x_m: ascending, of the columns.
            y_m: ascending, of the rows.
            band_m: what lies between these heights counts.
            most_m: farther is told as this, which makes it fast.
        """
        center, half, axis, low, high = self._obstacles
        beside = np.minimum(x_m - self.low_m[0], self.high_m[0] - x_m)
        before = np.minimum(y_m - self.low_m[1], self.high_m[1] - y_m)
        gaps = np.minimum(np.minimum.outer(before, beside), most_m)
        for i in np.flatnonzero((low < band_m[1]) & (high > band_m[0])).tolist():
            (ax, ay), (hx, hy) = axis[i], half[i, :2]
            reach = abs(ax) * hx + abs(ay) * hy + most_m, abs(ay) * hx + abs(ax) * hy + most_m
            columns = slice(*np.searchsorted(x_m, center[i, 0] + reach[0] * np.array([-1, 1])))
            rows = slice(*np.searchsorted(y_m, center[i, 1] + reach[1] * np.array([-1, 1])))
            dx, dy = x_m[columns] - center[i, 0], y_m[rows, None] - center[i, 1]
            along, across = np.abs(dx * ax + dy * ay) - hx, np.abs(dy * ax - dx * ay) - hy
            gap = np.hypot(np.maximum(along, 0.0), np.maximum(across, 0.0))
            gap += np.minimum(np.maximum(along, across), 0.0)
            np.minimum(gaps[rows, columns], gap, out=gaps[rows, columns])
        return np.asarray(gaps)


SCENE_KINDS = ("room", "office", "corridor", "warehouse", "street", "yard")

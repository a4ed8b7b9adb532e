"""How near a robot is to what it could hit, with round things as round as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape, Solids

_SLICES = 9  # of an ellipsoid


@dataclass(frozen=True)
class Surroundings:
    """What stands in a scene: boxes by its own clearance, round things by circles.

    A box around the crown of a plant has corners that no leaf reaches.
    """

    angular: Scene
    circles_m: F64  # (n, 3) x, y and radius

    @classmethod
    def of(cls, scene: Scene, band_m: tuple[float, float]) -> Surroundings:
        """Return what stands between two heights."""
        solids = scene.solids
        is_leaf = solids.shape == Shape.ELLIPSOID
        is_upright = np.abs(solids.rotation[:, 2, 2]) > 0.9999
        is_post = is_upright & np.isin(solids.shape, (Shape.CYLINDER, Shape.CONE))
        circles = [_post(solids[is_post], band_m)]
        circles += [_slices(solids, i, band_m) for i in np.flatnonzero(is_leaf).tolist()]
        angular = replace(scene, solids=solids[~(is_leaf | is_post)])
        return cls(angular, np.concatenate(circles))

    def gap_m(self, place_m: F64, band_m: tuple[float, float]) -> float:
        """Return the distance from (3,) a place to the nearest thing or border, < 0 = inside."""
        gap = float(self.angular.clearance_m(place_m[None], band_m)[0])
        away = np.hypot(*(self.circles_m[:, :2] - place_m[:2]).T) - self.circles_m[:, 2]
        return min(gap, float(away.min(initial=np.inf)))


def _post(posts: Solids, band_m: tuple[float, float]) -> F64:
    """Return (n, 3) circles around upright cylinders and cones, at their widest in the band."""
    middle, half = posts.center_m[:, 2], posts.half_size_m[:, 2]
    is_met = (middle - half < band_m[1]) & (middle + half > band_m[0])
    from_foot = np.maximum(band_m[0] - (middle - half), 0.0) / (2.0 * half)
    share = np.where(posts.shape == Shape.CONE, 1.0 - from_foot, 1.0)
    radius = posts.half_size_m[:, :2].max(axis=1) * share
    return np.asarray(np.c_[posts.center_m[:, :2], radius][is_met])


def _slices(solids: Solids, row: int, band_m: tuple[float, float]) -> F64:
    """Return (n, 3) circles around level slices of an ellipsoid, however it is turned."""
    center, axes = solids.center_m[row], solids.rotation[row] * solids.half_size_m[row]
    reach = float(np.linalg.norm(axes[2]))
    low, high = max(band_m[0], center[2] - reach), min(band_m[1], center[2] + reach)
    if low >= high:
        return np.empty((0, 3))
    middle = min(max(float(center[2]), low), high)  # where it is widest
    above = np.append(np.linspace(low, high, _SLICES), middle) - center[2]
    # of (x - center) @ shape @ (x - center) <= 1 the part at one height
    shape = np.linalg.inv(axes @ axes.T)
    level, lean = shape[:2, :2], shape[:2, 2]
    shift = -np.linalg.solve(level, lean)
    left = 1.0 - above**2 * (shape[2, 2] + lean @ shift)
    widest = 1.0 / np.sqrt(np.linalg.eigvalsh(level)[0])
    radius = widest * np.sqrt(np.maximum(left, 0.0))
    return np.asarray(np.c_[center[:2] + above[:, None] * shift, radius])

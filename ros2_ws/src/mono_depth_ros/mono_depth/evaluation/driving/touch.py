"""How near a robot is to what it could hit, with round things as round as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape, Solids


@dataclass(frozen=True)
class Surroundings:
    """What stands in a scene: boxes by its own clearance, round things by a circle around them.

    A box around the crown of a plant has corners that no leaf reaches.
    """

    angular: Scene
    center_m: F64  # (n, 2) of round things
    radius_m: F64  # (n,) the largest within the band

    @classmethod
    def of(cls, scene: Scene, band_m: tuple[float, float]) -> Surroundings:
        """Return what stands between two heights."""
        solids = scene.solids
        is_upright = np.abs(solids.rotation[:, 2, 2]) > 0.9999
        is_round = solids.shape == Shape.ELLIPSOID
        is_round |= is_upright & np.isin(solids.shape, (Shape.CYLINDER, Shape.CONE))
        reach_m = np.linalg.norm(solids.rotation * solids.half_size_m[:, None], axis=2)
        low, high = solids.center_m[:, 2] - reach_m[:, 2], solids.center_m[:, 2] + reach_m[:, 2]
        is_met = is_round & (low < band_m[1]) & (high > band_m[0])
        some, is_tilted = solids[is_met], ~is_upright[is_met]
        upright_m = some.half_size_m[:, :2].max(axis=1) * _widest(some, band_m)
        radius_m = np.where(is_tilted, np.hypot(*reach_m[is_met, :2].T), upright_m)
        angular = replace(scene, solids=solids[~is_round])
        return cls(angular, some.center_m[:, :2], radius_m)

    def gap_m(self, place_m: F64, band_m: tuple[float, float]) -> float:
        """Return the distance from (3,) a place to the nearest thing or border, < 0 = inside."""
        gap = float(self.angular.clearance_m(place_m[None], band_m)[0])
        away = np.hypot(*(self.center_m - place_m[:2]).T) - self.radius_m
        return min(gap, float(away.min(initial=np.inf)))


def _widest(solids: Solids, band_m: tuple[float, float]) -> F64:
    """Return (n,) how wide solids are at most between two heights, as a share of their width."""
    middle, half = solids.center_m[:, 2], solids.half_size_m[:, 2]
    nearest = (np.clip(middle, *band_m) - middle) / half  # -1 = foot, 1 = top
    ball = np.sqrt(np.maximum(1.0 - nearest**2, 0.0))
    foot = (np.maximum(middle - half, band_m[0]) - middle) / half
    cone = np.clip(0.5 * (1.0 - foot), 0.0, 1.0)
    shapes = solids.shape
    return np.select([shapes == Shape.ELLIPSOID, shapes == Shape.CONE], [ball, cone], 1.0)

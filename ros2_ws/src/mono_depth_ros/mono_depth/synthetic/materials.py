"""Procedural materials: cells (tiles, bricks, planks, checks), two-tone mottling and grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mono_depth.synthetic.arrays import F32
from mono_depth.synthetic.noise import Tile

Rgb = tuple[float, float, float]  # linear reflectance, 0..1
NO_CELLS_M = 1e4


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a surface looks. Lengths are metres on the surface."""

    color: Rgb
    second_color: Rgb | None = None  # of the mottling, None = darker colour
    joint_color: Rgb = (0.3, 0.3, 0.28)
    cell_width_m: float = NO_CELLS_M
    cell_height_m: float = NO_CELLS_M
    cell_shift: float = 0.0  # offset of each row in cells, -1 = at random
    joint_m: float = 0.0
    cell_jitter: float = 0.0  # colour change from cell to cell
    check: float = 0.0  # 1 = every other cell has the second colour
    fine: Tile = Tile.GRAIN  # period 0.064 m
    fine_gain: float = 0.06
    mid: Tile = Tile.FRACTAL
    mid_gain: float = 0.1
    mid_period_m: float = 0.8
    coarse: Tile = Tile.BLOTCH
    coarse_gain: float = 0.15  # share of the second colour
    coarse_period_m: float = 6.0
    stretch: float = 1.0  # noise is this much longer along v
    gloss: float = 0.0
    glow: float = 0.0  # emitted radiance per colour
    mirror: float = 0.0  # share of the light that it mirrors, seen straight on; flat faces only
    clear: float = 0.0  # share of the rest that comes from behind it


_SCALARS = (
    "cell_width_m",
    "cell_height_m",
    "cell_shift",
    "joint_m",
    "cell_jitter",
    "check",
    "fine",
    "fine_gain",
    "mid",
    "mid_gain",
    "mid_period_m",
    "coarse",
    "coarse_gain",
    "coarse_period_m",
    "stretch",
    "gloss",
    "glow",
    "mirror",
    "clear",
)


class MaterialTable:
    """Columns of the material values, indexed by material."""

    def __init__(self, materials: Sequence[Material]) -> None:
        self.materials = tuple(materials)
        self.color = np.array([m.color for m in materials], np.float32).T.copy()
        second = [m.second_color or (*(0.6 * c for c in m.color),) for m in materials]
        self.second_color = np.array(second, np.float32).T.copy()
        self.joint_color = np.array([m.joint_color for m in materials], np.float32).T.copy()
        self._columns: dict[str, F32] = {
            name: np.array([float(getattr(m, name)) for m in materials], np.float32)
            for name in _SCALARS
        }

    def __getitem__(self, name: str) -> F32:
        return self._columns[name]

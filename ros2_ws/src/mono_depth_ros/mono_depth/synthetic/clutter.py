"""What lies about in lived-in rooms: papers and things on every surface, things on the floor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono_depth.synthetic import furniture as put
from mono_depth.synthetic import palette as look
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.builder import Builder, LocalFrame
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape, Solids

_TOP_HEIGHTS_M = (0.25, 1.3)  # of tables, beds, cabinets, cartons
_LEAST_HALF_M = 0.15
_MOST_THINGS = 90  # each costs time to render
_UPRIGHT = 0.9999


@dataclass(frozen=True)
class Top:
    """A level surface that things can stand on, in the odom frame."""

    center_m: F64  # (3,)
    rotation: F64  # (3, 3) the columns are its axes
    half_m: F64  # (2,) half its length along the first two of them

    def at(self, rng: np.random.Generator, inside: float = 0.9) -> F64:
        """Return a random point of it."""
        x, y = inside * rng.uniform(-1.0, 1.0, 2) * self.half_m
        return np.asarray(self.center_m + self.rotation @ np.array([x, y, 0.0]))


def tops(solids: Solids) -> list[Top]:
    """Return the tops of upright boxes at the height of furniture."""
    high = solids.center_m[:, 2] + solids.half_size_m[:, 2]
    is_top = (
        (solids.shape == Shape.BOX)
        & (np.abs(solids.rotation[:, 2, 2]) > _UPRIGHT)
        & (solids.half_size_m[:, :2].min(axis=1) > _LEAST_HALF_M)
        & (high > _TOP_HEIGHTS_M[0])
        & (high < _TOP_HEIGHTS_M[1])
    )
    return [
        Top(
            center_m=np.array([*solids.center_m[i, :2], high[i]]),
            rotation=solids.rotation[i],
            half_m=solids.half_size_m[i, :2],
        )
        for i in np.flatnonzero(is_top)
    ]


def litter(scene: Scene, b: Builder) -> None:
    """Cover some of the surfaces of a scene and its floor with things."""
    rng = b.rng
    surfaces = tops(scene.solids)
    busy = float(rng.uniform(0.0, 1.0))
    for index in rng.permutation(len(surfaces)):
        top = surfaces[int(index)]
        if rng.uniform() < busy and len(b.rows) < _MOST_THINGS:
            area_m2 = 4.0 * float(np.prod(top.half_m))
            _cover(b, top, int(np.ceil(area_m2 * np.exp(rng.uniform(*np.log((3.0, 30.0)))))))
    if rng.uniform() < busy:
        _strew(scene, b, int(rng.integers(2, 25)))


def _cover(b: Builder, top: Top, count: int) -> None:
    rng = b.rng
    for _ in range(min(count, 30)):
        x, y, z = top.at(rng).tolist()
        f = b.frame(x, y, 0.0, float(rng.uniform(0, 2 * np.pi)))
        kind = rng.uniform()
        if kind < 0.3:
            _paper(f, z)
        elif kind < 0.38:
            _keyboard(f, z)
        else:
            put.small_thing(f, z, float(np.exp(rng.uniform(*np.log((0.04, 0.3))))))


def _paper(f: LocalFrame, z: float) -> None:
    """A sheet of paper or a pile of them."""
    b, rng = f.builder, f.builder.rng
    white = look.tinted(0.12, float(rng.uniform(0.0, 0.08)), float(rng.uniform(0.8, 1.0)))
    sheet = replace(look.printed(rng), color=white) if rng.uniform() < 0.7 else look.printed(rng)
    long_m = float(rng.choice([0.15, 0.21, 0.3, 0.42]))
    f.box(0, 0, z, long_m, 0.707 * long_m, float(rng.uniform(0.001, 0.02)), b.material(sheet))


def _keyboard(f: LocalFrame, z: float) -> None:
    b, rng = f.builder, f.builder.rng
    grey = float(rng.uniform(0.02, 0.9))
    keys = replace(
        look.plastic(rng),
        color=(grey, grey, grey),
        cell_width_m=0.019,
        cell_height_m=0.019,
        joint_m=0.004,
        joint_color=(0.3 * grey, 0.3 * grey, 0.3 * grey),
    )
    f.box(0, 0, z, 0.15, float(rng.uniform(0.28, 0.45)), 0.02, b.material(keys))


def _strew(scene: Scene, b: Builder, count: int) -> None:
    """Put things of 0.05 to 0.8 m on the floor where it is free."""
    rng = b.rng
    spots = rng.uniform(scene.low_m, scene.high_m, (count, 3))
    spots[:, 2] = 0.0
    gaps_m = scene.clearance_m(spots, (0.0, 0.5))
    for (x, y, _), gap_m in zip(spots.tolist(), gaps_m.tolist(), strict=True):
        size = float(np.exp(rng.uniform(*np.log((0.05, 0.8)))))
        if 0.6 * size > gap_m:
            continue
        f = b.frame(x, y, 0.0, float(rng.uniform(0, 2 * np.pi)))
        if size > 0.25:
            put.crates(f, 0.8 * size)
        elif rng.uniform() < 0.3:
            _paper(f, 0.0)
        else:
            put.small_thing(f, 0.0, size)

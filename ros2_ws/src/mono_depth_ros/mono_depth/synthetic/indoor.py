"""Indoor scenes: living rooms, offices, corridors, warehouses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mono_depth.synthetic import furniture as put
from mono_depth.synthetic import indoor_light, interior
from mono_depth.synthetic import palette as look
from mono_depth.synthetic.builder import Builder, LocalFrame
from mono_depth.synthetic.interior import Size
from mono_depth.synthetic.materials import MaterialTable
from mono_depth.synthetic.scene import Scene


def make_room(rng: np.random.Generator, map_size: int) -> Scene:
    """A furnished room of 2.5 to 6 m."""
    size = (*rng.uniform(2.8, 6.0, 2), rng.uniform(2.3, 3.0))
    b = Builder(rng)
    interior.shell(b, size)
    interior.wall_things(b, size, int(rng.integers(3, 8)))
    makers: list[Callable[[LocalFrame], None]] = [
        put.sofa,
        put.bed,
        put.chair,
        put.table,
        lambda f: put.shelf(f, float(rng.uniform(0.6, 1.6)), float(rng.uniform(0.8, 2.1))),
        lambda f: put.cabinet(f, float(rng.uniform(0.5, 1.8)), float(rng.uniform(0.5, 2.0))),
        lambda f: _television(f, rng),
        lambda f: put.plant(f, 0.0, float(rng.uniform(0.4, 1.0))),
        lambda f: put.pole(f, float(rng.uniform(1.2, 1.8))),
        put.crates,
    ]
    area = size[0] * size[1]
    interior.alcove(b, size)
    interior.people(b, size, int(rng.integers(0, 2)))  # first, while there is room to walk
    for _ in range(int(area / 2.8) + 2):
        interior.against_wall(b, size, makers[int(rng.integers(len(makers)))])
    for _ in range(int(area / 6.0) + 1):
        maker = [put.table, put.chair, put.chair, put.crates, put.plant][int(rng.integers(5))]
        interior.in_the_open(b, size, maker, 0.6)
    interior.floor_clutter(b, size, int(rng.integers(3, 12)))
    return _finish(b, "room", size, map_size)


def make_office(rng: np.random.Generator, map_size: int) -> Scene:
    """Rows of desks with screens and chairs."""
    size = (*rng.uniform(5.0, 10.0, 2), rng.uniform(2.5, 3.2))
    b = Builder(rng)
    interior.shell(b, size)
    interior.wall_things(b, size, int(rng.integers(5, 10)))
    pitch_x, pitch_y = float(rng.uniform(1.9, 2.6)), float(rng.uniform(1.7, 2.4))
    for x in np.arange(-size[0] / 2 + 1.2, size[0] / 2 - 0.8, pitch_x):
        for y in np.arange(-size[1] / 2 + 1.1, size[1] / 2 - 0.9, pitch_y):
            if rng.uniform() < 0.65 and len(b.rows) < 220:
                _desk(b.frame(float(x), float(y), 0.0, float(rng.choice([0.0, np.pi]))))
                b.take(float(x), float(y), 0.9)
    for _ in range(5):
        interior.against_wall(
            b, size, lambda f: put.shelf(f, float(rng.uniform(0.8, 1.4)), rng.uniform(0.9, 2.0))
        )
    for _ in range(3):
        interior.against_wall(b, size, lambda f: put.cabinet(f, 0.9, float(rng.uniform(0.7, 2.0))))
        interior.in_the_open(b, size, lambda f: put.plant(f, 0.0, 0.9), 0.4)
    interior.floor_clutter(b, size, int(rng.integers(4, 12)))
    interior.people(b, size, int(rng.integers(0, 3)))
    return _finish(b, "office", size, map_size)


def make_corridor(rng: np.random.Generator, map_size: int) -> Scene:
    """A long corridor with doors and things along its walls."""
    size = (rng.uniform(9.0, 22.0), rng.uniform(1.5, 3.0), rng.uniform(2.3, 3.2))
    b = Builder(rng)
    interior.shell(b, size)
    for side in (-1, 1):
        x = -size[0] / 2 + float(rng.uniform(0.8, 2.0))
        while x < size[0] / 2 - 1.0:
            f = b.frame(x, side * size[1] / 2, 0.0, -side * np.pi / 2)
            kind = rng.uniform()
            if kind < 0.5:
                interior.door(f)
            elif kind < 0.75:
                interior.image(f, float(rng.uniform(0.3, 1.2)), float(rng.uniform(0.3, 0.9)))
            elif kind < 0.85:
                f.box(0.06, 0, 0, 0.12, 0.35, size[2], b.rows[0][4][2])  # pilaster
            x += float(rng.uniform(1.1, 2.6))
    interior.floor_clutter(b, size, int(rng.integers(2, 6)))
    for _ in range(int(size[0] / 2.0)):
        kind = int(rng.integers(5))
        makers: list[Callable[[LocalFrame], None]] = [
            put.chair,
            lambda f: put.cabinet(
                f, float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.6, 2.0)), 0.35
            ),
            lambda f: put.plant(f, 0.0, 0.8),
            put.crates,
            lambda f: put.shelf(f, 0.9, 1.8, 0.28),
        ]
        interior.against_wall(b, size, makers[kind], long_walls=True)
    interior.in_the_open(b, size, lambda f: put.pole(f, 1.1, 0.04), 0.2)
    interior.people(b, size, int(rng.integers(0, 3)))
    return _finish(b, "corridor", size, map_size)


def make_warehouse(rng: np.random.Generator, map_size: int) -> Scene:
    """Aisles between racks, pallets and pillars."""
    size = (*rng.uniform(12.0, 26.0, 2), rng.uniform(4.0, 7.0))
    b = Builder(rng)
    floor = b.material(look.concrete(rng))
    wall = b.material(look.concrete(rng) if rng.uniform() < 0.5 else look.bricks(rng))
    interior.room_box(b, size, (wall, wall, wall, wall, floor, b.material(look.concrete(rng))))
    interior.wall_things(b, size, 8)
    aisle = float(rng.uniform(2.6, 4.0))
    for y in np.arange(-size[1] / 2 + 1.0, size[1] / 2 - 0.8, aisle):
        for x in np.arange(-size[0] / 2 + 2.5, size[0] / 2 - 2.5, 2.9):
            if rng.uniform() < 0.7 and len(b.rows) < 260:
                _rack(b.frame(float(x), float(y)))
                b.take(float(x), float(y), 1.3)
    for _ in range(12):
        interior.in_the_open(b, size, lambda f: put.crates(f, 0.8), 0.8)
    for _ in range(6):
        interior.in_the_open(
            b, size, lambda f: put.pole(f, float(rng.uniform(0.8, 2.0)), 0.06), 0.3
        )
    interior.floor_clutter(b, size, 10)
    interior.people(b, size, int(rng.integers(1, 4)))
    return _finish(b, "warehouse", size, map_size)


def _television(f: LocalFrame, rng: np.random.Generator) -> None:
    put.cabinet(f, 1.3, 0.5, 0.4)
    put.screen(f, float(rng.uniform(0.7, 1.2)), 0.65)


def _desk(f: LocalFrame) -> None:
    b, rng = f.builder, f.builder.rng
    put.table(f, 0.75, float(rng.uniform(1.2, 1.6)))
    put.screen(f.at(-0.15, float(rng.normal(0, 0.2)), 0.0, float(rng.normal(0, 0.15))), 0.55, 0.9)
    key = b.material(replace(look.printed(rng), color=(0.05, 0.05, 0.05), mid_period_m=0.15))
    f.box(0.15, 0, 0.74, 0.15, 0.42, 0.02, key)
    put.chair(f.at(0.65, float(rng.normal(0, 0.15)), 0.0, np.pi + float(rng.normal(0, 0.5))))
    if rng.uniform() < 0.4:  # screen wall
        f.box(-0.42, 0, 0.0, 0.04, 1.6, 1.2, put.soft(b))


def _rack(f: LocalFrame) -> None:
    b, rng = f.builder, f.builder.rng
    steel, beam = b.material(look.plastic(rng)), b.material(look.plastic(rng))
    levels, step = int(rng.integers(2, 4)), 1.35
    for x in (-1.35, 1.35):
        for y in (-0.45, 0.45):
            f.box(x, y, 0, 0.09, 0.07, levels * step + 0.4, steel)
    for i in range(levels):
        if i:
            f.box(0, 0, i * step - 0.1, 2.7, 1.0, 0.1, beam)
        for x in (-0.85, 0.05, 0.9):
            if rng.uniform() < 0.75:
                m = b.material(look.printed(rng))
                w, d, h = rng.uniform((0.5, 0.6, 0.4), (0.85, 0.95, 1.1))
                f.box(x, 0, i * step, float(w), float(d), float(h), m)


def _finish(b: Builder, kind: str, size: Size, map_size: int) -> Scene:
    rng = b.rng
    lighting = (
        indoor_light.lamp_light(b, size)
        if rng.uniform() < 0.6
        else indoor_light.window_light(b, size)
    )
    half = 0.5 * np.array(size)
    return Scene(
        kind,
        b.solids(),
        MaterialTable(b.materials),
        lighting,
        np.array([-half[0], -half[1], 0.0]),
        np.array([half[0], half[1], size[2]]),
        tuple(b.movers),
        None,
        map_size,
    )

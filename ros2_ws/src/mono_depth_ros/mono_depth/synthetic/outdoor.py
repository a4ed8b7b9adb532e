"""Outdoor scenes: streets and yards under a sky."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mono_depth.synthetic import furniture as put
from mono_depth.synthetic import palette as look
from mono_depth.synthetic import town
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.builder import Builder, LocalFrame
from mono_depth.synthetic.interior import walk
from mono_depth.synthetic.light import KeyLight, Lighting
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.movers import Mover
from mono_depth.synthetic.scene import Scene, Sky
from mono_depth.synthetic.solids import Shape

_GROUND_M = 300.0


def make_street(rng: np.random.Generator, map_size: int) -> Scene:
    """A street along x with pavements, houses, cars, posts, trees and people."""
    b = Builder(rng)
    length, road = float(rng.uniform(40, 70)), float(rng.uniform(5.0, 8.0))
    walk_width = float(rng.uniform(1.8, 3.5))
    _ground(b, look.asphalt(rng))
    pavement = b.material(look.paving(rng))
    edge = road / 2 + walk_width
    line = b.material(
        replace(
            look.concrete(rng, (0.8, 0.95)),
            cell_width_m=3.0,
            joint_m=1.4,
            joint_color=(0.05, 0.05, 0.05),
        )
    )
    b.frame().box(0, 0, 0, 2 * length, 0.12, 0.004, line)
    for side in (-1, 1):
        b.frame().box(0, side * (road + walk_width) / 2, 0, 2 * length, walk_width, 0.12, pavement)
        x = -length
        while x < length:
            width = float(rng.uniform(6, 16))
            gap = float(rng.choice([0.0, 0.0, rng.uniform(1.5, 5.0)]))
            setback = float(rng.choice([0.0, 0.0, rng.uniform(1.0, 4.0)]))
            yaw = 0.0 if side < 0 else np.pi
            town.house(b.frame(x + width / 2, side * (edge + setback), 0.0, yaw), width)
            x += width + gap
        _street_things(b, side, length, road, walk_width)
    for _ in range(int(rng.integers(1, 4))):
        y = float(rng.choice([-1, 1])) * (road / 2 + 0.6 * walk_width)
        x0 = float(rng.uniform(-0.4, 0.4)) * length
        walk(b, (x0, y), (x0 + float(rng.uniform(3, 10)), y))
    if rng.uniform() < 0.5:
        _moving_car(b, float(rng.choice([-1, 1])) * road / 4, length)
    low, high = np.array([-0.6 * length, -edge, 0.0]), np.array([0.6 * length, edge, 8.0])
    return _finish(b, "street", low, high, map_size)


def make_yard(rng: np.random.Generator, map_size: int) -> Scene:
    """A yard or garden with fences, trees, a town.house, crates and furniture."""
    b = Builder(rng)
    sx, sy = (float(v) for v in rng.uniform(9, 22, 2))
    _ground(b, look.grass(rng) if rng.uniform() < 0.6 else look.paving(rng))
    path = b.material([look.paving, look.gravel, look.grass][int(rng.integers(3))](rng))
    b.frame(0, float(rng.normal(0, 1)), 0, float(rng.normal(0, 0.2))).box(
        0, 0, 0, 1.3 * sx, float(rng.uniform(1, 3)), 0.01, path
    )
    town.house(b.frame(0, -sy / 2 - 0.2, 0.0, 0.0), float(rng.uniform(0.5, 1.0)) * sx)
    for side in range(3):
        x, y, yaw, span = [
            (-sx / 2, 0.0, np.pi / 2, sy),
            (sx / 2, 0.0, np.pi / 2, sy),
            (0.0, sy / 2, 0.0, sx),
        ][side]
        town.border(b.frame(x, y, 0.0, yaw), span)
    for _ in range(12):  # the world goes on behind the fence
        angle, far = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(14, 60))
        f = b.frame(far * np.cos(angle), far * np.sin(angle) + 4.0, 0.0, float(rng.uniform(0, 6)))
        if max(abs(f.origin_m[0]) - sx / 2, abs(f.origin_m[1]) - sy / 2) > 4.0:
            if rng.uniform() < 0.6:
                town.tree(f)
            elif f.origin_m[1] > 0:
                town.house(b.frame(f.origin_m[0], f.origin_m[1] + 4.0, 0.0, np.pi), 9.0)
    for _ in range(int(rng.integers(12, 26))):
        _yard_thing(b, sx, sy)
    for _ in range(int(rng.integers(0, 3))):
        x, y = (rng.uniform(-0.35, 0.35, 2) * (sx, sy)).tolist()
        if b.is_free(x, y, 1.0):
            walk(b, (x, y), (x + float(rng.uniform(-1, 1)), y + float(rng.uniform(-1, 1))))
    low, high = np.array([-sx / 2, -sy / 2, 0.0]), np.array([sx / 2, sy / 2, 6.0])
    return _finish(b, "yard", low, high, map_size)


def _ground(b: Builder, material: Material) -> None:
    m = b.material(material)
    b.frame().add(Shape.BOX, (0, 0, -0.5), (2 * _GROUND_M, 2 * _GROUND_M, 1.0), m)


def _moving_car(b: Builder, y: float, length: float) -> None:
    mark = len(b.rows)
    town.car(b.frame())
    body = b.mover_body(mark)
    still = np.zeros(len(body))
    b.movers.append(
        Mover(
            body=body,
            swing_rad=still,
            pivot_z_m=still,
            start_m=(-length, y),
            end_m=(length, y),
            speed_m_s=float(b.rng.uniform(3, 9)),
            phase_m=float(b.rng.uniform(0, 2 * length)),
        )
    )


def _street_things(b: Builder, side: int, length: float, road: float, walk_width: float) -> None:
    rng = b.rng
    x = -0.8 * length
    while x < 0.8 * length:
        kind = rng.uniform()
        kerb = b.frame(x, side * (road / 2 + 0.4), 0.1, float(rng.uniform(0, 6.3)))
        back = b.frame(x, side * (road / 2 + walk_width - 0.5), 0.1, -side * np.pi / 2)
        if kind < 0.3:
            town.car(b.frame(x, side * (road / 2 - 1.0), 0.0, float(rng.choice([0.0, np.pi]))))
            x += 3.0
        elif kind < 0.42:
            town.tree(kerb)
        elif kind < 0.55:
            put.pole(kerb, float(rng.uniform(2.0, 6.0)), 0.09)
        elif kind < 0.65:  # bin
            m = b.material(look.plastic(rng))
            back.box(0, 0, 0, 0.6, 0.7, 1.1, m)
        elif kind < 0.75:
            put.crates(back, 0.6)
        elif kind < 0.85:
            town.bush(back)
        else:  # bollards or sign
            m, sign = b.material(look.plastic(rng)), b.material(look.printed(rng))
            kerb.cylinder(0, 0, 0, 0.07, 2.4, m)
            kerb.box(0.05, 0, 1.8, 0.02, 0.6, 0.6, sign)
        x += float(rng.uniform(1.5, 5.0))


def _yard_thing(b: Builder, sx: float, sy: float) -> None:
    rng = b.rng
    makers: list[Callable[[LocalFrame], None]] = [
        town.tree,
        town.bush,
        town.bush,
        put.crates,
        put.chair,
        put.table,
        put.plant,
        put.small_thing,
        put.small_thing,
        lambda f: put.pole(f, float(rng.uniform(1.0, 2.5)), 0.05),
    ]
    maker = makers[int(rng.integers(len(makers)))]
    for _ in range(6):
        x, y = (rng.uniform(-0.45, 0.45, 2) * (sx, sy)).tolist()
        if b.is_free(x, y, 0.9):
            maker(b.frame(x, y, 0.0, float(rng.uniform(0, 6.3))))
            b.take(x, y, 0.9)
            return


def _finish(b: Builder, kind: str, low: F64, high: F64, map_size: int) -> Scene:
    rng = b.rng
    clouds = float(rng.uniform())
    elevation, azimuth = float(rng.uniform(0.35, 1.2)), float(rng.uniform(0, 2 * np.pi))
    axis = (
        -float(np.cos(elevation) * np.cos(azimuth)),
        -float(np.cos(elevation) * np.sin(azimuth)),
        -float(np.sin(elevation)),
    )
    sun = float(rng.uniform(0.6, 1.3)) * (1.0 if clouds < 0.7 else 0.15)
    sky = float(rng.uniform(0.25, 0.5)) * (1.0 if clouds < 0.7 else 1.6)
    blue = (0.8 * sky, 0.92 * sky, 1.15 * sky)
    grey = (0.85, 0.88, 0.92)
    center = 0.5 * (low + high)
    lighting = Lighting(
        key=KeyLight(
            position_m=(float(center[0]), float(center[1]), 0.0),
            axis=axis,
            rgb=(1.05 * sun, sun, 0.88 * sun),
            sun=True,
        ),
        sky_rgb=blue,
        ground_rgb=(0.45 * sky, 0.42 * sky, 0.38 * sky),
        haze_per_m=float(rng.choice([0.0003, 0.001, 0.003, 0.006])),
        haze_rgb=(1.3 * sky, 1.35 * sky, 1.4 * sky),
    )
    painted = Sky(
        zenith_rgb=(0.12, 0.28, 0.65),
        horizon_rgb=grey,
        cloud_rgb=(0.95, 0.95, 0.97),
        cloudiness=clouds,
    )
    return Scene(
        kind,
        b.solids(),
        MaterialTable(b.materials),
        lighting,
        low,
        high,
        tuple(b.movers),
        painted,
        map_size,
    )

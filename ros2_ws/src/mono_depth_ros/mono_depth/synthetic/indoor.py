"""Indoor scenes: living rooms, offices, corridors, warehouses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mono_depth.synthetic import furniture as put
from mono_depth.synthetic import materials as look
from mono_depth.synthetic.builder import Builder, Frame
from mono_depth.synthetic.light import KeyLight, Lamp, Lighting
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.movers import Mover
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape

_WALL_MARGIN_M = 0.02


def make_room(rng: np.random.Generator, map_size: int) -> Scene:
    """A furnished room of 2.5 to 6 m."""
    size = (*rng.uniform(2.8, 6.0, 2), rng.uniform(2.3, 3.0))
    b = Builder(rng)
    _shell(b, size)
    _wall_things(b, size, int(rng.integers(3, 8)))
    makers: list[Callable[[Frame], None]] = [
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
    _alcove(b, size)
    for _ in range(int(area / 2.8) + 2):
        _against_wall(b, size, makers[int(rng.integers(len(makers)))])
    for _ in range(int(area / 6.0) + 1):
        maker = [put.table, put.chair, put.chair, put.crates, put.plant][int(rng.integers(5))]
        _in_the_open(b, size, maker, 0.6)
    _floor_clutter(b, size, int(rng.integers(3, 12)))
    _people(b, size, int(rng.integers(0, 2)))
    return _finish(b, "room", size, map_size)


def make_office(rng: np.random.Generator, map_size: int) -> Scene:
    """Rows of desks with screens and chairs."""
    size = (*rng.uniform(5.0, 10.0, 2), rng.uniform(2.5, 3.2))
    b = Builder(rng)
    _shell(b, size)
    _wall_things(b, size, int(rng.integers(5, 10)))
    pitch_x, pitch_y = float(rng.uniform(1.9, 2.6)), float(rng.uniform(1.7, 2.4))
    for x in np.arange(-size[0] / 2 + 1.2, size[0] / 2 - 0.8, pitch_x):
        for y in np.arange(-size[1] / 2 + 1.1, size[1] / 2 - 0.9, pitch_y):
            if rng.uniform() < 0.65 and len(b.rows) < 220:
                _desk(b.frame(float(x), float(y), 0.0, float(rng.choice([0.0, np.pi]))))
                b.take(float(x), float(y), 0.9)
    for _ in range(5):
        _against_wall(
            b, size, lambda f: put.shelf(f, float(rng.uniform(0.8, 1.4)), rng.uniform(0.9, 2.0))
        )
    for _ in range(3):
        _against_wall(b, size, lambda f: put.cabinet(f, 0.9, float(rng.uniform(0.7, 2.0))))
        _in_the_open(b, size, lambda f: put.plant(f, 0.0, 0.9), 0.4)
    _floor_clutter(b, size, int(rng.integers(4, 12)))
    _people(b, size, int(rng.integers(0, 3)))
    return _finish(b, "office", size, map_size)


def make_corridor(rng: np.random.Generator, map_size: int) -> Scene:
    """A long corridor with doors and things along its walls."""
    size = (rng.uniform(9.0, 22.0), rng.uniform(1.5, 3.0), rng.uniform(2.3, 3.2))
    b = Builder(rng)
    _shell(b, size)
    for side in (-1, 1):
        x = -size[0] / 2 + float(rng.uniform(0.8, 2.0))
        while x < size[0] / 2 - 1.0:
            f = b.frame(x, side * size[1] / 2, 0.0, -side * np.pi / 2)
            kind = rng.uniform()
            if kind < 0.5:
                _door(f)
            elif kind < 0.75:
                _picture(f, float(rng.uniform(0.3, 1.2)), float(rng.uniform(0.3, 0.9)))
            elif kind < 0.85:
                f.box(0.06, 0, 0, 0.12, 0.35, size[2], b.rows[0][4][2])  # pilaster
            x += float(rng.uniform(1.1, 2.6))
    _floor_clutter(b, size, int(rng.integers(2, 6)))
    for _ in range(int(size[0] / 2.0)):
        kind = int(rng.integers(5))
        makers: list[Callable[[Frame], None]] = [
            put.chair,
            lambda f: put.cabinet(
                f, float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.6, 2.0)), 0.35
            ),
            lambda f: put.plant(f, 0.0, 0.8),
            put.crates,
            lambda f: put.shelf(f, 0.9, 1.8, 0.28),
        ]
        _against_wall(b, size, makers[kind], long_walls=True)
    _in_the_open(b, size, lambda f: put.pole(f, 1.1, 0.04), 0.2)
    _people(b, size, int(rng.integers(0, 3)))
    return _finish(b, "corridor", size, map_size)


def make_warehouse(rng: np.random.Generator, map_size: int) -> Scene:
    """Aisles between racks, pallets and pillars."""
    size = (*rng.uniform(12.0, 26.0, 2), rng.uniform(4.0, 7.0))
    b = Builder(rng)
    floor = b.material(look.concrete(rng))
    wall = b.material(look.concrete(rng) if rng.uniform() < 0.5 else look.bricks(rng))
    _room_box(b, size, (wall, wall, wall, wall, floor, b.material(look.concrete(rng))))
    _wall_things(b, size, 8)
    aisle = float(rng.uniform(2.6, 4.0))
    for y in np.arange(-size[1] / 2 + 1.0, size[1] / 2 - 0.8, aisle):
        for x in np.arange(-size[0] / 2 + 2.5, size[0] / 2 - 2.5, 2.9):
            if rng.uniform() < 0.7 and len(b.rows) < 260:
                _rack(b.frame(float(x), float(y)))
                b.take(float(x), float(y), 1.3)
    for _ in range(12):
        _in_the_open(b, size, lambda f: put.crates(f, 0.8), 0.8)
    for _ in range(6):
        _in_the_open(b, size, lambda f: put.pole(f, float(rng.uniform(0.8, 2.0)), 0.06), 0.3)
    _floor_clutter(b, size, 10)
    _people(b, size, int(rng.integers(1, 4)))
    return _finish(b, "warehouse", size, map_size)


Size = tuple[float, float, float]


def _room_box(b: Builder, size: Size, faces: tuple[int, ...]) -> None:
    b.frame().add(Shape.ROOM, (0.0, 0.0, size[2] / 2), size, faces)


def _shell(b: Builder, size: Size) -> None:
    rng = b.rng
    make_floor = [look.planks, look.tiles, look.fabric, look.concrete, look.planks]
    floor = b.material(make_floor[int(rng.integers(5))](rng))
    walls = [b.material(look.paint(rng))] * 4
    for side in range(4):
        if rng.uniform() < 0.3:
            other = [look.paint, look.bricks, look.tiles, look.wood][int(rng.integers(4))]
            walls[side] = b.material(other(rng))
    ceiling = look.paint(rng, (0.85, 1.0))
    if rng.uniform() < 0.4:
        ceiling = replace(ceiling, cell_width_m=0.6, cell_height_m=0.6, joint_m=0.02)
    _room_box(b, size, (*walls, floor, b.material(ceiling)))
    skirting = put.hard(b)
    for side in range(4):
        f, length = _wall_frame(b, size, side)
        if rng.uniform() < 0.8:
            f.box(0.008, 0, 0, 0.016, length, float(rng.uniform(0.05, 0.14)), skirting)
    if rng.uniform() < 0.6:  # rug
        dx, dy = rng.uniform(0.3, 0.7, 2) * size[:2]
        x, y = rng.normal(0, 0.3, 2).tolist()
        f = b.frame(x, y, 0.0, float(rng.normal(0, 0.1)))
        f.box(0, 0, 0, float(dx), float(dy), 0.012, put.soft(b))


def _alcove(b: Builder, size: Size) -> None:
    """Sometimes fill a corner of the room, so that it is not a plain box."""
    rng = b.rng
    if rng.uniform() < 0.55:
        return
    dx, dy = (rng.uniform(0.15, 0.4, 2) * np.array(size[:2])).tolist()
    sx, sy = rng.choice([-1.0, 1.0], 2).tolist()
    x, y = sx * (size[0] - dx) / 2, sy * (size[1] - dy) / 2
    b.frame().box(x, y, 0, dx, dy, size[2], b.rows[0][4][0])
    for u in np.arange(x - dx / 2, x + dx / 2 + 0.3, 0.6):
        for v in np.arange(y - dy / 2, y + dy / 2 + 0.3, 0.6):
            b.take(float(u), float(v), 0.3)


def _wall_frame(b: Builder, size: Size, side: int) -> tuple[Frame, float]:
    """Return the frame of a wall, x pointing into the room, and the wall's length."""
    x, y, yaw = [
        (-size[0] / 2, 0.0, 0.0),
        (size[0] / 2, 0.0, np.pi),
        (0.0, -size[1] / 2, np.pi / 2),
        (0.0, size[1] / 2, -np.pi / 2),
    ][side]
    return b.frame(x, y, 0.0, yaw), float(size[1] if side < 2 else size[0])


def _wall_things(b: Builder, size: Size, count: int) -> None:
    rng = b.rng
    for _ in range(count):
        f, length = _wall_frame(b, size, int(rng.integers(4)))
        f = f.at(0.0, float(rng.uniform(-0.4, 0.4)) * length)
        kind = rng.uniform()
        if kind < 0.3:
            _door(f)
        elif kind < 0.5:
            _window(f, float(rng.uniform(0.7, 1.8)))
        elif kind < 0.9:
            _picture(f, float(rng.uniform(0.25, 1.2)), float(rng.uniform(0.25, 0.9)))
        else:
            f.box(0.06, 0, 0.12, 0.1, 1.0, 0.55, b.material(_radiator()))


def _radiator() -> Material:
    return Material(
        color=(0.8, 0.8, 0.78), cell_width_m=0.06, joint_m=0.02, joint_color=(0.25, 0.25, 0.25)
    )


def _door(f: Frame) -> None:
    b, rng = f.builder, f.builder.rng
    leaf, trim = put.hard(b), put.hard(b)
    w, h = float(rng.uniform(0.8, 1.0)), float(rng.uniform(1.95, 2.15))
    f.box(0.015, 0, 0, 0.03, w, h, leaf)
    for s in (-1, 1):
        f.box(0.025, s * (w / 2 + 0.04), 0, 0.05, 0.08, h, trim)
    f.box(0.025, 0, h, 0.05, w + 0.16, 0.08, trim)
    f.box(0.06, 0.4 * w, 1.0, 0.05, 0.12, 0.025, b.material(look.plastic(rng)))


def _window(f: Frame, width: float) -> None:
    b, rng = f.builder, f.builder.rng
    bright = float(rng.uniform(0.5, 1.6))
    glass = b.material(
        Material(color=(0.5, 0.6, 0.7), glow=bright, coarse_gain=0.5, mid_gain=0.2, gloss=0.5)
    )
    trim = put.hard(b)
    bottom, height = float(rng.uniform(0.6, 1.0)), float(rng.uniform(0.9, 1.3))
    f.box(0.005, 0, bottom, 0.01, width, height, glass)
    for y in (-width / 2, 0.0, width / 2):
        f.box(0.03, y, bottom, 0.05, 0.06, height, trim)
    f.box(0.03, 0, bottom + height, 0.05, width + 0.06, 0.06, trim)
    f.box(0.06, 0, bottom - 0.04, 0.14, width + 0.1, 0.04, trim)
    if rng.uniform() < 0.5:  # curtains
        cloth = put.soft(b)
        for s in (-1, 1):
            for i in range(3):
                y = s * (width / 2 + 0.02 + 0.09 * i)
                f.cylinder(0.08, y, 0.1, 0.1, bottom + height + 0.1, cloth)


def _picture(f: Frame, width: float, height: float) -> None:
    b, rng = f.builder, f.builder.rng
    bottom = float(rng.uniform(1.0, 1.5))
    front, edge = b.material(look.printed(rng)), put.hard(b)
    f.box(0.012, 0, bottom, 0.024, width, height, edge)
    f.box(0.014, 0, bottom + 0.03, 0.024, width - 0.06, height - 0.06, front)


def _television(f: Frame, rng: np.random.Generator) -> None:
    put.cabinet(f, 1.3, 0.5, 0.4)
    put.screen(f, float(rng.uniform(0.7, 1.2)), 0.65)


def _desk(f: Frame) -> None:
    b, rng = f.builder, f.builder.rng
    put.table(f, 0.75, float(rng.uniform(1.2, 1.6)))
    put.screen(f.at(-0.15, float(rng.normal(0, 0.2)), 0.0, float(rng.normal(0, 0.15))), 0.55, 0.9)
    key = b.material(replace(look.printed(rng), color=(0.05, 0.05, 0.05), mid_period_m=0.15))
    f.box(0.15, 0, 0.74, 0.15, 0.42, 0.02, key)
    put.chair(f.at(0.65, float(rng.normal(0, 0.15)), 0.0, np.pi + float(rng.normal(0, 0.5))))
    if rng.uniform() < 0.4:  # screen wall
        f.box(-0.42, 0, 0.0, 0.04, 1.6, 1.2, put.soft(b))


def _rack(f: Frame) -> None:
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


def _against_wall(
    b: Builder, size: Size, maker: Callable[[Frame], None], *, long_walls: bool = False
) -> None:
    rng = b.rng
    for _ in range(6):
        side = int(rng.integers(2, 4)) if long_walls else int(rng.integers(4))
        f, length = _wall_frame(b, size, side)
        mark, seat = len(b.rows), float(rng.uniform(-0.45, 0.45)) * length
        spot = f.at(0.0, seat)
        radius = 0.35 if long_walls else 0.6
        center = f.at(radius, seat).origin_m
        if abs(seat) > length / 2 - radius or not b.is_free(center[0], center[1], radius):
            continue
        maker(spot)
        reach = _push_in(b, mark, f)
        b.take(float(center[0]), float(center[1]), max(radius, reach))
        return


def _push_in(b: Builder, mark: int, wall: Frame) -> float:
    """Move what was just built off the wall it stands in; return half its width."""
    corners = b._table(b.rows[mark:], -1).corners_m().reshape(-1, 3)
    local = (corners - wall.origin_m) @ wall.rotation
    shift = wall.rotation @ np.array([_WALL_MARGIN_M - local[:, 0].min(), 0.0, 0.0])
    b.rows[mark:] = [(s, c + shift, r, h, m) for s, c, r, h, m in b.rows[mark:]]
    return 0.5 * float(np.ptp(local[:, 1]))


def _in_the_open(b: Builder, size: Size, maker: Callable[[Frame], None], radius: float) -> None:
    rng = b.rng
    for _ in range(8):
        x, y = (rng.uniform(-0.5, 0.5, 2) * (np.array(size[:2]) - 2 * radius - 0.1)).tolist()
        if b.is_free(x, y, radius):
            maker(b.frame(x, y, 0.0, float(rng.uniform(0, 2 * np.pi))))
            b.take(x, y, radius)
            return


def _floor_clutter(b: Builder, size: Size, count: int) -> None:
    rng = b.rng
    for _ in range(count):
        scale = float(rng.uniform(0.08, 0.45))
        _in_the_open(b, size, lambda f, s=scale: put.small_thing(f, 0.0, s), 0.6 * scale)  # type: ignore[misc]


def _people(b: Builder, size: Size, count: int) -> None:
    rng = b.rng
    for _ in range(count):
        for _ in range(20):
            start = rng.uniform(-0.5, 0.5, 2) * (np.array(size[:2]) - 1.2)
            angle = float(rng.uniform(0, 2 * np.pi))
            length = float(rng.uniform(0.8, 4.0))
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            if np.any(np.abs(end) > 0.5 * (np.array(size[:2]) - 1.0)):
                continue
            way = start + (end - start) * np.linspace(0, 1, 6)[:, None]
            if all(b.is_free(float(x), float(y), 0.35) for x, y in way):
                walk(b, (float(start[0]), float(start[1])), (float(end[0]), float(end[1])))
                for x, y in way:
                    b.take(float(x), float(y), 0.4)
                break


def walk(b: Builder, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Add a person who walks to and fro between two points."""
    mark = len(b.rows)
    swing, pivot = put.person(b.frame())
    b.movers.append(
        Mover(
            body=b.mover_body(mark),
            swing_rad=np.array(swing),
            pivot_z_m=np.array(pivot),
            start_m=start,
            end_m=end,
            speed_m_s=float(b.rng.uniform(0.5, 1.3)),
            phase_m=float(b.rng.uniform(0.0, 5.0)),
        )
    )


def _finish(b: Builder, kind: str, size: Size, map_size: int) -> Scene:
    rng = b.rng
    lighting = _lamp_light(b, size) if rng.uniform() < 0.6 else _window_light(b, size)
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


def _warm(rng: np.random.Generator, strength: float) -> tuple[float, float, float]:
    warmth = float(rng.uniform(-0.15, 0.35))
    return (strength * (1 + warmth), strength, strength * (1 - warmth))


def _lamp_light(b: Builder, size: Size) -> Lighting:
    rng, height = b.rng, size[2]
    x, y = (rng.uniform(-0.3, 0.3, 2) * size[:2]).tolist()
    shade = b.material(Material(color=(0.9, 0.9, 0.85), glow=4.0, fine_gain=0.0, mid_gain=0.0))
    b.frame(x, y, height).cylinder(0, 0, -0.06, 0.4, 0.06, shade)
    lamps = []
    for px in np.arange(-size[0] / 2 + 1.5, size[0] / 2 - 1.0, max(3.0, size[0] / 4)):
        lamps.append(Lamp(position_m=(float(px), 0.0, height - 0.3), rgb=_warm(rng, 0.5)))
        b.frame(float(px), 0.0, height).box(0, 0, -0.03, 1.1, 0.2, 0.03, shade)
    ambient = float(rng.uniform(0.12, 0.4))
    return Lighting(
        key=KeyLight(
            position_m=(x, y, height - 0.12),
            axis=(0.0, 0.0, -1.0),
            rgb=_warm(rng, 0.5 * height**2),
            sun=False,
        ),
        lamps=tuple(lamps[:4]),
        sky_rgb=_warm(rng, ambient),
        ground_rgb=_warm(rng, 0.75 * ambient),
    )


def _window_light(b: Builder, size: Size) -> Lighting:
    rng = b.rng
    f, length = _wall_frame(b, size, int(rng.integers(4)))
    spot = f.at(0.0, float(rng.uniform(-0.3, 0.3)) * length)
    _window(spot, 1.5)
    position = spot.at(0.35, 0.0, 1.6).origin_m
    axis = f.rotation @ np.array([1.0, float(rng.normal(0, 0.3)), float(rng.uniform(-0.7, -0.2))])
    reach = float(min(max(size[0], size[1]), 8.0))
    ambient = float(rng.uniform(0.15, 0.45))
    day = (0.95, 1.0, 1.1)
    strength = float(rng.uniform(0.12, 0.35)) * reach**2
    return Lighting(
        key=KeyLight(
            position_m=(float(position[0]), float(position[1]), float(position[2])),
            axis=(float(axis[0]), float(axis[1]), float(axis[2])),
            rgb=(strength * day[0], strength * day[1], strength * day[2]),
            sun=False,
        ),
        sky_rgb=_warm(rng, ambient),
        ground_rgb=_warm(rng, 0.8 * ambient),
    )

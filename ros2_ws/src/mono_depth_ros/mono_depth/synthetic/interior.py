"""What rooms are made of: shell, doors, windows, lamps, and where furniture goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mono_depth.synthetic import furniture as put
from mono_depth.synthetic import palette as look
from mono_depth.synthetic.builder import Builder, LocalFrame
from mono_depth.synthetic.materials import Material
from mono_depth.synthetic.movers import Mover
from mono_depth.synthetic.solids import Shape

_WALL_MARGIN_M = 0.02
Size = tuple[float, float, float]


def room_box(b: Builder, size: Size, faces: tuple[int, ...]) -> None:
    """Add floor, walls and ceiling, with materials -x +x -y +y floor ceiling."""
    b.frame().add(Shape.ROOM, (0.0, 0.0, size[2] / 2), size, faces)


def shell(b: Builder, size: Size) -> None:
    """Add floor, walls, ceiling, skirting and perhaps a rug."""
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
    room_box(b, size, (*walls, floor, b.material(ceiling)))
    skirting = put.hard(b)
    for side in range(4):
        f, length = wall_frame(b, size, side)
        if rng.uniform() < 0.8:
            f.box(0.008, 0, 0, 0.016, length, float(rng.uniform(0.05, 0.14)), skirting)
    if rng.uniform() < 0.6:  # rug
        dx, dy = rng.uniform(0.3, 0.7, 2) * size[:2]
        x, y = rng.normal(0, 0.3, 2).tolist()
        f = b.frame(x, y, 0.0, float(rng.normal(0, 0.1)))
        f.box(0, 0, 0, float(dx), float(dy), 0.012, put.soft(b))


def alcove(b: Builder, size: Size) -> None:
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


def wall_frame(b: Builder, size: Size, side: int) -> tuple[LocalFrame, float]:
    """Return the frame of a wall, x pointing into the room, and the wall's length."""
    x, y, yaw = [
        (-size[0] / 2, 0.0, 0.0),
        (size[0] / 2, 0.0, np.pi),
        (0.0, -size[1] / 2, np.pi / 2),
        (0.0, size[1] / 2, -np.pi / 2),
    ][side]
    return b.frame(x, y, 0.0, yaw), float(size[1] if side < 2 else size[0])


def wall_things(b: Builder, size: Size, count: int) -> None:
    """Put doors, windows, images and radiators on the walls."""
    rng = b.rng
    for _ in range(count):
        f, length = wall_frame(b, size, int(rng.integers(4)))
        f = f.at(0.0, float(rng.uniform(-0.4, 0.4)) * length)
        kind = rng.uniform()
        if kind < 0.3:
            door(f)
        elif kind < 0.5:
            window(f, float(rng.uniform(0.7, 1.8)))
        elif kind < 0.9:
            image(f, float(rng.uniform(0.25, 1.2)), float(rng.uniform(0.25, 0.9)))
        else:
            f.box(0.06, 0, 0.12, 0.1, 1.0, 0.55, b.material(_radiator()))


def _radiator() -> Material:
    return Material(
        color=(0.8, 0.8, 0.78), cell_width_m=0.06, joint_m=0.02, joint_color=(0.25, 0.25, 0.25)
    )


def door(f: LocalFrame) -> None:
    """A door in the wall x = 0."""
    b, rng = f.builder, f.builder.rng
    leaf, trim = put.hard(b), put.hard(b)
    w, h = float(rng.uniform(0.8, 1.0)), float(rng.uniform(1.95, 2.15))
    f.box(0.015, 0, 0, 0.03, w, h, leaf)
    for s in (-1, 1):
        f.box(0.025, s * (w / 2 + 0.04), 0, 0.05, 0.08, h, trim)
    f.box(0.025, 0, h, 0.05, w + 0.16, 0.08, trim)
    f.box(0.06, 0.4 * w, 1.0, 0.05, 0.12, 0.025, b.material(look.plastic(rng)))


def window(f: LocalFrame, width: float) -> None:
    """A window in the wall x = 0, perhaps with curtains."""
    b, rng = f.builder, f.builder.rng
    view = Material(  # mostly too bright to see what is outside
        color=look.tinted(0.58, float(rng.uniform(0.0, 0.3)), 0.9),
        second_color=look.tinted(float(rng.uniform(0.1, 0.4)), 0.4, 0.5),
        glow=float(rng.uniform(0.6, 3.5)),
        fine_gain=0.0,
        mid_gain=float(rng.uniform(0.0, 0.1)),
        coarse_gain=float(rng.uniform(0.1, 0.5)),
        coarse_period_m=float(rng.uniform(1.0, 4.0)),
        gloss=0.3,
    )
    glass = b.material(view)
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


def image(f: LocalFrame, width: float, height: float) -> None:
    """An image or poster on the wall x = 0."""
    b, rng = f.builder, f.builder.rng
    bottom = float(rng.uniform(1.0, 1.5))
    front, edge = b.material(look.printed(rng)), put.hard(b)
    f.box(0.012, 0, bottom, 0.024, width, height, edge)
    f.box(0.014, 0, bottom + 0.03, 0.024, width - 0.06, height - 0.06, front)


def against_wall(
    b: Builder, size: Size, maker: Callable[[LocalFrame], None], *, long_walls: bool = False
) -> None:
    """Build a piece of furniture with its back to a wall, where there is room."""
    rng = b.rng
    for _ in range(6):
        side = int(rng.integers(2, 4)) if long_walls else int(rng.integers(4))
        f, length = wall_frame(b, size, side)
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


def _push_in(b: Builder, mark: int, wall: LocalFrame) -> float:
    """Move what was just built off the wall it stands in; return half its width."""
    corners = b.table(b.rows[mark:]).corners_m().reshape(-1, 3)
    local = (corners - wall.origin_m) @ wall.rotation
    shift = wall.rotation @ np.array([_WALL_MARGIN_M - local[:, 0].min(), 0.0, 0.0])
    b.rows[mark:] = [(s, c + shift, r, h, m) for s, c, r, h, m in b.rows[mark:]]
    return 0.5 * float(np.ptp(local[:, 1]))


def in_the_open(b: Builder, size: Size, maker: Callable[[LocalFrame], None], radius: float) -> None:
    """Build something on the floor away from everything else, where there is room."""
    rng = b.rng
    for _ in range(8):
        x, y = (rng.uniform(-0.5, 0.5, 2) * (np.array(size[:2]) - 2 * radius - 0.1)).tolist()
        if b.is_free(x, y, radius):
            maker(b.frame(x, y, 0.0, float(rng.uniform(0, 2 * np.pi))))
            b.take(x, y, radius)
            return


def floor_clutter(b: Builder, size: Size, count: int) -> None:
    """Scatter small things over the floor."""
    rng = b.rng
    for _ in range(count):
        scale = float(rng.uniform(0.08, 0.45))
        in_the_open(b, size, lambda f, s=scale: put.small_thing(f, 0.0, s), 0.6 * scale)  # type: ignore[misc]


def people(b: Builder, size: Size, count: int) -> None:
    """Add people who walk to and fro where the floor is free."""
    rng = b.rng
    for _ in range(count):
        for _ in range(40):
            start = rng.uniform(-0.5, 0.5, 2) * (np.array(size[:2]) - 1.2)
            angle = float(rng.uniform(0, 2 * np.pi))
            length = float(rng.uniform(0.8, 3.5))
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            if np.any(np.abs(end) > 0.5 * (np.array(size[:2]) - 1.0)):
                continue
            way = start + (end - start) * np.linspace(0, 1, 6)[:, None]
            if all(b.is_free(float(x), float(y), 0.3) for x, y in way):
                walk(b, (float(start[0]), float(start[1])), (float(end[0]), float(end[1])))
                for x, y in way:
                    b.take(float(x), float(y), 0.35)
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

"""Things that stand in rooms, each built at the origin of a frame, facing +x."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mono_depth.synthetic import palette as look
from mono_depth.synthetic.builder import Builder, LocalFrame
from mono_depth.synthetic.materials import Material


def hard(b: Builder) -> int:
    """Return a random furniture material."""
    kind = b.rng.uniform()
    make = look.wood if kind < 0.5 else look.plastic if kind < 0.85 else look.paint
    return b.material(make(b.rng))


def soft(b: Builder) -> int:
    """Return a random cloth."""
    return b.material(look.fabric(b.rng))


def small_thing(f: LocalFrame, z: float = 0.0, size: float = 0.2) -> None:
    """Put a small object of random shape on a surface at height z."""
    b, rng = f.builder, f.builder.rng
    make = [look.plastic, look.printed, look.fabric, look.wood][int(rng.integers(4))]
    m = b.material(make(rng))
    a, c, h = (float(v) for v in size * rng.uniform(0.25, 1.0, 3))
    kind = int(rng.integers(7))
    if kind <= 1:
        f.at(0, 0, z, float(rng.uniform(0, 6.3))).box(0, 0, 0, a, c, h, m)
    elif kind == 2:  # cup, can, bottle
        f.cylinder(0, 0, z, 0.4 * size, 1.2 * h, m)
        if rng.uniform() < 0.5:
            f.cylinder(0, 0, z + 1.2 * h, 0.15 * size, 0.5 * h, m)
    elif kind == 3:
        f.ball(0, 0, z, a, a, a, m)
    elif kind == 4:  # a pile of books or papers
        for _ in range(int(rng.integers(2, 5))):
            cover = b.material(look.printed(rng))
            thick = float(rng.uniform(0.015, 0.05))
            f.at(0, 0, z, float(rng.normal(0, 0.3))).box(0, 0, 0, a, c, thick, cover)
            z += thick
    elif kind == 5:  # lamp or vase
        f.cylinder(0, 0, z, 0.5 * size, 0.02, m)
        f.cylinder(0, 0, z, 0.06 * size, 1.6 * size, m)
        f.cone(0, 0, z + 1.3 * size, size, 0.8 * size, soft(b))
    else:
        plant(f, z, size)


def plant(f: LocalFrame, z: float = 0.0, size: float = 0.5) -> None:
    """Put a potted plant at height z."""
    b, rng = f.builder, f.builder.rng
    pot, leaf = b.material(look.plastic(rng)), b.material(look.foliage(rng))
    f.cylinder(0, 0, z, 0.5 * size, 0.45 * size, pot)
    for _ in range(5 if size > 0.35 else 3):
        dx, dy = rng.normal(0, 0.2 * size, 2)
        leaf_frame = f.at(float(dx), float(dy), z + 0.4 * size, float(rng.uniform(0, 6.3)))
        lean = leaf_frame.at(0, 0, 0, 0, float(rng.normal(0, 0.5)))
        lean.ball(0, 0, 0, 0.45 * size, 0.25 * size, size * float(rng.uniform(0.6, 1.4)), leaf)


def clutter_on(
    f: LocalFrame, dx: float, dy: float, z: float, count: int, size: float = 0.2
) -> None:
    """Scatter small objects over a rectangle at height z."""
    rng = f.builder.rng
    for _ in range(count):
        x, y = rng.uniform(-0.42, 0.42, 2) * (dx, dy)
        small_thing(f.at(float(x), float(y)), z, size)


def table(f: LocalFrame, dx: float = 0.8, dy: float = 1.4, height: float = 0.74) -> None:
    """A table with things on it."""
    b, rng = f.builder, f.builder.rng
    top, leg = hard(b), hard(b)
    f.box(0, 0, height - 0.04, dx, dy, 0.04, top)
    thick = float(rng.uniform(0.03, 0.08))
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (dx / 2 - thick), sy * (dy / 2 - thick)
            f.box(x, y, 0, thick, thick, height - 0.04, leg)
    clutter_on(f, dx, dy, height, int(rng.integers(2, 9)))


def chair(f: LocalFrame) -> None:
    """A chair, facing +x."""
    b, rng = f.builder, f.builder.rng
    frame, seat = hard(b), soft(b) if rng.uniform() < 0.5 else hard(b)
    height, w = float(rng.uniform(0.42, 0.5)), float(rng.uniform(0.4, 0.5))
    f.box(0, 0, height, w, w, 0.05, seat)
    if rng.uniform() < 0.35:  # office chair
        f.cylinder(0, 0, 0.08, 0.06, height - 0.08, frame)
        f.box(0, 0, 0.04, 0.6, 0.06, 0.05, frame)
        f.box(0, 0, 0.04, 0.06, 0.6, 0.05, frame)
    else:
        for sx in (-1, 1):
            for sy in (-1, 1):
                f.box(sx * (w / 2 - 0.03), sy * (w / 2 - 0.03), 0, 0.035, 0.035, height, frame)
    lean = f.at(-w / 2 + 0.02, 0, height, 0, float(rng.uniform(-0.25, 0.0)))
    lean.box(0, 0, 0.15, 0.04, w, float(rng.uniform(0.3, 0.5)), seat)
    lean.box(0, 0, 0, 0.03, 0.06, 0.2, frame)


def sofa(f: LocalFrame) -> None:
    """A sofa or armchair, facing +x."""
    b, rng = f.builder, f.builder.rng
    cloth = soft(b)
    dy, dx = float(rng.uniform(0.9, 2.3)), float(rng.uniform(0.75, 0.95))
    f.box(0, 0, 0.08, dx, dy, 0.3, cloth)
    f.box(-dx / 2 + 0.1, 0, 0.3, 0.2, dy, float(rng.uniform(0.35, 0.6)), cloth)
    for s in (-1, 1):
        f.box(0, s * (dy / 2 - 0.08), 0.3, dx, 0.16, 0.25, cloth)
    seats = max(1, round(dy / 0.75))
    for i in range(seats):
        y = (i + 0.5 - seats / 2) * (dy - 0.35) / seats
        f.box(0.08, y, 0.38, dx - 0.25, (dy - 0.37) / seats, 0.12, cloth)
        if rng.uniform() < 0.5:
            f.at(-dx / 2 + 0.28, y, 0.5).ball(0, 0, 0, 0.18, 0.45, 0.4, soft(b))


def bed(f: LocalFrame) -> None:
    """A bed, its head towards -x."""
    b, rng = f.builder, f.builder.rng
    dy, wood = float(rng.uniform(0.9, 1.8)), hard(b)
    f.box(0, 0, 0.1, 2.05, dy, 0.22, wood)
    f.box(-1.02, 0, 0, 0.05, dy + 0.1, float(rng.uniform(0.7, 1.2)), wood)
    f.box(0, 0, 0.32, 1.98, dy - 0.05, 0.18, soft(b))
    f.box(0.25, 0, 0.34, 1.5, dy + 0.04, 0.2, soft(b))
    for y in (0.0,) if dy < 1.3 else (-dy / 4, dy / 4):
        f.ball(-0.75, y, 0.45, 0.4, 0.65, 0.2, soft(b))


def shelf(f: LocalFrame, width: float, height: float, depth: float = 0.3) -> None:
    """A shelf with books and boxes, open towards +x."""
    b, rng = f.builder, f.builder.rng
    board = hard(b)
    f.box(-depth / 2 + 0.01, 0, 0, 0.02, width, height, board)
    for s in (-1, 1):
        f.box(0, s * width / 2, 0, depth, 0.025, height, board)
    levels = max(2, int(height / rng.uniform(0.3, 0.45)))
    step = height / levels
    for i in range(levels + 1):
        f.box(0, 0, min(i * step, height - 0.025), depth, width, 0.025, board)
    for i in range(levels):
        y = -width / 2 + 0.03
        while y < width / 2 - 0.15:
            run = float(min(rng.uniform(0.1, 0.6), width / 2 - 0.03 - y))
            z, mid = i * step + 0.025, y + run / 2
            if rng.uniform() < 0.6:
                books = b.material(_book_spines(rng))
                top = float(rng.uniform(0.6, 0.9)) * (step - 0.03)
                f.box(-0.03, mid, z, depth * 0.7, run, top, books)
            elif rng.uniform() < 0.7:
                small_thing(f.at(0, mid), z, min(run, step * 0.6, 0.25))
            y += run + float(rng.exponential(0.08))


def _book_spines(rng: np.random.Generator) -> Material:
    return replace(
        look.printed(rng),
        cell_width_m=float(rng.uniform(0.018, 0.05)),
        joint_m=0.003,
        joint_color=(0.02, 0.02, 0.02),
        cell_jitter=float(rng.uniform(0.4, 0.8)),
    )


def cabinet(f: LocalFrame, width: float, height: float, depth: float = 0.5) -> None:
    """A cabinet, wardrobe or fridge with doors towards +x."""
    b, rng = f.builder, f.builder.rng
    body = hard(b)
    columns, rows = max(1, round(width / 0.5)), int(rng.integers(1, 5)) if height < 1.3 else 2
    front = b.material(
        replace(
            b.materials[body],
            cell_width_m=width / columns,
            cell_height_m=height / rows,
            joint_m=0.008,
            joint_color=(0.01, 0.01, 0.01),
        )
    )
    f.box(0, 0, 0, depth, width, height, (body, front, body, body, body, body))
    knob = b.material(look.plastic(rng))
    for c in range(columns):
        y = (c + 0.5 - columns / 2) * width / columns + 0.3 * width / columns
        f.box(depth / 2 + 0.015, y, 0.55 * height, 0.03, 0.015, 0.14, knob)
    if height < 1.5:
        clutter_on(f, depth, width, height, int(rng.integers(0, 4)))


def screen(f: LocalFrame, width: float, bottom: float) -> None:
    """A monitor or television towards +x."""
    b, rng = f.builder, f.builder.rng
    case = b.material(Material(color=(0.02, 0.02, 0.02), gloss=0.4, fine_gain=0.02))
    image = replace(look.printed(rng), glow=float(rng.choice([0.0, 0.6])), gloss=0.3)
    if rng.uniform() < 0.4:
        image = Material(color=(0.015, 0.015, 0.02), gloss=0.8, fine_gain=0.01)
    front = b.material(image)
    f.box(0, 0, bottom, 0.04, width, 0.58 * width, (case, front, case, case, case, case))
    f.box(-0.02, 0, bottom - 0.12, 0.03, 0.06, 0.14, case)
    f.cylinder(0, 0, bottom - 0.13, 0.25, 0.015, case)


def crates(f: LocalFrame, size: float = 0.4) -> None:
    """A pile of cartons or crates."""
    b, rng = f.builder, f.builder.rng
    z = 0.0
    for _ in range(int(rng.integers(1, 4))):
        carton = replace(
            look.printed(rng), color=look.tinted(0.08, 0.45, float(rng.uniform(0.5, 0.8)))
        )
        m = b.material(carton if rng.uniform() < 0.7 else look.plastic(rng))
        s = size * rng.uniform(0.6, 1.2, 3)
        x, y = rng.normal(0, 0.05, 2)
        turned = f.at(float(x), float(y), z, float(rng.normal(0, 0.3)))
        turned.box(0, 0, 0, float(s[0]), float(s[1]), float(s[2]), m)
        z += float(s[2])


def pole(f: LocalFrame, height: float, diameter: float = 0.03) -> None:
    """A thin pole: lamp stand, coat rack, post."""
    b, rng = f.builder, f.builder.rng
    m = b.material(look.plastic(rng))
    f.cylinder(0, 0, 0, diameter, height, m)
    f.cylinder(0, 0, 0, 10 * diameter, 0.02, m)
    if rng.uniform() < 0.5:
        f.cone(0, 0, height, 0.4, 0.3, soft(b))


def person(f: LocalFrame) -> tuple[list[float], list[float]]:
    """A standing person facing +x; returns swing and pivot height of each solid."""
    b, rng = f.builder, f.builder.rng
    tall = float(rng.uniform(1.5, 1.9))
    k = tall / 1.75
    skin = b.material(
        Material(color=look.tinted(0.06, 0.45, float(rng.uniform(0.4, 0.95))), fine_gain=0.03)
    )
    shirt, trousers = soft(b), soft(b)
    hair = b.material(
        Material(color=look.tinted(0.07, 0.5, float(rng.uniform(0.05, 0.6))), fine_gain=0.2)
    )
    f.ball(0, 0, 1.5 * k, 0.2 * k, 0.17 * k, 0.25 * k, skin)
    f.ball(-0.02 * k, 0, 1.56 * k, 0.21 * k, 0.19 * k, 0.21 * k, hair)
    f.ball(0, 0, 0.82 * k, 0.27 * k, 0.42 * k, 0.72 * k, shirt)
    f.ball(0, 0, 1.25 * k, 0.2 * k, 0.48 * k, 0.22 * k, shirt)
    f.cylinder(0, 0, 1.4 * k, 0.1 * k, 0.15 * k, skin)
    f.ball(0, 0, 0.75 * k, 0.27 * k, 0.36 * k, 0.3 * k, trousers)
    swing, pivot = [0.0] * 6, [0.0] * 6
    for s in (-1, 1):
        f.ball(0, s * 0.1 * k, 0.02, 0.17 * k, 0.17 * k, 0.92 * k, trousers)
        f.box(0.05 * k, s * 0.1 * k, 0.0, 0.26 * k, 0.1 * k, 0.08 * k, hair)
        f.ball(0, s * 0.225 * k, 0.74 * k, 0.11 * k, 0.11 * k, 0.7 * k, shirt)
        f.ball(0, s * 0.225 * k, 0.68 * k, 0.08 * k, 0.08 * k, 0.12 * k, skin)
        swing += [0.45 * s, 0.45 * s, -0.4 * s, -0.4 * s]
        pivot += [0.88 * k, 0.88 * k, 1.4 * k, 1.4 * k]
    return swing, pivot

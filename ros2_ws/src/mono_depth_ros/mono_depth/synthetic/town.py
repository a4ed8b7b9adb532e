"""Houses, trees, cars and fences, each built at the origin of a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mono_depth.synthetic import furniture as put
from mono_depth.synthetic import palette as look
from mono_depth.synthetic.builder import LocalFrame
from mono_depth.synthetic.materials import Material


def house(f: LocalFrame, width: float) -> None:
    """A house whose front lies in the plane y = 0, facing +y."""
    b, rng = f.builder, f.builder.rng
    storeys, depth = int(rng.integers(1, 5)), float(rng.uniform(6, 10))
    height = 3.0 * storeys + 0.3
    wall = look.bricks(rng) if rng.uniform() < 0.5 else look.paint(rng, (0.45, 0.95))
    plain = b.material(replace(wall, mid_gain=max(wall.mid_gain, 0.12), coarse_gain=0.3))
    f.box(0, -depth / 2, 0, width, depth, height, plain)
    glass = b.material(
        Material(
            color=(0.03, 0.04, 0.05),
            second_color=(0.35, 0.4, 0.45),
            coarse_gain=0.5,
            coarse_period_m=3.0,
            gloss=0.9,
            fine_gain=0.01,
            cell_width_m=0.6,
            cell_height_m=0.7,
            joint_m=0.06,
            joint_color=(0.7, 0.7, 0.68),
            cell_jitter=0.3,
        )
    )
    trim = put.hard(b)
    columns = max(1, int(width / float(rng.uniform(2.0, 3.0))))
    w, h = float(rng.uniform(0.8, 1.4)), float(rng.uniform(1.2, 1.7))
    door = int(rng.integers(columns))
    for i in range(storeys):
        for c in range(columns):
            x = (c + 0.5 - columns / 2) * width / columns
            if i == 0 and c == door:
                f.box(x, 0.02, 0, 1.0, 0.06, 2.1, put.hard(b))
                f.box(x, 0.3, 0, 1.3, 0.6, 0.15, trim)
                continue
            f.box(x, 0.0, 0.9 + 3.0 * i, w, 0.03, h, glass)
            if i < 2:
                f.box(x, 0.06, 0.82 + 3.0 * i, w + 0.2, 0.14, 0.07, trim)
    roof = b.material(
        replace(look.bricks(rng), cell_width_m=0.3, cell_height_m=0.3, joint_color=(0.03,) * 3)
    )
    if rng.uniform() < 0.6:
        edge = depth / np.sqrt(2.0) + 0.4  # a bar turned by 45 degrees, half sunk in the house
        bar = f.at(0, -depth / 2, height, np.pi / 2, np.pi / 4)
        bar.box(0, 0, -edge / 2, edge, width + 0.4, edge, (roof, roof, plain, plain, roof, roof))
    else:
        f.box(0, -depth / 2, height, width + 0.3, depth + 0.3, 0.25, trim)


def tree(f: LocalFrame) -> None:
    """A tree: a trunk and a crown."""
    b, rng = f.builder, f.builder.rng
    bark = b.material(replace(look.wood(rng), color=look.tinted(0.07, 0.4, 0.35), mid_gain=0.4))
    leaf = b.material(look.foliage(rng))
    tall = float(rng.uniform(2.5, 8.0))
    f.cylinder(0, 0, 0, 0.05 * tall, 0.6 * tall, bark)
    if rng.uniform() < 0.3:
        for i in range(3):
            f.cone(0, 0, tall * (0.2 + 0.22 * i), tall * (0.55 - 0.13 * i), 0.4 * tall, leaf)
        return
    for _ in range(int(rng.integers(5, 10))):
        x, y, z = rng.normal(0, 0.13 * tall, 3)
        dx, dy, dz = (tall * rng.uniform(0.22, 0.45, 3)).tolist()
        turned = f.at(float(x), float(y), 0.62 * tall + float(z), float(rng.uniform(0, 6)))
        turned.at(0, 0, 0, 0, float(rng.normal(0, 0.5))).ball(0, 0, 0, dx, dy, dz, leaf)


def bush(f: LocalFrame) -> None:
    """A bush."""
    b, rng = f.builder, f.builder.rng
    leaf = b.material(look.foliage(rng))
    size = float(rng.uniform(0.4, 1.3))
    for _ in range(4):
        x, y = rng.normal(0, 0.25 * size, 2)
        a, c, h = size * rng.uniform(0.5, 1.0, 3)
        f.ball(float(x), float(y), -0.1 * size, float(a), float(c), float(h), leaf)


def car(f: LocalFrame) -> None:
    """A car, facing +x."""
    b, rng = f.builder, f.builder.rng
    paint = b.material(replace(look.plastic(rng), gloss=0.9))
    glass = b.material(Material(color=(0.02, 0.025, 0.03), gloss=0.9, fine_gain=0.01))
    tyre = b.material(Material(color=(0.02, 0.02, 0.02), fine_gain=0.1))
    light = b.material(Material(color=(0.8, 0.75, 0.7), gloss=0.9))
    long, wide = float(rng.uniform(3.8, 4.7)), float(rng.uniform(1.65, 1.85))
    f.box(0, 0, 0.28, long, wide, 0.52, paint)
    tall = float(rng.uniform(0.5, 0.75))
    back = float(rng.uniform(-0.2, -0.05)) * long
    f.box(back, 0, 0.78, 0.42 * long, 0.86 * wide, tall, glass)
    f.box(back, 0, 0.78 + tall, 0.40 * long, 0.84 * wide, 0.05, paint)
    for s in (-1, 1):
        pane = f.at(back + s * 0.2 * long, 0, 0.76 + tall, 0.0 if s > 0 else np.pi, 0.7)
        pane.box(0.5 * tall, 0, -0.25, 1.25 * tall, 0.84 * wide, 0.27, glass)
    for s in (-1, 1):
        f.box(s * long / 2, 0, 0.25, 0.12, wide * 0.96, 0.2, tyre)
        for t in (-1, 1):
            f.box(s * long / 2, t * 0.36 * wide, 0.55, 0.03, 0.3, 0.13, light)
            wheel = f.at(s * 0.31 * long, t * (wide / 2 - 0.08), 0.31, np.pi / 2, np.pi / 2)
            wheel.cylinder(0, 0, -0.1, 0.62, 0.2, tyre)


def border(f: LocalFrame, span: float) -> None:
    """A fence, hedge or wall along x."""
    b, rng = f.builder, f.builder.rng
    kind, height = rng.uniform(), float(rng.uniform(0.9, 2.2))
    if kind < 0.4:
        post = b.material(look.wood(rng))
        boards = b.material(
            replace(
                look.wood(rng),
                cell_width_m=0.14,
                joint_m=0.015,
                cell_jitter=0.2,
                joint_color=(0.02, 0.02, 0.02),
            )
        )
        f.box(0, 0, 0.08, span, 0.03, height, boards)
        for x in np.arange(-span / 2, span / 2, 2.0):
            f.box(float(x), 0, 0, 0.1, 0.12, height + 0.15, post)
    elif kind < 0.65:
        f.box(0, 0, 0, span, 0.3, height, b.material(look.bricks(rng)))
    else:
        leaf = b.material(look.foliage(rng))
        for x in np.arange(-span / 2, span / 2, 1.6):
            f.ball(float(x), 0, -0.2, 2.3, 1.1, height * float(rng.uniform(1.0, 1.4)), leaf)

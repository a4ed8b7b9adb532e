"""Random materials: what rooms and streets are made of."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np

from mono_depth.synthetic.materials import NO_CELLS_M, Material, Rgb
from mono_depth.synthetic.noise import Tile


def color(rng: np.random.Generator, value: tuple[float, float], saturation: float = 0.6) -> Rgb:
    """Return a random reflectance of that range of brightness and at most that saturation."""
    hue = float(rng.uniform())
    if rng.uniform() < 0.5:  # warm colours are the usual ones
        hue = float(rng.normal(0.09, 0.05)) % 1.0
    return _linear(hue, float(saturation * rng.beta(1.2, 1.8)), float(rng.uniform(*value)))


def tinted(hue: float, saturation: float, value: float) -> Rgb:
    """Return the reflectance of a display colour (HSV, 0..1)."""
    return _linear(hue, saturation, value)


def _linear(hue: float, saturation: float, value: float) -> Rgb:
    r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
    return (r**2.2, g**2.2, b**2.2)


def paint(rng: np.random.Generator, value: tuple[float, float] = (0.6, 0.97)) -> Material:
    """Wall paint, plaster or wallpaper."""
    base = Material(
        color=color(rng, value, 0.15 if rng.uniform() < 0.7 else 0.5),
        fine_gain=float(rng.uniform(0.015, 0.06)),
        mid_gain=float(rng.uniform(0.015, 0.06)),
        coarse_gain=float(rng.uniform(0.02, 0.14)),
    )
    kind = rng.uniform()
    if kind < 0.08:  # wallpaper stripes
        width = float(rng.uniform(0.05, 0.3))
        return replace(
            base, cell_width_m=width, joint_m=0.45 * width, joint_color=color(rng, value, 0.5)
        )
    if kind < 0.16:
        return replace(base, mid=Tile.LEAF, mid_gain=float(rng.uniform(0.1, 0.3)))
    if kind < 0.26:  # panels
        return replace(
            base,
            cell_width_m=float(rng.uniform(0.4, 1.2)),
            cell_height_m=float(rng.uniform(0.8, 2.6)),
            joint_m=0.012,
            joint_color=(0.1, 0.1, 0.1),
            cell_jitter=0.06,
        )
    return base


def bricks(rng: np.random.Generator) -> Material:
    """Masonry of bricks or blocks."""
    block = rng.uniform() < 0.35
    scale = float(rng.uniform(1.5, 2.2)) if block else float(rng.uniform(0.9, 1.2))
    hue = float(rng.uniform(0.0, 0.1))
    tone = tinted(hue, float(rng.uniform(0.05, 0.7)), float(rng.uniform(0.4, 0.85)))
    return Material(
        color=tone,
        joint_color=tinted(0.1, 0.1, float(rng.uniform(0.3, 0.8))),
        cell_width_m=0.25 * scale,
        cell_height_m=0.08 * scale,
        cell_shift=0.5,
        joint_m=0.012,
        cell_jitter=float(rng.uniform(0.1, 0.35)),
        fine_gain=0.16,
        mid_gain=0.18,
    )


def tiles(rng: np.random.Generator) -> Material:
    """Floor or wall tiles."""
    width = float(rng.choice([0.1, 0.15, 0.2, 0.3, 0.45, 0.6]))
    return Material(
        color=color(rng, (0.35, 0.95), 0.4),
        second_color=color(rng, (0.1, 0.9), 0.5),
        joint_color=tinted(0.1, 0.05, float(rng.uniform(0.2, 0.8))),
        cell_width_m=width,
        cell_height_m=width * float(rng.choice([1.0, 1.0, 2.0])),
        cell_shift=float(rng.choice([0.0, 0.0, 0.5])),
        joint_m=float(rng.uniform(0.003, 0.01)),
        cell_jitter=float(rng.uniform(0.02, 0.15)),
        check=float(rng.uniform() < 0.2),
        mid=Tile(rng.choice([Tile.FRACTAL, Tile.SPECKLE, Tile.BLOTCH])),
        mid_gain=float(rng.uniform(0.03, 0.12)),
        gloss=float(rng.uniform(0.0, 0.5)),
    )


def planks(rng: np.random.Generator) -> Material:
    """Floor boards."""
    return replace(
        wood(rng),
        cell_width_m=float(rng.uniform(0.07, 0.2)),
        cell_height_m=float(rng.uniform(0.6, 2.0)),
        cell_shift=-1.0,
        joint_m=0.004,
        joint_color=(0.02, 0.015, 0.01),
        cell_jitter=float(rng.uniform(0.08, 0.25)),
        gloss=float(rng.uniform(0.0, 0.4)),
    )


def wood(rng: np.random.Generator) -> Material:
    """Wood with its grain along v."""
    hue = float(rng.uniform(0.05, 0.11))
    value = float(rng.uniform(0.3, 0.9))
    return Material(
        color=tinted(hue, float(rng.uniform(0.3, 0.7)), value),
        second_color=tinted(hue, float(rng.uniform(0.4, 0.8)), 0.6 * value),
        fine_gain=0.1,
        mid=Tile.FIBRE,
        mid_gain=float(rng.uniform(0.12, 0.3)),
        mid_period_m=float(rng.uniform(0.25, 0.6)),
        coarse=Tile.FIBRE,
        coarse_gain=float(rng.uniform(0.15, 0.4)),
        coarse_period_m=2.0,
        stretch=4.0,
        gloss=float(rng.uniform(0.0, 0.3)),
    )


def fabric(rng: np.random.Generator) -> Material:
    """Carpet, upholstery or clothes."""
    base = Material(
        color=color(rng, (0.12, 0.9), 0.8),
        second_color=color(rng, (0.12, 0.9), 0.8),
        fine=Tile.WEAVE,
        fine_gain=float(rng.uniform(0.08, 0.22)),
        mid=Tile(rng.choice([Tile.GRAIN, Tile.FRACTAL, Tile.WEAVE, Tile.LEAF])),
        mid_gain=float(rng.uniform(0.06, 0.25)),
        mid_period_m=float(rng.uniform(0.3, 1.0)),
        coarse_gain=float(rng.uniform(0.0, 0.3)),
        coarse_period_m=float(rng.uniform(0.5, 3.0)),
    )
    if rng.uniform() < 0.35:
        width = float(rng.uniform(0.02, 0.3))
        return replace(
            base,
            cell_width_m=width,
            cell_height_m=float(rng.choice([width, NO_CELLS_M])),
            check=float(rng.uniform() < 0.5),
            joint_m=0.3 * width,
            joint_color=color(rng, (0.1, 0.9), 0.8),
        )
    return base


def concrete(rng: np.random.Generator, value: tuple[float, float] = (0.35, 0.75)) -> Material:
    """Concrete, screed or stone slab."""
    return Material(
        color=color(rng, value, 0.15),
        fine=Tile(rng.choice([Tile.GRAIN, Tile.SPECKLE])),
        fine_gain=float(rng.uniform(0.08, 0.2)),
        mid=Tile(rng.choice([Tile.FRACTAL, Tile.SCRATCH, Tile.BLOTCH])),
        mid_gain=float(rng.uniform(0.06, 0.18)),
        mid_period_m=float(rng.uniform(0.6, 2.0)),
        coarse_gain=float(rng.uniform(0.2, 0.45)),
        gloss=float(rng.choice([0.0, 0.0, 0.3])),
    )


def asphalt(rng: np.random.Generator) -> Material:
    """Road surface."""
    return replace(
        concrete(rng, (0.22, 0.45)), fine=Tile.SPECKLE, fine_gain=0.3, mid=Tile.GRAIN, gloss=0.0
    )


def paving(rng: np.random.Generator) -> Material:
    """Paving stones outdoors."""
    width = float(rng.choice([0.1, 0.2, 0.4, 0.5]))
    return replace(
        concrete(rng, (0.4, 0.75)),
        cell_width_m=width,
        cell_height_m=width * float(rng.choice([0.5, 1.0, 2.0])),
        cell_shift=0.5,
        joint_m=0.01,
        joint_color=(0.08, 0.08, 0.06),
        cell_jitter=float(rng.uniform(0.05, 0.25)),
    )


def gravel(rng: np.random.Generator) -> Material:
    """Gravel, cobbles or dry earth."""
    return replace(
        concrete(rng, (0.3, 0.7)),
        mid=Tile.STONE,
        mid_gain=float(rng.uniform(0.1, 0.3)),
        mid_period_m=float(rng.uniform(0.4, 2.0)),
        gloss=0.0,
    )


def grass(rng: np.random.Generator) -> Material:
    """Lawn, meadow or earth."""
    hue = float(rng.uniform(0.1, 0.3))
    return Material(
        color=tinted(hue, float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.35, 0.6))),
        second_color=tinted(hue - 0.06, float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.3, 0.6))),
        fine=Tile.LEAF,
        fine_gain=0.3,
        mid=Tile.LEAF,
        mid_gain=0.25,
        mid_period_m=0.6,
        coarse_gain=0.4,
        coarse_period_m=4.0,
    )


def foliage(rng: np.random.Generator) -> Material:
    """Leaves of a tree, hedge or plant."""
    hue = float(rng.uniform(0.17, 0.36))
    value = float(rng.uniform(0.25, 0.6))
    return Material(
        color=tinted(hue, float(rng.uniform(0.4, 0.75)), value),
        second_color=tinted(hue, 0.8, 0.35 * value),
        fine=Tile.LEAF,
        fine_gain=0.35,
        mid=Tile.LEAF,
        mid_gain=0.55,
        mid_period_m=float(rng.uniform(0.5, 1.2)),
        coarse=Tile.LEAF,
        coarse_gain=0.5,
        coarse_period_m=3.0,
    )


def plastic(rng: np.random.Generator) -> Material:
    """Plastic, lacquer or painted metal."""
    return Material(
        color=color(rng, (0.08, 0.95), 1.0),
        fine_gain=float(rng.uniform(0.01, 0.05)),
        mid_gain=float(rng.uniform(0.01, 0.06)),
        coarse_gain=float(rng.uniform(0.0, 0.12)),
        mid=Tile(rng.choice([Tile.FRACTAL, Tile.SCRATCH])),
        gloss=float(rng.uniform(0.1, 0.9)),
    )


def printed(rng: np.random.Generator) -> Material:
    """Paper, poster, carton or label with text and marks."""
    return Material(
        color=color(rng, (0.5, 1.0), 0.8),
        second_color=color(rng, (0.1, 0.9), 0.9),
        mid=Tile.PRINT,
        mid_gain=float(rng.uniform(0.15, 0.35)),
        mid_period_m=float(rng.uniform(0.2, 0.7)),
        fine_gain=0.03,
        coarse_gain=float(rng.uniform(0.2, 0.6)),
        coarse_period_m=float(rng.uniform(0.5, 2.0)),
    )

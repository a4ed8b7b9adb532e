"""Lamps and windows that light a room."""

from __future__ import annotations

import numpy as np

from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.interior import Size, wall_frame, window
from mono_depth.synthetic.light import KeyLight, Lamp, Lighting
from mono_depth.synthetic.materials import Material


def _warm(rng: np.random.Generator, strength: float) -> tuple[float, float, float]:
    warmth = float(rng.uniform(-0.15, 0.35))
    return (strength * (1 + warmth), strength, strength * (1 - warmth))


def lamp_light(b: Builder, size: Size) -> Lighting:
    """Hang lamps from the ceiling and return their light."""
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


def window_light(b: Builder, size: Size) -> Lighting:
    """Put a window into a wall and return the daylight through it."""
    rng = b.rng
    f, length = wall_frame(b, size, int(rng.integers(4)))
    spot = f.at(0.0, float(rng.uniform(-0.3, 0.3)) * length)
    window(spot, 1.5)
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

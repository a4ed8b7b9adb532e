"""What makes training scenes harder: litter, mirrors, glass, odd materials, fog, night, rain.

It comes on top of a finished scene, so recordings of the same seeds stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from mono_depth.synthetic import palette as look
from mono_depth.synthetic.arrays import F32
from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.clutter import litter
from mono_depth.synthetic.light import Lamp, Lighting
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.noise import Tile
from mono_depth.synthetic.scene import Rgb, Scene, Sky
from mono_depth.synthetic.solids import Solids

_GLASS_GLOSS = 0.75  # materials with more are glass, screens and car paint
_FLOOR = 4  # face of a room


def with_variety(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return a scene with more of what makes depth hard to see."""
    b = Builder(rng, materials=list(scene.materials.materials))
    if rng.uniform() < 0.5:
        b.materials = [_odd(m, rng) if rng.uniform() < 0.25 else m for m in b.materials]
    b.materials = [_shiny(m, rng) for m in b.materials]
    lighting, sky = scene.lighting, scene.sky
    if scene.sky is None:
        litter(scene, b)
        _polish(scene, b, _FLOOR, chance=0.25)
        if rng.uniform() < 0.35:
            _wall_mirror(scene, b)
        if rng.uniform() < 0.25:
            _glass_wall(scene, b)
    else:
        _polish(scene, b, -1, chance=0.2)  # a wet ground
        lighting, sky = _weather(scene, rng)
    solids = Solids.joined(scene.solids, b.solids()) if b.rows else scene.solids
    materials = MaterialTable(b.materials)
    return replace(scene, solids=solids, materials=materials, lighting=lighting, sky=sky)


def rain(rgb_linear: F32, rng: np.random.Generator) -> F32:
    """Return an image with streaks of rain before it."""
    height, width = rgb_linear.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    lean, shift = float(rng.normal(0.0, 0.2)), 16.0  # cv2.line takes 1/16 pixels with shift=4
    for _ in range(int(rng.integers(30, 300))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        long = rng.uniform(0.02, 0.1) * height
        start = (round(x * shift), round(y * shift))
        end = (round((x + lean * long) * shift), round((y + long) * shift))
        cv2.line(streaks, start, end, float(rng.uniform(0.1, 0.5)), 1, cv2.LINE_AA, 4)
    share = cv2.GaussianBlur(streaks, (0, 0), 0.5)[..., None]
    light = np.float32(1.2 * np.percentile(rgb_linear, 80))
    return np.asarray(rgb_linear + share * (light - rgb_linear), np.float32)


def _odd(m: Material, rng: np.random.Generator) -> Material:
    """Return a material of any colour and pattern at all, as bright as before at most."""
    tiles = list(Tile)
    return replace(
        m,
        color=look.color(rng, (0.05, 1.0), 1.0),
        second_color=look.color(rng, (0.05, 1.0), 1.0),
        fine=tiles[int(rng.integers(len(tiles)))],
        fine_gain=float(rng.uniform(0.0, 0.35)),
        mid=tiles[int(rng.integers(len(tiles)))],
        mid_gain=float(rng.uniform(0.0, 0.5)),
        mid_period_m=float(np.exp(rng.uniform(*np.log((0.1, 2.0))))),
        coarse=tiles[int(rng.integers(len(tiles)))],
        coarse_gain=float(rng.uniform(0.0, 0.8)),
        coarse_period_m=float(np.exp(rng.uniform(*np.log((0.4, 8.0))))),
        stretch=float(rng.choice([1.0, 1.0, 3.0])),
    )


def _shiny(m: Material, rng: np.random.Generator) -> Material:
    """Let glass, screens and lacquer mirror a little."""
    if m.gloss > _GLASS_GLOSS:
        return replace(m, mirror=float(rng.uniform(0.03, 0.35)))
    if m.glow > 0.0 and m.gloss > 0.0:  # a window
        return replace(m, mirror=float(rng.uniform(0.0, 0.12)))
    if m.gloss > 0.0 and rng.uniform() < 0.1:
        return replace(m, mirror=float(rng.uniform(0.05, 0.6)), gloss=0.9)  # steel
    return m


def _polish(scene: Scene, b: Builder, face: int, chance: float) -> None:
    """Sometimes let the floor of a scene, a face of its first solid, mirror."""
    if b.rng.uniform() < chance:
        index = int(scene.solids.material[0, face])
        b.materials[index] = replace(b.materials[index], mirror=float(b.rng.uniform(0.04, 0.35)))


def _wall_mirror(scene: Scene, b: Builder) -> None:
    rng, half, height = b.rng, scene.high_m, float(scene.high_m[2])
    along, across = (0, 1) if rng.uniform() < 0.5 else (1, 0)
    side = float(rng.choice([-1.0, 1.0]))
    wide = float(rng.uniform(0.3, min(1.8, 1.2 * half[across])))
    tall = float(rng.uniform(0.4, min(2.1, height - 0.2)))
    bottom = float(rng.uniform(0.0, min(1.2, height - tall)))
    place = float(rng.uniform(-0.7, 0.7)) * float(half[across])
    yaw = (0.0 if along == 0 else np.pi / 2) + (0.0 if side < 0 else np.pi)
    spot = [0.0, 0.0]
    spot[along], spot[across] = side * float(half[along]), place
    f = b.frame(spot[0], spot[1], 0.0, yaw)
    glass = Material(
        color=(0.02, 0.02, 0.02),
        fine_gain=0.0,
        mid_gain=0.0,
        coarse_gain=0.0,
        gloss=0.95,
        mirror=float(rng.uniform(0.75, 0.95)),
    )
    f.box(0.01, 0.0, bottom, 0.03, wide + 0.06, tall, b.material(look.wood(rng)))
    f.box(0.02, 0.0, bottom + 0.03, 0.03, wide, tall - 0.06, b.material(glass))


def _glass_wall(scene: Scene, b: Builder) -> None:
    rng, half, height = b.rng, scene.high_m, float(scene.high_m[2])
    x, y = (rng.uniform(-0.6, 0.6, 2) * half[:2]).tolist()
    f = b.frame(x, y, 0.0, float(rng.choice([0.0, np.pi / 2])))
    wide, tall = float(rng.uniform(0.8, 2.5)), min(float(rng.uniform(1.9, 2.6)), height - 0.05)
    pane = Material(
        color=look.color(rng, (0.5, 0.9), 0.3),
        fine_gain=0.01,
        mid_gain=float(rng.uniform(0.0, 0.05)),
        coarse_gain=0.05,
        gloss=0.9,
        mirror=float(rng.uniform(0.03, 0.12)),
        clear=float(rng.uniform(0.7, 0.97)),
    )
    post = b.material(look.plastic(rng))
    f.box(0.0, 0.0, 0.0, 0.012, wide, tall, b.material(pane))
    for s in (-1, 1):
        f.box(0.0, s * wide / 2, 0.0, 0.05, 0.05, tall, post)
    if rng.uniform() < 0.6:
        f.box(0.0, 0.0, tall, 0.05, wide, 0.05, post)


def _weather(scene: Scene, rng: np.random.Generator) -> tuple[Lighting, Sky | None]:
    light, sky, kind = scene.lighting, scene.sky, rng.uniform()
    if kind < 0.1 and sky is not None:
        grey = float(rng.uniform(0.4, 0.9))
        return _fog(light, rng, (grey, grey, grey)), _one_color(sky, (grey, grey, grey))
    if kind < 0.17 and sky is not None:
        return _night(scene, rng), _one_color(sky, (0.01, 0.012, 0.02))
    if kind < 0.3:  # overcast: no shadows
        return replace(light, key=replace(light.key, rgb=(0.05, 0.05, 0.05))), sky
    return light, sky


def _fog(light: Lighting, rng: np.random.Generator, grey: Rgb) -> Lighting:
    dim = replace(light.key, rgb=(0.1, 0.1, 0.1))
    return replace(light, key=dim, haze_per_m=float(rng.uniform(0.01, 0.06)), haze_rgb=grey)


def _night(scene: Scene, rng: np.random.Generator) -> Lighting:
    spots = rng.uniform(scene.low_m, scene.high_m, (4, 3))
    lamps = []
    for x, y, _ in spots.tolist():
        power = float(rng.uniform(0.5, 3.0))
        place = (x, y, float(rng.uniform(3.0, 5.0)))
        lamps.append(Lamp(position_m=place, rgb=(power, 0.8 * power, 0.55 * power)))
    return replace(
        scene.lighting,
        key=replace(scene.lighting.key, rgb=(0.01, 0.01, 0.015)),
        lamps=tuple(lamps),
        sky_rgb=(0.015, 0.018, 0.03),
        ground_rgb=(0.01, 0.01, 0.01),
        haze_per_m=0.001,
        haze_rgb=(0.02, 0.02, 0.03),
    )


def _one_color(sky: Sky, rgb: Rgb) -> Sky:
    return replace(sky, zenith_rgb=rgb, horizon_rgb=rgb, cloud_rgb=rgb)

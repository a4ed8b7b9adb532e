"""Mirrors and glass show what is elsewhere; their depth stays that of their surface."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from mono_depth.data import Intrinsics
from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.dataset import training_views
from mono_depth.synthetic.light import KeyLight, Lighting
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.render import Rendered, render
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.solids import Shape, Solids
from mono_depth.synthetic.trajectory import camera_pose
from mono_depth.synthetic.variety import rain, with_variety

CAMERA = Intrinsics(width=80, height=60, fx=60.0, fy=60.0, cx=39.5, cy=29.5)
AHEAD = camera_pose(np.zeros(3), 0.0)  # looks along x
DARK = Lighting(
    key=KeyLight(position_m=(0.0, 0.0, 0.0), axis=(1.0, 0.0, 0.0), rgb=(0, 0, 0), sun=True),
    sky_rgb=(0, 0, 0),
    ground_rgb=(0, 0, 0),
)
BLACK = Material(color=(0, 0, 0), fine_gain=0.0, mid_gain=0.0, coarse_gain=0.0)
LAMP = replace(BLACK, color=(1, 1, 1), glow=1.0)


def image(builder: Builder) -> Rendered:
    scene = Scene(
        "test",
        builder.solids(),
        MaterialTable(builder.materials),
        DARK,
        np.full(3, -20.0),
        np.full(3, 20.0),
        map_size=64,
    )
    return render(scene, CAMERA, AHEAD)


def wall_before_the_camera(material: Material) -> Builder:
    """A wall at x = 3 m."""
    builder = Builder(np.random.default_rng(0))
    builder.frame().box(3.5, 0, -50, 1.0, 100, 100, builder.material(material))
    return builder


def add_lamp(builder: Builder, x: float, y: float, z: float) -> None:
    builder.frame().add(Shape.ELLIPSOID, (x, y, z), (0.6, 0.6, 0.6), builder.material(LAMP))


def center_of_light(rgb: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(rgb[..., 0] > 0.5 * rgb.max())
    return float(columns.mean()), float(rows.mean())


def test_a_mirror_shows_what_is_behind_the_camera_where_it_seems_to_be():
    builder = wall_before_the_camera(replace(BLACK, mirror=1.0))
    add_lamp(builder, -1.0, 0.7, 0.4)  # its image stands at x = 7
    shown = image(builder)
    assert center_of_light(shown.rgb_linear) == pytest.approx(
        (39.5 - 60 * 0.7 / 7.0, 29.5 - 60 * 0.4 / 7.0), abs=0.5
    )
    np.testing.assert_allclose(shown.depth_m, 3.0, rtol=1e-5)


def test_a_mirror_does_not_show_what_is_behind_it():
    builder = wall_before_the_camera(replace(BLACK, mirror=1.0))
    add_lamp(builder, 8.0, 0.0, 0.0)
    assert image(builder).rgb_linear.max() == 0.0


def test_a_mirror_shows_a_thing_before_it_beside_the_thing_itself():
    builder = wall_before_the_camera(replace(BLACK, mirror=1.0))
    add_lamp(builder, 2.0, 0.0, 0.8)  # its image stands at x = 4
    rgb = image(builder).rgb_linear[..., 0]
    assert rgb[round(29.5 - 60 * 0.8 / 2.0), 39] > 0.9
    assert rgb[round(29.5 - 60 * 0.8 / 4.0), 39] > 0.9


def test_a_weak_mirror_mirrors_more_at_a_flat_angle():
    builder = Builder(np.random.default_rng(0))
    floor = builder.material(replace(BLACK, mirror=0.1))
    builder.frame().box(0, 0, -1.5, 100, 100, 1.0, floor)  # its top is 0.5 m below the camera
    builder.frame().box(20.5, 0, -0.5, 1.0, 100, 100, builder.material(LAMP))  # a bright wall
    rgb = image(builder).rgb_linear[..., 0]
    assert rgb[59, 40] == pytest.approx(0.1 + 0.9 * (1 - 0.44) ** 5, abs=0.03)
    assert rgb[34, 40] > 2 * rgb[59, 40]


def test_glass_lets_see_what_is_behind_it_and_has_its_own_depth():
    builder = wall_before_the_camera(replace(BLACK, clear=0.8))
    add_lamp(builder, 6.0, 0.0, 0.0)
    shown = image(builder)
    assert shown.rgb_linear[30, 40, 1] == pytest.approx(0.8 * 0.97, abs=0.01)
    np.testing.assert_allclose(shown.depth_m, 3.0, rtol=1e-5)


def test_glass_and_mirrors_are_where_a_depth_sensor_sees_nothing():
    builder = wall_before_the_camera(replace(BLACK, clear=0.8, gloss=0.9))
    builder.frame().box(2.0, 0.5, -50, 0.1, 1.0, 100, builder.material(LAMP))  # columns 9 to 39
    glassy = image(builder).glassy
    assert glassy[:, 45:].all()
    assert not glassy[:, 10:38].any()


@pytest.mark.parametrize("kind", ["room", "corridor", "street"])
def test_variety_is_a_pure_function_of_the_seed_and_adds_mirrors(kind: str):
    plain = make_scene(kind, np.random.default_rng(1), 64)
    scenes = [with_variety(plain, np.random.default_rng(seed)) for seed in range(8)]
    again = with_variety(plain, np.random.default_rng(3))
    assert again.materials.materials == scenes[3].materials.materials
    np.testing.assert_array_equal(again.solids.center_m, scenes[3].solids.center_m)
    assert any((scene.materials["mirror"] > 0.0).any() for scene in scenes)
    assert any(scene.materials.materials != plain.materials.materials for scene in scenes)


def test_rooms_get_mirrors_on_their_walls_and_panes_of_glass_inside():
    plain = make_scene("room", np.random.default_rng(1), 64)
    scenes = [with_variety(plain, np.random.default_rng(seed)) for seed in range(12)]
    glazed = [glass for glass in map(partial(added_glass, len(plain.solids)), scenes) if len(glass)]
    assert 2 < len(glazed) < 11
    for glass in glazed:
        assert np.all(np.abs(glass.center_m) <= plain.high_m + 0.02)


def added_glass(before: int, scene: Scene) -> Solids:
    added = scene.solids[before:]
    is_glass = (scene.materials["mirror"] > 0.7) | (scene.materials["clear"] > 0.0)
    return added[is_glass[added.material[:, 0]]]


@pytest.mark.slow
def test_training_images_have_light_in_any_weather():
    frames = [frame for seed in range(10) for frame in training_views(seed, 48, 36, 1)]
    assert np.mean([frame.rgb.mean() > 10 for frame in frames]) > 0.8


def test_rain_streaks_the_image():
    dull = np.full((60, 80, 3), 0.2, np.float32)
    wet = rain(dull, np.random.default_rng(0))
    changed = np.abs(wet - dull).max(axis=2) > 1e-3
    assert 0.02 < changed.mean() < 0.95

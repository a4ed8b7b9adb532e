from __future__ import annotations

import time

import numpy as np
import pytest

from mono_depth.display.colormap import (
    COLORMAPS,
    DisplayRange,
    add_color_bar,
    blend,
    colorize_depth,
    render_cloud_oblique,
)
from mono_depth.errors import ConfigError

NAN, INF = np.nan, np.inf
UNKNOWN = (62, 62, 66)


def depth(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def brightness(image: np.ndarray) -> np.ndarray:
    return image.astype(int).sum(axis=-1)


@pytest.mark.parametrize("colormap", ["inferno", "magma", "plasma", "viridis", "cividis", "gray"])
def test_nearer_is_brighter(colormap):
    shown = brightness(colorize_depth(depth(1.0, 2.0, 4.0, 8.0), 1.0, 8.0, colormap))
    assert (np.diff(shown[0]) < 0).all()


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_every_colormap_gives_rgb_of_the_same_size(colormap):
    shown = colorize_depth(np.ones((3, 5), np.float32), 0.5, 2.0, colormap)
    assert (shown.shape, shown.dtype) == ((3, 5, 3), np.uint8)


def test_inferno_runs_from_yellow_at_near_to_black_at_far():
    near, far = colorize_depth(depth(1.0, 8.0), 1.0, 8.0)[0]
    assert tuple(near) == (252, 255, 164)
    assert brightness(far) < 15


def test_equal_ratios_of_depth_are_equal_steps_of_color():
    gray = colorize_depth(depth(1.0, 2.0, 4.0, 8.0, 16.0), 1.0, 16.0, "gray")[0, :, 0]
    steps = np.diff(gray.astype(int))
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize("value", [NAN, 0.0, -1.0, -INF])
def test_a_pixel_without_depth_is_dark_grey_in_every_colormap(value):
    for colormap in COLORMAPS:
        assert tuple(colorize_depth(depth(value, 1.0), 0.5, 2.0, colormap)[0, 0]) == UNKNOWN


def test_values_outside_the_range_take_the_color_of_its_ends():
    shown = colorize_depth(depth(0.01, 1.0, 8.0, 1e6, INF), 1.0, 8.0)[0]
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_array_equal(shown[3], shown[2])
    np.testing.assert_array_equal(shown[4], shown[2])


def test_a_wrong_colormap_or_range_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match=r"'rainbow' is not one of inferno, turbo"):
        colorize_depth(depth(1.0), 1.0, 2.0, "rainbow")
    with pytest.raises(ConfigError, match=r"colours from 2.0 m to 1.0 m, expected 0 < near < far"):
        colorize_depth(depth(1.0), 2.0, 1.0)


def test_a_vga_image_takes_a_few_milliseconds():
    image = np.random.default_rng(0).uniform(0.5, 10.0, (480, 640)).astype(np.float32)
    colorize_depth(image, 0.5, 10.0)

    def timed_s() -> float:
        start_s = time.perf_counter()
        colorize_depth(image, 0.5, 10.0)
        return time.perf_counter() - start_s

    assert min(timed_s() for _ in range(10)) < 0.010  # 0.4 ms on an idle core


def test_the_display_range_starts_at_the_scene():
    near, far = DisplayRange().update(np.linspace(1.0, 9.0, 900, dtype=np.float32).reshape(30, 30))
    assert near == pytest.approx(1.16, abs=0.05)
    assert far == pytest.approx(8.84, abs=0.05)


def test_the_display_range_hardly_moves_for_one_odd_image():
    shown = DisplayRange()
    steady = np.linspace(2.0, 8.0, 900, dtype=np.float32).reshape(30, 30)
    before = shown.update(steady)
    near, _ = shown.update(steady * 0.5)
    assert before[0] * 0.5 < near < before[0]
    assert near > before[0] * 0.8


def test_the_display_range_gets_to_a_new_scene_in_the_end():
    shown = DisplayRange(time_constant_frames=5.0)
    scene = np.linspace(2.0, 8.0, 900, dtype=np.float32).reshape(30, 30)
    shown.update(scene * 10.0)
    for _ in range(60):
        near, far = shown.update(scene)
    assert (near, far) == pytest.approx(DisplayRange().update(scene), rel=0.01)


def test_the_display_range_is_usable_without_any_depth_and_for_one_wall():
    shown = DisplayRange()
    near, far = shown.update(np.full((4, 4), NAN, np.float32))
    assert 0.0 < near < far
    near, far = DisplayRange().update(np.full((4, 4), 3.0, np.float32))
    assert near < 3.0 < far
    assert far / near == pytest.approx(1.5)


def test_the_color_bar_is_drawn_at_the_right_and_leaves_the_image_alone():
    image = np.zeros((120, 160, 3), np.uint8)
    shown = add_color_bar(image, 1.0, 8.0)
    assert not image.any()
    assert not shown[:, :80].any()
    bar = shown[14:106, 150].astype(int).sum(axis=1)
    assert bar[0] > bar[-1] + 300  # near on top, bright


@pytest.mark.parametrize(("near", "far"), [(0.3, 0.45), (1.0, 8.0), (0.05, 80.0), (999.0, 1500.0)])
def test_the_color_bar_copes_with_narrow_and_wide_ranges(near, far):
    shown = add_color_bar(np.zeros((240, 320, 3), np.uint8), near, far)
    labels = shown[:, 200:300]
    assert labels.any()


def test_blend_mixes_by_the_share_of_the_camera_image():
    white, black = np.full((1, 1, 3), 200, np.uint8), np.zeros((1, 1, 3), np.uint8)
    assert blend(white, black, 0.25)[0, 0, 0] == 50
    assert blend(white, black, 1.0)[0, 0, 0] == 200


def red_pixels(image: np.ndarray) -> np.ndarray:
    red, green, blue = (image[..., i].astype(int) for i in range(3))
    return (red > 60) & (green < 20) & (blue < 20)


def wall(z: float, half: float = 0.5) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(-half, half, 60), np.linspace(-half, half, 60))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1).astype(np.float32)


def paint(points: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    return np.tile(np.array(rgb, np.uint8), (len(points), 1))


def test_a_wall_is_drawn_closed_and_in_its_color():
    points = wall(2.0)
    image = render_cloud_oblique(
        points, paint(points, (255, 0, 0)), width=320, height=240, spacing_rad=1.0 / 60.0
    )
    assert image.shape == (240, 320, 3)
    rows, columns = np.nonzero(red_pixels(image))
    inner = red_pixels(image)[
        np.percentile(rows, 25).astype(int) : np.percentile(rows, 75).astype(int),
        np.percentile(columns, 25).astype(int) : np.percentile(columns, 75).astype(int),
    ]
    assert inner.size > 100
    assert inner.mean() > 0.95


def test_a_nearer_wall_hides_one_behind_it():
    front, back = wall(2.0, half=1.0), wall(2.5, half=0.2)
    points = np.concatenate([back, front])
    colors = np.concatenate([paint(back, (255, 0, 0)), paint(front, (0, 255, 0))])
    for order in (slice(None), slice(None, None, -1)):
        image = render_cloud_oblique(
            points[order], colors[order], width=320, height=240, spacing_rad=1.0 / 30.0, yaw_deg=0.0
        )
        assert not red_pixels(image).any()


def test_points_without_a_value_are_left_out():
    points = np.array([[NAN, 0.0, 1.0], [0.0, INF, 1.0]], np.float32)
    empty = render_cloud_oblique(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
    shown = render_cloud_oblique(points, paint(points, (255, 0, 0)))
    np.testing.assert_array_equal(shown, empty)

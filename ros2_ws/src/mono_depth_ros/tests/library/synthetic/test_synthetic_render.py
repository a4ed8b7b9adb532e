"""Images of scenes that are simple enough to be computed by hand."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic.builder import Builder, LocalFrame
from mono_depth.synthetic.interior import walk
from mono_depth.synthetic.light import KeyLight, Lighting
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.palette import concrete, wood
from mono_depth.synthetic.render import exact_depth, ray_grid, render
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape
from mono_depth.synthetic.trajectory import camera_pose

CAMERA = Intrinsics(width=80, height=60, fx=60.0, fy=62.0, cx=39.5, cy=29.5)
AHEAD = camera_pose(np.zeros(3), 0.0)  # looks along x
DISTORTION = np.array([-0.28, 0.07, 0.001, -0.002, 0.0])
LIGHT = Lighting(
    key=KeyLight(position_m=(0.0, 0.0, 0.0), axis=(1.0, 0.2, -0.3), rgb=(0.5, 0.5, 0.5), sun=True)
)
PLAIN = Material(color=(0.5, 0.5, 0.5), fine_gain=0.0, mid_gain=0.0, coarse_gain=0.0)


def scene_of(builder: Builder) -> Scene:
    return Scene(
        "test",
        builder.solids(),
        MaterialTable(builder.materials),
        LIGHT,
        np.full(3, -20.0),
        np.full(3, 20.0),
        tuple(builder.movers),
        map_size=128,
    )


def with_material(material: Material = PLAIN) -> tuple[Builder, LocalFrame, int]:
    builder = Builder(np.random.default_rng(0))
    return builder, builder.frame(), builder.material(material)


def slopes() -> tuple[np.ndarray, np.ndarray]:
    grid = ray_grid(CAMERA)
    return np.broadcast_to(grid.x, (60, 80)), np.broadcast_to(grid.y, (60, 80))


def test_a_wall_two_metres_ahead_has_depth_two_everywhere():
    builder, frame, m = with_material()
    frame.box(2.5, 0, -50, 1.0, 100, 100, m)
    depth_m = render(scene_of(builder), CAMERA, AHEAD).depth_m
    np.testing.assert_allclose(depth_m, 2.0, rtol=1e-5)


def test_a_sphere_has_the_depth_of_the_closed_form_and_sky_around_it():
    builder, frame, m = with_material()
    frame.add(Shape.ELLIPSOID, (5, 0, 0), (2, 2, 2), m)  # radius 1 at 5 m
    depth_m = render(scene_of(builder), CAMERA, AHEAD).depth_m
    x, y = slopes()
    a = x**2 + y**2 + 1.0
    root = 25.0 - a * 24.0
    expected = np.where(root >= 0, (5.0 - np.sqrt(np.maximum(root, 0))) / a, np.nan)
    clear = np.abs(root) > 1e-3  # the very rim may fall either way
    np.testing.assert_allclose(depth_m[clear], expected[clear], rtol=1e-4)
    assert np.isnan(depth_m[0, 0])


def test_a_tilted_floor_has_the_depth_of_the_closed_form():
    builder, frame, m = with_material()
    slope_rad = 0.2  # nose down, so the floor falls away from the camera
    tilted = frame.at(0, 0, -1.0, 0.0, slope_rad)
    tilted.box(0, 0, -1.0, 400, 400, 1.0, m)
    depth_m = render(scene_of(builder), CAMERA, AHEAD).depth_m
    _, y = slopes()
    # the plane through (0, 0, -1) with slope -tan: -y t = -1 - t tan(slope)
    t = 1.0 / (y - np.tan(slope_rad))
    seen = np.isfinite(depth_m) & (depth_m < 100.0)
    assert seen.sum() > 500
    np.testing.assert_allclose(depth_m[seen], t[seen], rtol=1e-4)


def test_a_turned_box_shows_the_nearer_of_its_faces():
    builder, frame, m = with_material()
    frame.at(4, 0, 0, np.pi / 4).box(0, 0, -1, 1, 1, 2, m)  # an edge points at the camera
    depth_m = render(scene_of(builder), CAMERA, AHEAD).depth_m
    x, _ = slopes()
    row = x[30]
    expected = (4.0 - np.sqrt(0.5)) / (1.0 - np.abs(row))
    seen = np.isfinite(depth_m[30])
    assert seen.sum() > 10
    np.testing.assert_allclose(depth_m[30][seen], expected[seen], rtol=1e-4)


@pytest.mark.parametrize(("shape", "z_axis"), [(Shape.CYLINDER, 1.0), (Shape.CONE, 0.5)])
def test_round_things_are_as_far_as_their_radius_says(shape: Shape, z_axis: float):
    builder, frame, m = with_material()
    frame.add(shape, (3, 0, 0), (1, 1, 2), m)  # the cone is half as wide at its middle
    depth_m = render(scene_of(builder), CAMERA, AHEAD).depth_m
    assert depth_m[30, 40] == pytest.approx(3.0 - 0.5 * z_axis, rel=0.01)


def test_a_room_is_seen_from_inside():
    builder, frame, m = with_material()
    frame.add(Shape.ROOM, (0, 0, 0), (6, 4, 3), m)
    depth_m = render(scene_of(builder), CAMERA, AHEAD).depth_m
    x, y = slopes()
    expected = np.minimum(3.0, np.minimum(2.0 / np.abs(x), 1.5 / np.abs(y)))
    np.testing.assert_allclose(depth_m, expected, rtol=1e-4)


def test_edges_are_smooth_and_depth_is_not():
    builder, frame, m = with_material(Material(color=(0, 0, 0), glow=0.0, fine_gain=0.0))
    bright = builder.material(
        Material(color=(1, 1, 1), glow=1.0, fine_gain=0.0, mid_gain=0.0, coarse_gain=0.0)
    )
    frame.box(9, 0, -50, 1.0, 100, 100, m)
    frame.at(3, 0, 0.05, 0.05).box(0, 0, -1, 1, 1.03, 2, bright)
    scene = scene_of(builder)
    smooth, rough = render(scene, CAMERA, AHEAD), render(scene, CAMERA, AHEAD, samples_per_pixel=1)

    def grey_pixels(image: np.ndarray) -> int:
        inside = image[..., 0] / image[30, 40, 0]
        return int(((inside > 0.1) & (inside < 0.85)).sum())

    assert grey_pixels(smooth.rgb_linear) > 30
    assert grey_pixels(rough.rgb_linear) == 0
    np.testing.assert_array_equal(smooth.depth_m, rough.depth_m)


def test_a_pole_thinner_than_a_pixel_is_an_unbroken_line():
    builder, frame, m = with_material(Material(color=(0, 0, 0), fine_gain=0.0))
    bright = builder.material(Material(color=(1, 1, 1), glow=4.0, fine_gain=0.0, mid_gain=0.0))
    frame.box(30, 0, -50, 1.0, 100, 100, m)
    lean = frame.at(20, 0, -5, np.pi / 2, 0.06)  # 20 m: a pixel is 0.33 m wide
    lean.cylinder(0, 0, 0, 0.12, 10, bright)
    rgb = render(scene_of(builder), CAMERA, AHEAD, samples_per_pixel=9).rgb_linear[20:40, :, 0]
    assert rgb.max(axis=1).min() > 0.2


@pytest.mark.parametrize("distance_m", [0.3, 1.0, 4.0])
def test_a_wall_has_detail_at_every_distance(distance_m: float):
    builder, frame, m = with_material(concrete(np.random.default_rng(1)))
    frame.box(distance_m + 0.5, 0, -50, 1.0, 100, 100, m)
    camera = Intrinsics(width=160, height=120, fx=120, fy=120, cx=79.5, cy=59.5)
    rgb = render(scene_of(builder), camera, AHEAD).rgb_linear[..., 1]
    detail = rgb - cv2.GaussianBlur(rgb, (0, 0), 1.0)
    assert detail.std() / rgb.mean() > 0.01


def test_a_pattern_too_fine_for_the_pixels_fades_instead_of_flickering():
    stripes = Material(
        color=(1, 1, 1), joint_color=(0, 0, 0), cell_width_m=0.01, joint_m=0.005,
        fine_gain=0.0, mid_gain=0.0, coarse_gain=0.0,
    )  # fmt: skip
    builder, frame, m = with_material(stripes)
    frame.box(20.5, 0, -50, 1.0, 100, 100, m)
    rgb = render(scene_of(builder), CAMERA, AHEAD).rgb_linear[:25, :, 1]
    assert rgb.std() / rgb.mean() < 0.02


def test_a_lens_moves_points_as_opencv_projects_them():
    builder, frame, m = with_material()
    places = [(4.0, 0.0, 0.0), (4.0, 1.6, 0.9), (4.0, -1.8, -1.0), (4.0, -1.7, 1.0)]
    for x, y, z in places:
        frame.add(Shape.ELLIPSOID, (x, y, z), (0.3, 0.3, 0.3), m)
    image = render(scene_of(builder), CAMERA, AHEAD, distortion=DISTORTION)
    optical = np.array([(-y, -z, x) for x, y, z in places])
    pixels, _ = cv2.projectPoints(optical, np.zeros(3), np.zeros(3), CAMERA.matrix(), DISTORTION)
    for number, (u, v) in enumerate(pixels[:, 0]):
        rows, columns = np.nonzero(image.instance == number)
        assert columns.mean() == pytest.approx(u, abs=0.6)
        assert rows.mean() == pytest.approx(v, abs=0.6)


def test_depth_through_a_lens_is_still_along_z():
    builder, frame, m = with_material()
    frame.box(2.5, 0, -50, 1.0, 100, 100, m)
    image = render(scene_of(builder), CAMERA, AHEAD, distortion=DISTORTION)
    np.testing.assert_allclose(image.depth_m, 2.0, rtol=1e-5)


def test_a_thing_before_the_sun_darkens_what_is_behind_it():
    builder, frame, m = with_material()
    frame.box(5.5, 0, -50, 1.0, 100, 100, m)
    without = render(scene_of(builder), CAMERA, AHEAD).rgb_linear
    frame.box(3, 0, -0.2, 0.1, 0.4, 0.4, m)
    blocked = render(scene_of(builder), CAMERA, AHEAD)
    wall = blocked.instance == 0
    darker = wall & (blocked.rgb_linear[..., 0] < 0.8 * without[..., 0])
    rows, columns = np.nonzero(darker)
    # light travels to the left (+y) and down, so the shadow lies left of and below the box
    assert len(rows) > 10
    assert columns.mean() < CAMERA.cx
    assert rows.mean() > CAMERA.cy


def test_a_person_who_walks_by_is_marked_where_the_camera_sees_them():
    builder, frame, m = with_material()
    frame.box(9, 0, -50, 1.0, 100, 100, m)
    walk(builder, (4.0, -1.5), (4.0, 1.5))  # from right to left
    builder.movers[0] = replace(builder.movers[0], phase_m=0.0, speed_m_s=1.0)
    eyes = camera_pose(np.array([0.0, 0.0, 0.9]), 0.0)
    early, late = (render(scene_of(builder), CAMERA, eyes, time_s) for time_s in (0.5, 2.5))
    for image, middle in ((early, CAMERA.cx + 15), (late, CAMERA.cx - 15)):  # 1 m at 4 m
        rows, columns = np.nonzero(image.mover_mask)
        assert columns.mean() == pytest.approx(middle, abs=2)
        assert 15 < np.ptp(rows) < 35  # 1.5 to 1.9 m at 4 m
        near = image.depth_m[image.mover_mask]
        assert ((near > 3.3) & (near < 4.7)).all()
        assert image.depth_m[~image.mover_mask].min() > 8.0


def test_wood_grain_runs_along_the_board():
    builder, frame, m = with_material(wood(np.random.default_rng(2)))
    frame.box(1.5, 0, -5, 1.0, 10, 10, m)  # v is up
    rgb = render(scene_of(builder), CAMERA, AHEAD).rgb_linear[..., 1]
    assert np.abs(np.diff(rgb, axis=1)).mean() > 2.0 * np.abs(np.diff(rgb, axis=0)).mean()


def test_too_many_samples_are_refused():
    builder, frame, m = with_material()
    frame.box(2, 0, 0, 1, 1, 1, m)
    with pytest.raises(ConfigError, match="samples_per_pixel is 64, expected 1 to 9"):
        render(scene_of(builder), CAMERA, AHEAD, samples_per_pixel=64)


def test_exact_depth_is_that_of_an_image_and_of_what_moves():
    builder, frame, m = with_material()
    frame.box(2.5, 0, -50, 1.0, 1.0, 100, m)
    walk(builder, (1.5, 0.3), (1.5, -0.3))
    scene = scene_of(builder)

    for time_s in (0.0, 0.4):
        depth_m = render(scene, CAMERA, AHEAD, time_s).depth_m
        np.testing.assert_array_equal(exact_depth(scene, CAMERA, AHEAD, time_s), depth_m)


def test_a_map_of_clearance_is_the_clearance_of_its_places():
    builder, frame, m = with_material()
    frame.at(1.0, 0.5, 0.0, 0.4).box(0, 0, 0, 1.0, 0.4, 0.3, m)
    frame.cylinder(-1.0, 0.0, 0.0, 0.5, 0.2, m)
    frame.box(0, -1.0, 0.5, 3.0, 0.3, 0.3, m)  # too high to be met
    scene, band = scene_of(builder), (0.06, 0.45)
    x, y = np.linspace(-20.2, 20.2, 51), np.linspace(-2.0, 2.0, 41)

    found = scene.clearance_map_m(x, y, band, 1.5)

    places = np.stack([*np.meshgrid(x, y), np.full((41, 51), 0.1)], axis=-1).reshape(-1, 3)
    expected = np.minimum(scene.clearance_m(places, band), 1.5).reshape(41, 51)
    np.testing.assert_allclose(found, expected, atol=1e-12)

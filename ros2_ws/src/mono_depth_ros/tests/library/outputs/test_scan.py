"""The scan: which pixels make which range, and what is told of bearings without an obstacle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from level_worlds import CAMERA, Box, box, depth_of, gravity_of
from mono_depth.camera.level import level_rotation
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics
from mono_depth.outputs.level_view import LevelViews
from mono_depth.outputs.scan import CELL_M, Scan, scan_of
from mono_depth.synthetic.render import render
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.solids import unit_maps
from mono_depth.synthetic.trajectory import camera_pose
from mono_depth.synthetic.visibility import draw_rays

CONFIG = ScanConfig()
HEIGHT_M = 0.4
LEVEL = level_rotation(gravity_of())
assert LEVEL is not None
WALL = (3.0, 3.2, -20.0, 20.0, 0.0, 5.0)


def scan(
    *boxes: Box, pitch_deg: float = 0.0, roll_deg: float = 0.0, height_m: float = HEIGHT_M
) -> Scan:
    """Return the scan of exact depth."""
    R = level_rotation(gravity_of(pitch_deg, roll_deg))
    assert R is not None
    return scan_of(depth_of(R, height_m, boxes), None, CAMERA, R, height_m, CONFIG)


def at(scan: Scan, bearing_deg: float) -> float:
    """Return the range at a bearing."""
    index = (math.radians(bearing_deg) - scan.bearings.first_rad) / scan.bearings.step_rad
    return float(scan.ranges_m[round(index)])


# Camera of 9 x 5 pixels, f = 4 px, axis in the middle, level at 0.4 m: the middle row looks along
# the band. Three pixels of depth for each bearing of 0.375 rad, left to right, and its range.
TINY = Intrinsics(width=9, height=5, fx=4.0, fy=4.0, cx=4.0, cy=2.0)
GOLDEN = [
    # depth of the columns 0 to 8 [m]                          ranges, right to left [m]
    ([2, 2, 2, 2, 2, 2, 2, 2, 2], [2.5, 2.0616, 2.0, 2.0616, 2.5]),
    ([4, 4, 2, 2, 2, 2, 2, 2, 2], [2.5, 2.0616, 2.0, 2.0616, 5.0]),  # the left is far: 4 * 1.25
    ([9, 9, 9, 9, 9, 9, 9, 9, 9], [math.inf] * 5),
    ([9, 9, 9, 9, 9, 9, 1, 1, 1], [1.25, 1.1180, math.inf, math.inf, math.inf]),
    ([math.inf] * 9, [math.inf] * 5),
    ([math.nan] * 9, [math.nan] * 5),
    ([math.nan, math.nan, 2, 2, 2, 2, 2, 2, 2], [2.5, 2.0616, 2.0, 2.0616, math.nan]),
    ([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.15] * 5),  # too near is range_min
]


@pytest.mark.parametrize(("columns", "ranges"), GOLDEN)
def test_golden_table_of_pixels_to_ranges(columns, ranges):
    below = torch.tensor((9.0, 9.0, 0.0, 1.6, 0.8))  # sky, the row of the table, ground
    depth_m = below[:, None].repeat(1, 9)
    depth_m[2] = torch.tensor(columns)
    depth_m[:, depth_m[2].isnan()] = math.nan
    config = ScanConfig(nearest_count=1, max_jump=10.0, max_height_m=0.45)

    found = scan_of(depth_m, None, TINY, LEVEL, HEIGHT_M, config)

    assert found.bearings.count == 5
    assert found.bearings.step_rad == pytest.approx(1.5 / 4)
    expected = torch.tensor(ranges)
    finite = expected.isfinite()
    assert torch.equal(found.ranges_m.isnan(), expected.isnan())
    assert torch.equal(found.ranges_m.isinf(), expected.isinf())
    off = expected[finite] - found.ranges_m[finite]  # the near end of a cell
    assert bool(((off > -1e-4) & (off < CELL_M + 1e-4)).all())


def test_open_ground_is_clear_and_no_obstacle_at_any_tilt():
    for pitch_deg, roll_deg in ((0.0, 0.0), (10.0, 0.0), (20.0, 3.0), (-5.0, -3.0)):
        ranges_m = scan(pitch_deg=pitch_deg, roll_deg=roll_deg).ranges_m

        assert not bool(ranges_m.isfinite().any()), (pitch_deg, roll_deg)
        assert float(ranges_m.isinf().float().mean()) > 0.7


def test_bearings_reach_from_edge_to_edge_of_the_view_and_no_farther():
    bearings = scan(WALL).bearings

    assert math.degrees(bearings.last_rad) == pytest.approx(40.0, abs=1.0)
    assert math.degrees(bearings.first_rad) == pytest.approx(-40.0, abs=1.0)


def test_left_is_positive():
    found = scan(WALL, box(1.5, 0.5, 0.3, 0.5))

    assert at(found, math.degrees(math.atan2(0.5, 1.5))) == pytest.approx(1.58, abs=0.05)
    assert at(found, -18.0) == pytest.approx(3.0 / math.cos(math.radians(18.0)), abs=0.06)


@pytest.mark.parametrize(
    ("thing", "range_m"),
    [
        (box(1.5, 0.0, 0.2, 0.3), 1.5),
        (box(1.5, 0.0, 0.2, 0.05), 3.0),  # flat: the robot drives over it
        (box(1.5, 0.0, 0.2, 2.0, low_m=0.8), 3.0),  # it passes under a table
        (box(1.5, 0.0, 0.02, 0.5), 1.5),  # a pole one pixel wide
        (box(0.05, 0.0, 0.3, 0.6), CONFIG.range_min_m),  # too near is not left out
    ],
)
def test_what_stands_in_the_band_is_an_obstacle(thing, range_m):
    assert at(scan(WALL, thing), 0.0) == pytest.approx(range_m, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "thing", "range_m"),
    [
        ({"min_height_m": 0.03, "tilt_tolerance": 0.0}, box(1.5, 0.0, 0.2, 0.05), 1.5),
        ({"tilt_tolerance": 0.1}, box(1.5, 0.0, 0.2, 0.15), 3.0),
        ({"max_height_m": 1.0}, box(1.5, 0.0, 0.2, 2.0, low_m=0.8), 1.5),
        ({"range_min_m": 0.5}, box(0.2, 0.0, 0.3, 0.6), 0.5),
        ({"range_max_m": 2.0}, box(3.0, 0.0, 0.5, 0.5), math.inf),
        ({"nearest_count": 40}, box(1.5, 0.0, 0.02, 0.2), 3.0),
    ],
)
def test_each_limit_decides_what_is_an_obstacle(changes, thing, range_m):
    depth_m = depth_of(LEVEL, HEIGHT_M, (WALL, thing))

    def ahead(config: ScanConfig) -> float:
        return at(scan_of(depth_m, None, CAMERA, LEVEL, HEIGHT_M, config), 0.0)

    assert ahead(replace(CONFIG, **changes)) == pytest.approx(range_m, abs=0.03)
    assert ahead(CONFIG) != pytest.approx(range_m, abs=0.03)


def test_bearings_are_as_wide_as_asked_but_not_narrower_than_pixels():
    def step_deg(config: ScanConfig) -> float:
        found = scan_of(depth_of(LEVEL, HEIGHT_M), None, CAMERA, LEVEL, HEIGHT_M, config)
        return math.degrees(found.bearings.step_rad)

    assert step_deg(replace(CONFIG, angle_step_deg=2.0)) == pytest.approx(2.0)
    assert step_deg(replace(CONFIG, angle_step_deg=0.1)) == pytest.approx(0.90, abs=0.01)


def test_a_pixel_unlike_all_its_neighbours_is_noise():
    depth_m = depth_of(LEVEL, HEIGHT_M, (WALL,))
    depth_m[60, 80] = 2.0
    depth_m[62, 80] = 2.0  # two pixels of 3 m, apart

    def ahead(max_jump: float) -> float:
        config = replace(CONFIG, max_jump=max_jump, nearest_count=1)
        return at(scan_of(depth_m, None, CAMERA, LEVEL, HEIGHT_M, config), 0.0)

    assert ahead(0.1) == pytest.approx(3.0, abs=0.03)
    assert ahead(1.0) == pytest.approx(2.0, abs=0.03)


def test_a_bar_one_pixel_high_is_an_obstacle():
    bar = (1.5, 1.52, -0.3, 0.3, 0.40, 0.413)

    assert at(scan(WALL, bar), 0.0) == pytest.approx(1.5, abs=0.03)


def test_what_the_view_does_not_reach_is_not_clear():
    # A camera that looks down by 50 degrees ends its view at 1.5 m; at 6 m nothing is known.
    ranges_m = scan(pitch_deg=65.0, height_m=0.5).ranges_m

    assert bool(ranges_m.isnan().all())


def test_an_unknown_patch_before_a_clear_distance_takes_the_clearness_away():
    depth_m = depth_of(LEVEL, HEIGHT_M)
    depth_m[75:, 70:90] = math.nan  # of the ground; what is over the horizon is seen

    found = scan_of(depth_m, None, CAMERA, LEVEL, HEIGHT_M, CONFIG)

    assert math.isnan(at(found, 0.0))
    assert math.isinf(at(found, 25.0))


def test_doubtful_pixels_clear_nothing_but_still_mark():
    boxes = (box(1.5, 0.0, 0.4, 0.5),)
    depth_m = depth_of(LEVEL, HEIGHT_M, boxes)

    found = scan_of(depth_m, torch.full_like(depth_m, 0.05), CAMERA, LEVEL, HEIGHT_M, CONFIG)

    assert at(found, 0.0) == pytest.approx(1.5, abs=0.03)
    assert not bool(found.ranges_m.isinf().any())


@pytest.mark.slow
def test_salt_noise_changes_no_bearing_by_more_than_five_centimetres():
    camera = Intrinsics.of_view(640, 480, 70.0)
    boxes = (WALL, box(1.5, 0.4, 0.3, 0.5), box(2.0, -0.5, 0.05, 1.0))
    exact_m = depth_of(LEVEL, HEIGHT_M, boxes, camera=camera)
    rng = np.random.default_rng(7)
    salted_m = exact_m.clone()
    salt = torch.from_numpy(rng.random(exact_m.shape) < 0.001)
    salted_m[salt] = torch.from_numpy(rng.uniform(0.1, 10.0, int(salt.sum())).astype(np.float32))

    exact = scan_of(exact_m, None, camera, LEVEL, HEIGHT_M, CONFIG).ranges_m
    salted = scan_of(salted_m, None, camera, LEVEL, HEIGHT_M, CONFIG).ranges_m

    assert bool(exact.isfinite().all())
    assert float((exact - salted).abs().max()) <= 0.05


def test_a_wall_seen_from_a_tilted_camera_does_not_bring_the_ground_with_it():
    # The rule of depthimage_to_laserscan, the nearest of some middle rows, sees the ground there.
    R = level_rotation(gravity_of(20.0))
    assert R is not None
    depth_m = depth_of(R, HEIGHT_M, (WALL,))
    middle = CAMERA.height // 2
    by_rows = depth_m[middle - 5 : middle + 5].min(dim=0).values

    assert float(by_rows[CAMERA.width // 2]) < 1.5
    assert at(scan(WALL, pitch_deg=20.0), 0.0) == pytest.approx(3.0, abs=0.03)


@pytest.mark.parametrize("ledge_m", [0.8, 1.5])
@pytest.mark.parametrize("fall_m", [0.4, math.inf])
def test_the_edge_of_a_drop_off_is_an_obstacle(ledge_m, fall_m):
    R = level_rotation(gravity_of(10.0))
    assert R is not None
    depth_m = depth_of(R, HEIGHT_M, pit_from_m=ledge_m, pit_depth_m=fall_m)

    found = scan_of(depth_m, None, CAMERA, R, HEIGHT_M, CONFIG)
    without = scan_of(depth_m, None, CAMERA, R, HEIGHT_M, ScanConfig(drop_m=0.0))

    # What is hidden behind the edge is found where the first ray over it misses the ground.
    assert ledge_m - 0.02 <= at(found, 0.0) <= ledge_m + 0.3
    assert not math.isfinite(at(without, 0.0))


def test_metres_too_large_by_a_tenth_make_no_drop_off_of_level_ground():
    depth_m = depth_of(LEVEL, HEIGHT_M) * 1.1

    found = scan_of(depth_m, None, CAMERA, LEVEL, HEIGHT_M, CONFIG)

    assert not bool(found.ranges_m.isfinite().any())


def test_without_trusted_metres_nothing_is_clear():
    found = scan(box(1.5, 0.0, 0.4, 0.5)).without_clear()

    assert at(found, 0.0) == pytest.approx(1.5, abs=0.03)
    assert not bool(found.ranges_m.isinf().any())
    assert not bool(found.free_m.any())


def test_the_number_of_bearings_stays_while_the_camera_sways():
    views, counts = LevelViews(), set()
    for pitch_deg in (10.0, 10.6, 9.7, 11.0, 9.0, 10.0):
        R = level_rotation(gravity_of(pitch_deg))
        assert R is not None
        view = views.of(CAMERA, R, HEIGHT_M, CONFIG, torch.device("cpu"))
        counts.add((view.bearings.first_rad, view.bearings.count))

    assert len(counts) <= 2  # once it may have to grow


def test_a_camera_that_looks_straight_down_has_no_heading():
    assert level_rotation(np.array((0.0, 0.0, 1.0))) is None
    assert level_rotation(np.array((math.nan, 0.0, 1.0))) is None
    assert level_rotation(None) is None


# Against the geometry of rendered scenes

SIZE = (320, 240)
FOV_DEG, _RAYS = 70.0, 6
EXACT = replace(CONFIG, nearest_count=1)  # there is no noise; what shows in two pixels counts


def geometry_of(scene, pose, found: Scan, camera: Intrinsics, R) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest range that may be told of each bearing.

    By rays of the scene itself, six for each bearing, from its middle or from one pixel more,
    and every quarter of a degree of elevation; those that the camera does not see are left out.
    """
    yaw = math.atan2(pose[1, 2], pose[0, 2])
    level = camera_pose(pose[:3, 3], yaw)
    maps = unit_maps(scene.solids, level)
    pixel = 1.2 / camera.fx
    half = 0.5 * found.bearings.step_rad
    elevations = np.radians(np.arange(-50.0, 30.0, 0.25))
    limits = []
    for reach in (half + pixel, max(half - pixel, 0.1 * half)):
        middle = found.bearings.first_rad + found.bearings.step_rad * np.arange(
            found.bearings.count
        )
        angles = (middle[:, None] + np.linspace(-reach, reach, _RAYS)).reshape(-1)
        b, e = np.meshgrid(angles, elevations, indexing="ij")
        x, y = -np.tan(b), -np.tan(e) / np.cos(b)
        in_camera = np.stack([np.cos(b) * np.cos(e), np.sin(b) * np.cos(e), np.sin(e)], -1) @ R
        with np.errstate(divide="ignore"):
            u = camera.fx * in_camera[..., 0] / in_camera[..., 2] + camera.cx
            v = camera.fy * in_camera[..., 1] / in_camera[..., 2] + camera.cy
        seen = (in_camera[..., 2] > 0) & (u >= 0) & (u <= camera.width - 1)
        seen &= (v >= 0) & (v <= camera.height - 1)
        hit = draw_rays(
            scene.solids, maps, x.reshape(-1).astype(np.float32), y.reshape(-1).astype(np.float32)
        )
        depth = np.where(hit.solid >= 0, hit.depth_m, np.inf).reshape(x.shape)
        height = pose[2, 3] - depth * y
        range_m = depth / np.cos(b)
        lowest = CONFIG.min_height_m + CONFIG.tilt_tolerance * range_m
        inside = seen & (height >= lowest) & (height <= CONFIG.max_height_m)
        inside &= range_m < CONFIG.range_max_m
        nearest = np.where(inside, range_m, np.inf).min(axis=1)
        limits.append(nearest.reshape(found.bearings.count, _RAYS).min(axis=1))
    return limits[0], limits[1]


def agreement(kind: str, seed: int, height_m: float, tilt_deg: float) -> np.ndarray:
    """Return of each bearing whether the scan of exact depth is that of the scene's geometry."""
    scene = make_scene(kind, np.random.default_rng([seed, 0]), map_size=64)
    camera = Intrinsics.of_view(*SIZE, FOV_DEG)
    rng = np.random.default_rng(seed)
    for _ in range(200):
        place = np.append(rng.uniform(scene.low_m[:2], scene.high_m[:2]), height_m)
        if scene.clearance_m(place[None], (0.0, 1.3))[0] > 0.4:
            break
    pose = camera_pose(place, rng.uniform(-math.pi, math.pi), math.radians(tilt_deg))
    depth_m = render(scene, camera, pose, samples_per_pixel=1).depth_m.astype(np.float32)
    R = level_rotation(-pose[2, :3])
    assert R is not None
    depth = torch.from_numpy(np.where(np.isnan(depth_m), np.inf, depth_m).astype(np.float32))
    found = scan_of(depth, None, camera, R, height_m, EXACT)
    least, most = geometry_of(scene, pose, found, camera, R)
    ranges = found.ranges_m.numpy().astype(np.float64)
    ranges[np.isnan(ranges)] = np.inf  # nothing marks there
    with np.errstate(invalid="ignore"):
        return (ranges >= least - 0.05) & ((ranges <= most + 0.05) | np.isinf(most))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "seed", "height_m", "tilt_deg"),
    [("room", 3, 0.2, 0.0), ("office", 4, 0.5, 10.0), ("room", 5, 1.2, 20.0)],
)
def test_exact_depth_gives_the_geometry_of_the_scene(kind, seed, height_m, tilt_deg):
    assert agreement(kind, seed, height_m, tilt_deg).mean() >= 0.99


@pytest.mark.acceptance
@pytest.mark.parametrize("tilt_deg", [0.0, 10.0, 20.0])
@pytest.mark.parametrize("height_m", [0.2, 0.5, 0.8, 1.2])
def test_exact_depth_gives_the_geometry_of_many_scenes(height_m, tilt_deg):
    kinds = ("room", "office", "corridor", "warehouse")
    agreed = [agreement(kind, 10 + seed, height_m, tilt_deg) for kind in kinds for seed in range(2)]

    assert np.concatenate(agreed).mean() >= 0.99

"""Points for a costmap: what is in the way, what is free, and when there must be none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from level_worlds import CAMERA, box, depth_of, gravity_of
from mono_depth.camera.level import level_rotation
from mono_depth.config import ScanConfig
from mono_depth.outputs.ground_level import ground_level
from mono_depth.outputs.obstacle_faults import fault_of, unknown_share
from mono_depth.outputs.obstacle_points import clearing_points, obstacle_points
from mono_depth.outputs.obstacle_view import ObstacleView, obstacle_view_of
from mono_depth.outputs.robot_view import RobotView
from mono_depth.outputs.scan import scan_from
from pretend_gpu import pretend_gpu

CONFIG = ScanConfig()
HEIGHT_M = 0.4
PITCH_DEG = 10.0
TILTED = level_rotation(gravity_of(PITCH_DEG))
assert TILTED is not None
WALL = (3.03, 3.2, -20.0, 20.0, 0.0, 5.0)
POST = box(1.53, 0.33, 0.2, 0.5)


def seen(depth_m: torch.Tensor, confidence: torch.Tensor | None = None, **changes) -> ObstacleView:
    """Return the obstacle view of a depth map of the tilted camera."""
    config = replace(CONFIG, **changes)
    return obstacle_view_of(depth_m, confidence, CAMERA, TILTED, HEIGHT_M, config)


def level(points: torch.Tensor) -> np.ndarray:
    """Return (n, 3) points in the level frame at the feet of the camera."""
    turned = points[:, :3].numpy().astype(np.float64) @ TILTED.T
    turned[:, 2] += HEIGHT_M
    return np.asarray(turned)


def obstacles(view: ObstacleView) -> torch.Tensor:
    return obstacle_points(view, scan_from(view)).points


def clearing(view: ObstacleView) -> torch.Tensor:
    return clearing_points(view, scan_from(view)).points


def test_obstacle_points_lie_on_what_stands_there_with_their_height():
    points = obstacles(seen(depth_of(TILTED, HEIGHT_M, (WALL, POST))))
    x, y, z = level(points).T

    assert bool(points.isfinite().all())
    np.testing.assert_allclose(points[:, 3], z, atol=1e-4)
    assert z.min() >= CONFIG.min_height_m
    assert z.max() <= CONFIG.max_height_m
    on_post = np.abs(x - 1.53) < 0.01
    on_side = (np.abs(np.abs(y - 0.33) - 0.1) < 0.01) & (x > 1.52) & (x < 1.74)
    on_wall = np.abs(x - 3.03) < 0.01
    assert (on_post | on_side | on_wall).all()
    assert on_post.sum() > 10
    assert on_wall.sum() > 100


def test_there_is_one_point_for_each_voxel():
    points = obstacles(seen(depth_of(TILTED, HEIGHT_M, (WALL, POST)), voxel_m=0.1))
    finer = obstacles(seen(depth_of(TILTED, HEIGHT_M, (WALL, POST)), voxel_m=0.02))

    position = level(points)
    voxels = np.floor(position / 0.1 + 1e-6).astype(int)
    assert len(np.unique(voxels, axis=0)) >= 0.9 * len(voxels)  # but for those on a border
    assert len(finer) > 2 * len(points)


def test_of_too_many_points_the_nearest_are_kept():
    points = obstacles(seen(depth_of(TILTED, HEIGHT_M, (WALL, POST)), max_points=100, voxel_m=0.02))

    assert len(points) == 100
    assert level(points)[:, 0].max() < 2.0


def test_open_ground_has_no_obstacle_points():
    assert len(obstacles(seen(depth_of(TILTED, HEIGHT_M)))) == 0


def test_the_edge_of_a_drop_off_has_points_within_the_band():
    points = obstacles(seen(depth_of(TILTED, HEIGHT_M, pit_from_m=1.0)))
    position = level(points)

    assert len(points) > 10
    np.testing.assert_allclose(position[:, 2], 0.34, atol=1e-3)  # the middle of 0.08 to 0.6 m
    assert 0.95 < np.hypot(*position[:, :2].T).min() < 1.2


def test_noise_that_the_scan_leaves_out_is_no_obstacle_point():
    depth_m = depth_of(TILTED, HEIGHT_M, (WALL,))
    depth_m[20, 80] = 0.7
    depth_m[21, 81] = 0.7  # two pixels, of which none has a neighbour at its side

    assert level(obstacles(seen(depth_m)))[:, 0].min() > 2.9


def test_clearing_points_reach_as_far_as_is_seen_and_stay_in_the_band():
    position = level(clearing(seen(depth_of(TILTED, HEIGHT_M))))
    range_m = np.hypot(position[:, 0], position[:, 1])

    assert range_m.max() == pytest.approx(CONFIG.range_max_m, abs=0.1)  # sky, at last
    assert position[:, 2].min() >= CONFIG.min_height_m - 1e-3
    assert position[:, 2].max() <= CONFIG.max_height_m + 1e-3
    bearing_deg = np.degrees(np.arctan2(position[:, 1], position[:, 0]))
    assert np.unique(np.round(bearing_deg / 4)).size > 18  # all over the view


def test_no_clearing_point_lies_behind_or_above_an_obstacle():
    position = level(clearing(seen(depth_of(TILTED, HEIGHT_M, (WALL, box(1.5, 0.0, 0.6, 0.2))))))

    ahead = np.abs(position[:, 1] / position[:, 0]) < 0.15  # rays over the low box go on
    assert position[ahead, 0].max() < 1.5
    assert position[:, 0].max() < 3.03
    assert position[:, 0].max() > 2.8


@pytest.mark.parametrize("cause", ["unknown", "unsure"])
def test_where_depth_is_unknown_or_unsure_nothing_is_cleared(cause):
    depth_m = depth_of(TILTED, HEIGHT_M)
    confidence = torch.ones_like(depth_m)
    if cause == "unknown":
        depth_m[:, :80] = math.nan
    else:
        confidence[:, :80] = 0.0

    position = level(clearing(seen(depth_m, confidence)))

    assert len(position) > 100
    assert position[:, 1].max() < 0.1  # the right half only


# Faults


def test_a_view_that_is_known_has_no_fault():
    view = seen(depth_of(TILTED, HEIGHT_M, (WALL, POST)))

    assert fault_of(view) == ""
    assert unknown_share(view) == 0.0


def test_too_much_unknown_depth_is_a_fault():
    depth_m = depth_of(TILTED, HEIGHT_M)
    depth_m[:, 70:] = math.nan

    assert "% of the view has no depth, scan.max_unknown is 0.5" in fault_of(
        seen(depth_m, corridor_width_m=0.0)
    )
    assert fault_of(seen(depth_m, corridor_width_m=0.0, max_unknown=0.8)) == ""


@pytest.mark.parametrize("x_m", [0.9, 1.3])
@pytest.mark.parametrize("y_m", [-0.25, 0.0, 0.25])
def test_a_hole_anywhere_in_the_way_of_the_robot_is_a_fault(x_m, y_m):
    exact_m = depth_of(TILTED, HEIGHT_M)
    hole = depth_of(TILTED, HEIGHT_M, (box(x_m, y_m, 0.15, 0.1),)) < exact_m
    depth_m = torch.where(hole, math.nan, exact_m)

    assert "no depth in a part of the robot's way (0.7 x 1.5 m ahead)" in fault_of(seen(depth_m))
    assert fault_of(seen(depth_m, corridor_width_m=0.0)) == ""


def test_a_hole_beside_the_way_of_the_robot_is_none():
    exact_m = depth_of(TILTED, HEIGHT_M)
    hole = depth_of(TILTED, HEIGHT_M, (box(1.2, 0.7, 0.15, 0.1),)) < exact_m

    assert fault_of(seen(torch.where(hole, math.nan, exact_m))) == ""


def test_lost_confidence_in_the_way_of_the_robot_is_a_fault():
    depth_m = depth_of(TILTED, HEIGHT_M)
    confidence = torch.ones_like(depth_m)
    confidence[60:90, 70:90] = 0.0

    assert "robot's way" in fault_of(seen(depth_m, confidence))
    confidence[60:90, 70:90] = 0.01  # of a surface that is new in view
    assert fault_of(seen(depth_m, confidence)) == ""


def test_single_unknown_pixels_are_no_fault():
    depth_m = depth_of(TILTED, HEIGHT_M)
    depth_m[::5, ::5] = math.nan

    assert fault_of(seen(depth_m)) == ""


# The height of a camera that nobody tells


@pytest.mark.parametrize("height_m", [0.2, 0.4, 1.2])
@pytest.mark.parametrize("pitch_deg", [0.0, 20.0])
def test_the_ground_that_depth_shows_tells_the_height_of_the_camera(height_m, pitch_deg):
    R = level_rotation(gravity_of(pitch_deg))
    assert R is not None
    things = (WALL, box(1.5, 0.3, 0.4, 0.15), box(2.0, -0.5, 0.5, 0.1))

    found = ground_level(depth_of(R, height_m, things), CAMERA, R)

    assert found == pytest.approx(height_m, rel=0.02)


def test_a_wall_alone_shows_no_ground():
    R = level_rotation(gravity_of())
    assert R is not None
    wall = depth_of(R, 0.4, ((0.3, 0.4, -9.0, 9.0, -9.0, 9.0),))

    assert ground_level(wall, CAMERA, R) is None


@pytest.mark.slow
def test_on_a_device_scan_and_points_are_the_same():
    depth_m = depth_of(TILTED, HEIGHT_M, (WALL, POST), pit_from_m=2.0)
    here = seen(depth_m, torch.full_like(depth_m, 0.5))
    with pretend_gpu():
        on_device = depth_m.to("cuda")
        there = seen(on_device, torch.full_like(on_device, 0.5))
        scan = scan_from(there)
        assert scan.ranges_m.device.type == "cuda"
        found = [scan.ranges_m.cpu(), obstacles(there).cpu(), clearing(there).cpu()]
        assert fault_of(there) == ""

    torch.testing.assert_close(found[0], scan_from(here).ranges_m, equal_nan=True)
    assert len(found[1]) == len(obstacles(here))
    torch.testing.assert_close(found[2], clearing(here))


def test_a_view_that_is_half_unknown_and_free_of_obstacles_is_not_called_clear():
    depth_m = depth_of(TILTED, HEIGHT_M)
    assert len(RobotView(seen=seen(depth_m), may_clear=True).obstacles.points) == 0
    depth_m[:, :70] = math.nan

    assert RobotView(seen=seen(depth_m), may_clear=True).obstacles is None
    assert RobotView(seen=seen(depth_of(TILTED, HEIGHT_M)), may_clear=False).obstacles is None
    assert RobotView(seen=seen(depth_of(TILTED, HEIGHT_M)), may_clear=False).scan is None

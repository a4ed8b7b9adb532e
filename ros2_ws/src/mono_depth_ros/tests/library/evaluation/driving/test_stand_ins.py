"""The stand-ins do what Nav2's layers and its collision monitor are known to do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mono_depth.evaluation.driving.collision_monitor import (
    Action,
    CollisionMonitor,
    MonitorSettings,
    Polygon,
    box,
)
from mono_depth.evaluation.driving.costmap import (
    FREE,
    LETHAL,
    NO_INFORMATION,
    Grid,
    ObservationSource,
    ObstacleLayer,
    VoxelLayer,
)
from mono_depth.evaluation.driving.readings import CloudReading, LaserReading, PlanePose

NAN, INF = math.nan, math.inf
HERE = PlanePose(x_m=0.0, y_m=0.0, yaw_rad=0.0)
GRID = Grid(-5.0, -5.0, 0.1, 100, 100)
SOURCE = {"max_obstacle_height": 2.0, "clearing": True}


def scan(range_m: float, *, stamp_s: float = 0.0, range_max_m: float = 8.0) -> LaserReading:
    """Look straight ahead with nine rays of one range."""
    return LaserReading(
        bearings_rad=np.radians(np.arange(-4.0, 5.0)),
        ranges_m=np.full(9, range_m),
        range_min_m=0.2,
        range_max_m=range_max_m,
        stamp_s=stamp_s,
        height_m=0.3,
    )


def cloud(*points, stamp_s: float = 0.0) -> CloudReading:
    return CloudReading(
        points_m=np.array(points, float).reshape(-1, 3), stamp_s=stamp_s, origin_height_m=0.3
    )


def layer(kind=ObstacleLayer, **settings):
    return kind(GRID, ObservationSource(**{**SOURCE, **settings}))


def cost(of, x_m: float, y_m: float = 0.0) -> int:
    row, column = of.grid.cells(np.array([[x_m, y_m]]))[0]
    return int(of.costs[row, column])


def with_box_at(x_m: float, **settings):
    """Return a layer that has seen something straight ahead."""
    seen = layer(**settings)
    seen.update(scan(x_m), HERE)
    assert cost(seen, x_m + 0.001) == LETHAL
    return seen


@pytest.mark.parametrize(
    ("settings", "range_m", "at_2m", "at_the_end"),
    [
        ({}, 2.0, LETHAL, None),
        ({"inf_is_valid": False}, INF, NO_INFORMATION, NO_INFORMATION),  # +Inf dropped
        ({"inf_is_valid": True}, INF, FREE, NO_INFORMATION),
        ({"inf_is_valid": True}, NAN, NO_INFORMATION, NO_INFORMATION),
        ({"inf_is_valid": True}, -INF, NO_INFORMATION, NO_INFORMATION),
        ({"inf_is_valid": True}, 0.1, NO_INFORMATION, NO_INFORMATION),  # below range_min
        ({"max_obstacle_height": 0.0}, 2.0, NO_INFORMATION, None),  # the default drops all
        ({"marking": False}, 2.0, FREE, None),
        ({"clearing": False}, 2.0, LETHAL, None),
        ({"obstacle_max_range": 1.5}, 2.0, FREE, None),
        ({"obstacle_min_range": 2.5}, 2.0, FREE, None),
    ],
)
def test_a_ray_in_the_obstacle_layer(settings, range_m, at_2m, at_the_end):
    seen = layer(**settings)

    seen.update(scan(range_m), HERE)

    assert cost(seen, 2.001) == at_2m
    if at_the_end is not None:
        assert cost(seen, 4.0) == at_the_end


def test_a_clear_ray_is_marked_where_range_max_lies_within_obstacle_max_range():
    trap = layer(inf_is_valid=True, obstacle_max_range=2.5, raytrace_max_range=3.0)
    trap.update(scan(INF, range_max_m=2.4), HERE)
    right = layer(inf_is_valid=True, obstacle_max_range=2.5, raytrace_max_range=3.0)
    right.update(scan(INF, range_max_m=6.0), HERE)

    assert cost(trap, 2.39) == LETHAL
    assert not (right.costs == LETHAL).any()


def test_a_stale_box_is_cleared_by_two_clear_scans():
    seen = with_box_at(2.0, inf_is_valid=True)

    for _ in range(2):
        seen.update(scan(INF), HERE)

    assert not (seen.costs == LETHAL).any()


def test_a_stale_box_stays_where_infinity_is_not_valid():
    seen = with_box_at(2.0, inf_is_valid=False)

    seen.update(scan(INF), HERE)

    assert cost(seen, 2.001) == LETHAL


@pytest.mark.parametrize("range_m", [NAN, INF], ids=["all NaN", "all +Inf, not valid"])
def test_a_message_without_points_clears_nothing_but_counts_as_an_update(range_m):
    seen = with_box_at(2.0, expected_update_rate=0.5)

    seen.update(scan(range_m, stamp_s=10.0), HERE)

    assert cost(seen, 2.001) == LETHAL
    assert seen.is_current(10.4)
    assert not seen.is_current(10.6)


def test_without_an_expected_rate_a_silent_layer_stays_current():
    assert with_box_at(2.0).is_current(1e6)


def test_nearer_than_raytrace_min_range_nothing_is_cleared():
    seen = with_box_at(0.4, inf_is_valid=True, raytrace_min_range=0.6)

    seen.update(scan(3.0), HERE)

    assert cost(seen, 0.401) == LETHAL
    assert cost(seen, 1.0) == FREE


def test_a_stuck_robot_forgets_its_marks_but_for_those_beside_it():
    seen = with_box_at(2.0)
    seen.update(scan(0.35), HERE, ObservationSource(max_obstacle_height=2.0))

    seen.forget(np.zeros(2), 0.5)

    assert cost(seen, 2.001) == NO_INFORMATION
    assert cost(seen, 0.35) == LETHAL
    assert cost(seen, 1.0) == FREE


def test_rays_start_where_the_sensor_was_and_as_it_was_turned():
    seen = layer()

    seen.update(scan(2.0), PlanePose(x_m=1.0, y_m=-1.0, yaw_rad=math.pi / 2))

    assert cost(seen, 1.0, 1.001) == LETHAL
    assert cost(seen, 1.0, 0.0) == FREE


def test_points_beside_the_map_do_no_harm():
    seen = layer(obstacle_max_range=9.0, raytrace_max_range=9.0)

    seen.update(scan(7.0), HERE)

    assert cost(seen, 4.5) == FREE
    assert not (seen.costs == LETHAL).any()


def test_of_two_sources_one_marks_and_the_other_clears():
    marks = ObservationSource(max_obstacle_height=2.0, expected_update_rate=0.5)
    clears = ObservationSource(
        marking=False, clearing=True, min_obstacle_height=-1.0, max_obstacle_height=10.0
    )
    seen = ObstacleLayer(GRID, marks)
    seen.update(scan(1.0), HERE)
    seen.update(scan(2.0), HERE)
    assert cost(seen, 1.001) == LETHAL

    seen.update(cloud([1.9, 0.0, 0.02], [1.9, 0.07, 0.02], stamp_s=9.0), HERE, clears)

    assert cost(seen, 1.001) == FREE
    assert cost(seen, 2.001) == LETHAL
    assert not seen.is_current(9.0)  # only the first source is waited for


@pytest.mark.parametrize("kind", [ObstacleLayer, VoxelLayer])
def test_floor_and_high_points_of_a_cloud_are_cut_before_they_clear(kind):
    seen = layer(kind, min_obstacle_height=0.05)

    seen.update(cloud([2.0, 0.0, 0.01], [2.0, 0.0, 2.5]), HERE)

    assert cost(seen, 1.0) == NO_INFORMATION


def test_a_cloud_in_the_voxel_layer_marks_and_clears_along_its_rays():
    seen = layer(VoxelLayer)
    seen.update(cloud([1.0, 0.0, 0.3]), HERE)
    assert cost(seen, 1.001) == LETHAL

    seen.update(cloud([2.0, 0.0, 0.3]), HERE)

    assert cost(seen, 1.001) == FREE
    assert cost(seen, 2.001) == LETHAL


def test_a_ray_over_a_box_leaves_it_in_the_voxel_layer_and_takes_it_from_the_flat_one():
    low, over = cloud([1.0, 0.0, 0.1]), cloud([2.0, 0.0, 1.5])
    flat, voxels = layer(), layer(VoxelLayer)
    for seen in (flat, voxels):
        seen.update(low, HERE)
        seen.update(over, HERE)

    assert cost(voxels, 1.001) == LETHAL
    assert cost(flat, 1.001) == FREE


@pytest.mark.parametrize("points", [[], [[NAN, NAN, NAN]]], ids=["empty", "all NaN"])
def test_an_empty_cloud_counts_as_an_update(points):
    seen = layer(VoxelLayer, expected_update_rate=0.5)

    seen.update(cloud(*points, stamp_s=3.0), HERE)

    assert seen.is_current(3.4)
    assert (seen.costs == NO_INFORMATION).all()


# The collision monitor.

STOP = Polygon(action=Action.STOP, points=box(0.6, 0.3, 0.3))
SLOW = Polygon(action=Action.SLOWDOWN, points=box(1.2, 0.3, 0.4), slowdown_ratio=0.3)
APPROACH = Polygon(action=Action.APPROACH, points=box(0.3, 0.3, 0.25))


def monitor(*polygons, **settings) -> CollisionMonitor:
    return CollisionMonitor(MonitorSettings(polygons=polygons, **settings))


def speed_after(watch, reading, now_s: float = 0.0) -> float:
    watch.hear(reading)
    return watch.allowed(0.5, 0.1, now_s)[0]


@pytest.mark.parametrize(
    ("range_m", "speed"),
    [
        (0.5, 0.0),
        (2.0, 0.5),
        (INF, 0.5),
        (NAN, 0.5),  # an all-NaN scan reads as free
        (0.1, 0.5),  # below range_min: dropped, so free
        (-INF, 0.5),
    ],
)
def test_a_scan_before_the_collision_monitor(range_m, speed):
    assert speed_after(monitor(STOP), scan(range_m)) == speed


def test_fewer_points_than_asked_for_do_not_stop():
    reading = scan(INF)
    reading.ranges_m[:3] = 0.5

    assert speed_after(monitor(STOP), reading) == 0.5
    reading.ranges_m[3] = 0.5
    assert speed_after(monitor(STOP), reading) == 0.0


def test_the_age_of_a_source_counts_from_its_stamp():
    watch = monitor(STOP, source_timeout=0.5)

    assert speed_after(watch, scan(INF, stamp_s=1.0), now_s=1.4) == 0.5
    assert speed_after(watch, scan(INF, stamp_s=1.0), now_s=1.6) == 0.0
    assert watch.reason == "source timed out"


def test_before_the_first_message_it_stops():
    assert monitor(STOP).allowed(0.5, 0.0, 0.0) == (0.0, 0.0)


def test_slowdown_leaves_its_share_of_the_speed():
    assert speed_after(monitor(STOP, SLOW), scan(1.0)) == pytest.approx(0.15)


def test_approach_keeps_the_time_to_a_collision():
    watch = monitor(APPROACH)

    assert speed_after(watch, scan(5.0)) == 0.5
    assert 0.0 < speed_after(watch, scan(0.8)) < 0.5
    assert speed_after(watch, scan(0.25)) == 0.0


@pytest.mark.parametrize(
    ("height_m", "speed"), [(0.3, 0.0), (0.01, 0.5), (1.0, 0.5)], ids=["in", "below", "above"]
)
def test_points_of_a_cloud_count_within_the_height_band(height_m, speed):
    points = [[0.4, 0.02 * i, height_m] for i in range(5)]

    assert speed_after(monitor(STOP), cloud(*points)) == speed


@pytest.mark.parametrize("points", [[], [[NAN] * 3] * 9], ids=["empty", "all NaN"])
def test_a_cloud_without_points_reads_as_free(points):
    assert speed_after(monitor(STOP), cloud(*points)) == 0.5

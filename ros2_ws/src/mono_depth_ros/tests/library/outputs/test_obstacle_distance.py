from __future__ import annotations

import math

import numpy as np
import pytest

from mono_depth.errors import FrameError
from mono_depth.outputs.obstacle_distance import (
    SECTORS,
    UNKNOWN_CM,
    ObstacleDistance,
    ScanRays,
    mavros_ranges,
    obstacle_distance,
)

NAN, INF = math.nan, math.inf


def scan(ranges, fov_deg=90.0, *, yaw_deg=0.0, range_min_m=0.2, range_max_m=8.0) -> ScanRays:
    """Spread ranges over a field of view, from right to left as ROS does."""
    step = fov_deg / (len(ranges) - 1)
    return ScanRays.of_scan(
        ranges,
        angle_min_rad=math.radians(-0.5 * fov_deg),
        angle_step_rad=math.radians(step),
        range_min_m=range_min_m,
        range_max_m=range_max_m,
        stamp_ns=123_456_789_000,
        yaw_rad=math.radians(yaw_deg),
    )


def one_obstacle(left_deg: float, range_m: float = 2.0, fov_deg: float = 90.0) -> ScanRays:
    bearings = np.linspace(-0.5 * fov_deg, 0.5 * fov_deg, 181)
    ranges = np.where(np.abs(bearings - left_deg) < 0.6, range_m, INF)
    return scan(ranges, fov_deg)


def sector(message: ObstacleDistance, clockwise_deg: float) -> int:
    return int(message.distances_cm[round(clockwise_deg / 5.0) % SECTORS])


def by_px4(message: ObstacleDistance, bin_deg: float) -> dict[float, int]:
    """Read as PX4's CollisionPrevention does, in float32; an index past the array is an error."""
    seen = {}
    factor = np.float32(1.0) / np.float32(message.increment_deg)
    for index in range(round(360.0 / bin_deg)):
        angle = np.float32(index * bin_deg) - np.float32(message.angle_offset_deg)
        wrapped = angle % np.float32(360.0)
        found = math.ceil(wrapped * factor)
        assert found < SECTORS
        seen[index * bin_deg] = int(message.distances_cm[found])
    return seen


def by_mavros(ranges, range_max_m) -> list[int]:
    """Turn metres into centimetres as mavros' plugin does."""
    with np.errstate(invalid="ignore"):
        cm = np.asarray(ranges, np.float32) * np.float32(100.0)
    assert int(np.float32(range_max_m) * np.float32(100.0)) < UNKNOWN_CM
    return [int(c) if 0.0 <= c < UNKNOWN_CM else UNKNOWN_CM for c in cm]


def test_an_obstacle_to_the_left_is_counter_clockwise_of_straight_ahead():
    message = obstacle_distance(one_obstacle(left_deg=20.0))

    assert sector(message, -20.0) == 200
    assert sector(message, 20.0) == message.max_cm + 1 == 801


def test_outside_the_view_nothing_is_known():
    message = obstacle_distance(scan(np.full(181, INF), 90.0))

    known = [5 * i for i in range(SECTORS) if message.distances_cm[i] != UNKNOWN_CM]
    assert known == [*range(0, 45, 5), *range(320, 360, 5)]  # 45 degrees: half of it is not seen


@pytest.mark.parametrize(
    ("range_m", "cm"),
    [
        (2.0, 200),
        (2.009, 200),  # nearer, never farther
        (0.2, 20),
        (0.05, 20),  # nearer than can be told
        (0.0, 20),  # autopilots skip a 0
        (-INF, 20),  # REP 117: too near
        (8.0, 800),
        (INF, 801),
        (NAN, UNKNOWN_CM),
        (8.5, UNKNOWN_CM),  # beyond what the scan can tell: neither here nor clear
    ],
)
def test_golden_table_of_ranges(range_m, cm):
    message = obstacle_distance(scan(np.full(181, range_m)))

    assert sector(message, 10.0) == cm


def test_one_ray_that_saw_nothing_keeps_its_sector_from_being_clear():
    ranges = np.full(181, INF)
    ranges[90 + 20] = NAN  # 10 degrees left

    message = obstacle_distance(scan(ranges))

    assert sector(message, -10.0) == UNKNOWN_CM
    assert sector(message, -5.0) == sector(message, -15.0) == 801


def test_of_several_rays_the_nearest_counts():
    ranges = np.full(181, 5.0)
    ranges[90], ranges[92] = 1.5, NAN

    assert sector(obstacle_distance(scan(ranges)), 0.0) == 150


def test_a_ray_wider_than_a_sector_fills_all_that_it_speaks_for():
    message = obstacle_distance(scan([3.0, 3.0, 3.0], 90.0))  # 45 degrees apart

    assert all(sector(message, angle) == 300 for angle in range(-60, 65, 5))


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0, 180.0, -90.0, 33.0])
def test_a_camera_that_looks_aside_reports_there(yaw_deg):
    ranges = np.full(181, 4.0)

    message = obstacle_distance(scan(ranges, yaw_deg=yaw_deg))

    assert sector(message, -yaw_deg) == 400
    assert sector(message, -yaw_deg + 180.0) == UNKNOWN_CM


def test_a_scan_that_runs_clockwise_says_the_same():
    ranges = one_obstacle(left_deg=20.0).ranges_m
    turned = ScanRays.of_scan(
        ranges[::-1],
        angle_min_rad=math.radians(45.0),
        angle_step_rad=math.radians(-0.5),
        range_min_m=0.2,
        range_max_m=8.0,
        stamp_ns=0,
    )

    assert sector(obstacle_distance(turned), -20.0) == 200


def test_a_whole_circle_has_no_seam():
    ranges = np.full(360, INF)
    ranges[0] = 1.0  # straight behind
    message = obstacle_distance(scan(ranges, 359.0))

    assert sector(message, 180.0) == 100
    assert (message.distances_cm != UNKNOWN_CM).all()


@pytest.mark.parametrize("bin_deg", [5.0, 10.0], ids=["PX4 now", "PX4 before 1.16"])
@pytest.mark.parametrize("fov_deg", [1.0, 30.0, 62.7, 90.0, 121.3, 180.0, 270.0, 359.0])
def test_px4_never_looks_past_the_sectors_and_sees_what_is_there(fov_deg, bin_deg):
    for yaw_deg in (0.0, 7.3, 90.0, 181.9):
        ranges = np.full(200, 3.0)
        seen = by_px4(obstacle_distance(scan(ranges, fov_deg, yaw_deg=yaw_deg)), bin_deg)

        ahead = round(-yaw_deg / bin_deg) * bin_deg % 360.0
        if abs((ahead + yaw_deg + 180.0) % 360.0 - 180.0) < 2.5:
            assert seen[ahead] == 300


def test_mavros_makes_the_same_of_its_scan():
    ranges = np.full(181, INF)
    ranges[20:40], ranges[60:70], ranges[100] = 2.349, NAN, 0.0
    message = obstacle_distance(scan(ranges))

    metres, _, range_max_m = mavros_ranges(message)

    assert len(metres) == SECTORS
    assert by_mavros(metres, range_max_m) == message.distances_cm.tolist()


@pytest.mark.parametrize("cm", [*range(1, 802, 37), 4999, 65533, 65534])
def test_mavros_loses_no_centimetre(cm):
    message = ObstacleDistance(
        distances_cm=np.full(SECTORS, cm, np.uint16), min_cm=1, max_cm=65533, stamp_ns=0
    )

    assert by_mavros(*mavros_ranges(message)[::2])[0] == cm


def test_a_range_beyond_what_centimetres_can_tell_is_kept_below_unknown():
    message = obstacle_distance(scan(np.full(181, INF), range_max_m=5000.0))

    assert message.max_cm == 65533
    assert sector(message, 0.0) == 65534


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"angle_step_rad": 0.0}, "are no scan"),
        ({"angle_step_rad": 1.0}, "are no scan"),
        ({"angle_min_rad": NAN}, "not all are numbers"),
        ({"range_max_m": INF}, "not all are numbers"),
        ({"range_max_m": 0.1}, "reaches from 0.2 to 0.1 m"),
    ],
)
def test_what_is_no_scan_is_refused(change, words):
    values = {
        "angle_min_rad": -0.7,
        "angle_step_rad": 0.01,
        "range_min_m": 0.2,
        "range_max_m": 8.0,
        "stamp_ns": 0,
    }

    with pytest.raises(FrameError, match=words):
        ScanRays.of_scan(np.ones(100), **{**values, **change})


def test_an_empty_scan_knows_nothing():
    empty = ScanRays.of_scan(
        [], angle_min_rad=0.0, angle_step_rad=0.1, range_min_m=0.1, range_max_m=5.0, stamp_ns=0
    )

    assert (obstacle_distance(empty).distances_cm == UNKNOWN_CM).all()

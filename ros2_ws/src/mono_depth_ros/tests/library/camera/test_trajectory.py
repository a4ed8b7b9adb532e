"""Poses of recordings: all of them are known beforehand."""

import numpy as np
import pytest

from mono_depth.camera.trajectory import Trajectory

MS = 1_000_000


def pose(x_m):
    T = np.eye(4)
    T[0, 3] = x_m
    return T


def steady(*at_ms):
    """Poses at one metre a second."""
    return [(ms * MS, pose(ms / 1000)) for ms in at_ms]


def known(trajectory, *at_ms):
    return [trajectory.at(ms * MS) is not None for ms in at_ms]


@pytest.mark.parametrize("glitch", [0, 5, 11])
def test_one_line_that_flips_by_five_metres_costs_no_other_line_its_pose(glitch):
    poses = steady(*range(0, 240, 20))
    poses[glitch] = poses[glitch][0], pose(5.0)

    trajectory = Trajectory(poses)

    assert trajectory.strays == 1
    inside = [ms for ms in range(0, 240, 20) if ms != glitch * 20]
    assert all(known(trajectory, *inside))
    for ms in inside:
        np.testing.assert_allclose(trajectory.at(ms * MS), pose(ms / 1000), atol=1e-12)


def test_where_poses_jump_for_good_both_sides_stay_and_nothing_is_made_up_between():
    poses = steady(0, 20, 40) + [(ms * MS, pose(30.0)) for ms in (60, 80, 100)]

    trajectory = Trajectory(poses)

    assert trajectory.strays == 0
    assert known(trajectory, 30, 60, 90) == [True, True, True]
    assert trajectory.at(59 * MS)[0, 3] < 1.0  # carried on from the first side


def test_one_stamp_far_ahead_at_the_top_costs_no_other_line_its_pose():
    trajectory = Trajectory([*steady(1_000_000), *steady(0, 20, 40, 60)])

    assert known(trajectory, 0, 30, 60) == [True, True, True]


def test_lines_in_any_order_are_brought_into_that_of_time():
    trajectory = Trajectory(steady(60, 0, 40, 20))

    np.testing.assert_allclose(trajectory.at(30 * MS), pose(0.03), atol=1e-12)


def test_without_poses_there_are_none():
    assert Trajectory().at(0) is None


def turned(x_m, degrees):
    T = pose(x_m)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    T[:2, :2] = [[cosine, -sine], [sine, cosine]]
    return T


@pytest.mark.parametrize("rate_hz", [10, 30, 120])
@pytest.mark.parametrize(
    "strays",
    [
        {7: pose(2.5)},  # slower than any limit of speed, but there and back
        {7: turned(0.3, 180)},  # the body of a motion capture, flipped
        {7: pose(2.5), 8: pose(2.6), 9: pose(2.5)},  # some lines in a row
        {3: pose(-3.0), 8: turned(0.0, 120), 14: pose(6.0)},
        {1: pose(3.0), 18: pose(3.0)},  # next to the ends
        {0: pose(3.0), 19: pose(3.0)},
    ],
)
def test_lines_that_go_away_and_come_back_are_left_out(strays, rate_hz):
    lines = {i: (round(i * 1e9 / rate_hz), pose(0.3 * i / rate_hz)) for i in range(20)}

    trajectory = Trajectory((lines | {i: (lines[i][0], T) for i, T in strays.items()}).values())

    assert trajectory.strays == len(strays)
    for i in set(range(1, 19)) - set(strays):
        np.testing.assert_allclose(trajectory.at(lines[i][0]), lines[i][1], atol=1e-9)


@pytest.mark.parametrize("rate_hz", [10, 30, 120])
def test_a_lively_robot_is_no_glitch(rate_hz):
    times_s = np.arange(0.0, 4.0, 1 / rate_hz)
    way_m = 20.0 * times_s + 1.5 * np.sin(4.0 * times_s)  # a car that brakes and goes on
    degrees = 60.0 * np.sin(5.0 * times_s)  # a head that is shaken
    lines = [
        (round(1e9 * t), turned(x, angle))
        for t, x, angle in zip(times_s, way_m, degrees, strict=True)
    ]

    trajectory = Trajectory(lines)

    assert trajectory.strays == 0
    assert all(trajectory.at(stamp + 1_000_000) is not None for stamp, _ in lines[:-1])

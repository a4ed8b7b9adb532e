"""Poses at the stamps of images."""

import numpy as np
import pytest

from mono_depth.camera.poses import PoseBuffer, interpolate, pose_from, rotation

MS = 1_000_000


def pose(x_m=0.0, yaw=0.0):
    T = np.eye(4)
    T[0, 3] = x_m
    T[:3, :3] = rotation(np.array([0.0, 0.0, yaw]))
    return T


def filled(*at_ms, **limits):
    """Poses at these moments, one metre and 0.2 rad for each second."""
    buffer = PoseBuffer(**limits)
    for ms in at_ms:
        assert buffer.add(ms * MS, pose(x_m=ms / 1000, yaw=ms / 5000))
    return buffer


@pytest.mark.parametrize("ms", [100, 137, 200])
def test_between_two_poses_position_and_heading_change_evenly(ms):
    np.testing.assert_allclose(filled(100, 200).at(ms * MS), pose(ms / 1000, ms / 5000), atol=1e-12)


def test_a_turn_of_nearly_half_a_circle_is_interpolated_the_short_way():
    halfway = interpolate(pose(yaw=-1.5), pose(yaw=1.5), 0.5)
    np.testing.assert_allclose(halfway, pose(), atol=1e-12)


def test_an_image_a_little_ahead_of_the_odometry_gets_a_pose_at_the_same_speed():
    np.testing.assert_allclose(filled(100, 150).at(200 * MS), pose(0.2, 0.04), atol=1e-12)


@pytest.mark.parametrize(
    ("at_ms", "ask_ms"),
    [
        ((100, 150), 99),  # before all
        ((100, 150), 251),  # more than max_ahead_s beyond the newest
        ((100,), 101),  # one pose has no velocity
        ((100, 400), 200),  # a gap in the odometry
        ((), 100),
    ],
)
def test_where_odometry_does_not_reach_there_is_no_pose(at_ms, ask_ms):
    assert filled(*at_ms).at(ask_ms * MS) is None


def test_a_single_pose_serves_at_its_own_stamp():
    np.testing.assert_array_equal(filled(100).at(100 * MS), pose(0.1, 0.02))


@pytest.mark.parametrize("ms", [150, 200])
def test_a_late_or_repeated_pose_is_left_out(ms):
    buffer = filled(100, 200)
    assert not buffer.add(ms * MS, pose(99.0))
    np.testing.assert_allclose(buffer.at(150 * MS), pose(0.15, 0.03), atol=1e-12)


def test_a_pose_that_is_no_number_is_left_out():
    buffer = filled(100)
    assert not buffer.add(200 * MS, np.full((4, 4), np.nan))
    assert buffer.at(200 * MS) is None


def test_a_jump_of_the_odometry_forgets_what_was_before():
    buffer = filled(100, 200)
    assert buffer.add(300 * MS, pose(30.0))
    assert buffer.jumps == 1
    assert buffer.at(150 * MS) is None
    assert buffer.at(250 * MS) is None
    np.testing.assert_array_equal(buffer.at(300 * MS), pose(30.0))


def test_when_time_goes_back_far_as_in_a_bag_that_loops_the_buffer_starts_anew():
    buffer = filled(20_000, 20_100)
    assert buffer.add(100 * MS, pose(0.1))
    assert buffer.jumps == 1
    assert buffer.at(20_050 * MS) is None
    assert buffer.at(100 * MS) is not None


def test_one_pose_that_flips_costs_the_others_nothing():
    buffer = filled(100, 200)
    assert buffer.add(300 * MS, pose(30.0))
    assert buffer.add(400 * MS, pose(0.4, 0.08))
    np.testing.assert_allclose(buffer.at(150 * MS), pose(0.15, 0.03), atol=1e-12)
    np.testing.assert_allclose(buffer.at(400 * MS), pose(0.4, 0.08), atol=1e-12)


@pytest.mark.parametrize("ms", [1_000_300, 300_000, 0])
def test_one_stamp_of_another_time_costs_the_others_nothing(ms):
    buffer = filled(100_100, 100_200)
    assert buffer.add(ms * MS, pose(0.3))
    assert buffer.add(100_300 * MS, pose(100.3, 20.06))
    np.testing.assert_allclose(buffer.at(100_250 * MS), pose(100.25, 20.05), atol=1e-9)


@pytest.mark.parametrize("back_ms", [300, 3000, 90_000])
def test_after_the_clock_was_set_back_there_are_poses_of_the_new_one_only(back_ms):
    buffer = filled(*range(100_000, 101_000, 20))
    for ms in range(101_000 - back_ms, 101_200 - back_ms, 20):
        buffer.add(ms * MS, pose(500.0))
    np.testing.assert_array_equal(buffer.at((101_100 - back_ms) * MS), pose(500.0))
    at_old = buffer.at(100_980 * MS)
    assert at_old is None or at_old[0, 3] == 500.0


def test_old_poses_are_dropped():
    buffer = filled(*range(0, 5000, 100), keep_s=1.0)
    assert buffer.at(3800 * MS) is None
    assert buffer.at(3950 * MS) is not None


def test_a_quaternion_becomes_a_rotation():
    half = np.sqrt(0.5)
    T = pose_from((1.0, 2.0, 3.0), (0.0, 0.0, half, half))  # a quarter turn to the left
    np.testing.assert_allclose(T @ [1.0, 0.0, 0.0, 1.0], [1.0, 3.0, 3.0, 1.0], atol=1e-12)


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [((0, 0, 0), (0, 0, 0, 0)), ((np.nan, 0, 0), (0, 0, 0, 1)), ((0, 0, 0), (0, 0, np.inf, 1))],
)
def test_what_is_no_pose_is_refused(position, quaternion):
    assert pose_from(position, quaternion) is None

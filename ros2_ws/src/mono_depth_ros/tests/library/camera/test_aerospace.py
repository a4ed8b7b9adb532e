from __future__ import annotations

import numpy as np
import pytest

from mono_depth.camera.aerospace import body_from_frd, odom_from_local, odom_orientation
from mono_depth.camera.poses import pose_from

HALF = np.sqrt(0.5)


def axes(quaternion, *, is_north_aligned=True):
    """Return forward, left and up of the body in odom."""
    w, x, y, z = odom_orientation(quaternion, is_north_aligned=is_north_aligned)
    turned = pose_from((0.0, 0.0, 0.0), (x, y, z, w))[:3, :3].round(9) + 0.0
    return turned[:, 0].tolist(), turned[:, 1].tolist(), turned[:, 2].tolist()


def test_a_drone_that_looks_north_looks_along_y_of_east_north_up():
    forward, left, up = axes([1.0, 0.0, 0.0, 0.0])

    assert forward == [0.0, 1.0, 0.0]
    assert left == [-1.0, 0.0, 0.0]
    assert up == [0.0, 0.0, 1.0]


def test_a_place_of_north_east_down_is_one_of_east_north_up():
    assert odom_from_local([1.0, 2.0, -3.0], is_north_aligned=True).tolist() == [2.0, 1.0, 3.0]


def test_a_turn_to_the_right_is_clockwise_seen_from_above():
    assert axes([HALF, 0.0, 0.0, HALF])[0] == [1.0, 0.0, 0.0]  # 90 degrees about down: east


def test_nose_up_stays_nose_up():
    assert axes([HALF, 0.0, HALF, 0.0])[0] == [0.0, 0.0, 1.0]


def test_a_frame_of_any_heading_keeps_its_first_axis():
    assert odom_from_local([1.0, 2.0, -3.0], is_north_aligned=False).tolist() == [1.0, -2.0, 3.0]
    assert axes([1.0, 0.0, 0.0, 0.0], is_north_aligned=False)[0] == [1.0, 0.0, 0.0]


def test_a_body_of_forward_right_down_becomes_forward_left_up():
    assert body_from_frd([1.0, 2.0, 3.0]).tolist() == [1.0, -2.0, -3.0]


@pytest.mark.parametrize("quaternion", [[np.nan] * 4, [0.0] * 4, [9.0, 0.0, 0.0, 0.0]])
def test_what_is_no_rotation_is_none(quaternion):
    assert odom_orientation(quaternion, is_north_aligned=True) is None

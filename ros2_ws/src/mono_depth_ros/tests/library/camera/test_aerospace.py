from __future__ import annotations

import numpy as np
import pytest

from mono_depth.camera.aerospace import pose_from_ned

HALF = np.sqrt(0.5)


def axes(pose):
    """Return forward, left and up of the body in odom."""
    return pose[:3, 0].round(9), pose[:3, 1].round(9), pose[:3, 2].round(9)


def test_a_drone_that_looks_north_looks_along_y_of_east_north_up():
    pose = pose_from_ned([1.0, 2.0, -3.0], [1.0, 0.0, 0.0, 0.0])

    forward, left, up = axes(pose)
    assert pose[:3, 3].tolist() == [2.0, 1.0, 3.0]
    assert forward.tolist() == [0.0, 1.0, 0.0]
    assert left.tolist() == [-1.0, 0.0, 0.0]
    assert up.tolist() == [0.0, 0.0, 1.0]


def test_a_turn_to_the_right_is_clockwise_seen_from_above():
    pose = pose_from_ned([0.0, 0.0, 0.0], [HALF, 0.0, 0.0, HALF])  # 90 degrees about down

    assert axes(pose)[0].tolist() == [1.0, 0.0, 0.0]  # east


def test_nose_up_stays_nose_up():
    pose = pose_from_ned([0.0, 0.0, 0.0], [HALF, 0.0, HALF, 0.0])  # pitch +90 degrees

    assert axes(pose)[0].tolist() == [0.0, 0.0, 1.0]


def test_a_frame_of_any_heading_keeps_its_first_axis():
    pose = pose_from_ned([1.0, 2.0, -3.0], [1.0, 0.0, 0.0, 0.0], is_north_aligned=False)

    assert pose[:3, 3].tolist() == [1.0, -2.0, 3.0]
    assert axes(pose)[0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("quaternion", [[np.nan] * 4, [0.0] * 4])
def test_what_is_no_rotation_is_no_pose(quaternion):
    assert pose_from_ned([0.0, 0.0, 0.0], quaternion) is None

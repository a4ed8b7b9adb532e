"""Errors of trajectories that are wrong by a known amount."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mono_depth.camera.poses import rotation
from mono_depth.evaluation.consumer.trajectory import (
    rigid_fit,
    rigid_fit_of_poses,
    trajectory_error,
)


def pose(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(np.array(turn)), (x, y, z)
    return T


PATH = [pose(0, 0), pose(1, 0), pose(2, 0, 1), pose(2, 1, 1)]


def test_the_fit_finds_turn_and_place():
    R, t = rotation(np.array([0.3, -0.2, 1.0])), np.array([1.0, 2.0, 3.0])
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    T = rigid_fit(points, points @ R.T + t)
    np.testing.assert_allclose(T[:3, :3], R, atol=1e-12)
    np.testing.assert_allclose(T[:3, 3], t, atol=1e-12)


def test_the_fit_never_mirrors():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert np.linalg.det(rigid_fit(points, points * [1, 1, -1])[:3, :3]) == pytest.approx(1.0)


def test_a_straight_path_is_turned_by_its_orientations():
    straight = [pose(x) for x in (0.0, 1.0, 2.0)]
    rolled = [pose(5, 0, 0, (1.2, 0, 0)) @ T for T in straight]
    T = rigid_fit_of_poses(rolled, straight)
    np.testing.assert_allclose(T[:3, :3], rotation(np.array([-1.2, 0, 0])), atol=1e-9)
    np.testing.assert_allclose([(T @ moved)[0, 3] for moved in rolled], [0, 1, 2], atol=1e-9)


def test_a_trajectory_in_another_frame_is_perfect():
    frame = pose(5, 6, 7, (0.1, 0.2, 0.3))
    error = trajectory_error([frame @ T for T in PATH], PATH)
    assert (error.ate_m, error.rpe_m, error.rpe_deg) == pytest.approx((0, 0, 0), abs=1e-9)
    assert error.path_m == pytest.approx(1.0 + math.sqrt(2.0) + 1.0)
    assert error.length_ratio == pytest.approx(1.0)


def test_steps_that_are_twice_too_long_are_an_error():
    line = [pose(x) for x in (-1.0, 0.0, 1.0)]
    error = trajectory_error([pose(2.0 * T[0, 3]) for T in line], line)
    assert error.length_ratio == pytest.approx(2.0)
    assert error.ate_m == pytest.approx(math.sqrt(2.0 / 3.0))  # the ends are 1 m off
    assert error.rpe_m == pytest.approx(1.0)


def test_a_path_that_wanders_about_is_worse_than_one_that_stands_still():
    line = [pose(x) for x in (-1.0, 0.0, 1.0)]
    still, wandering = [pose()] * 3, [pose(0, 3), pose(), pose(0, -3)]
    errors = [trajectory_error(path, line).ate_m for path in (still, wandering)]
    assert errors[0] < errors[1]


def test_one_wrong_turn_shows_in_the_rotation_of_its_step():
    turned = [*PATH[:3], PATH[3] @ pose(turn=(0, 0, math.radians(6.0)))]
    error = trajectory_error(turned, PATH)
    assert error.rpe_deg == pytest.approx(6.0 / math.sqrt(3.0))  # one of three steps
    assert error.ate_m == pytest.approx(0.0, abs=1e-9)


def test_absolute_error_is_what_no_alignment_removes():
    square = [pose(1, 1), pose(-1, 1), pose(-1, -1), pose(1, -1)]
    bent = [pose(1, 1, 0.1), pose(-1, 1, -0.1), pose(-1, -1, 0.1), pose(1, -1, -0.1)]
    assert trajectory_error(bent, square).ate_m == pytest.approx(0.1, rel=0.01)


def test_a_trajectory_of_two_poses_is_refused():
    with pytest.raises(ValueError, match="2 estimated and 2 true poses, expected >= 3"):
        trajectory_error(PATH[:2], PATH[:2])

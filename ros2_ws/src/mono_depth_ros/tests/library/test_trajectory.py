"""Errors of trajectories that are wrong by a known amount."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mono_depth.evaluation.trajectory import (
    fitted_similarity,
    similarity_of_poses,
    trajectory_error,
)
from mono_depth.temporal.poses import rotation


def pose(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(np.array(turn)), (x, y, z)
    return T


PATH = [pose(0, 0), pose(1, 0), pose(2, 0, 1), pose(2, 1, 1)]


def test_the_fit_finds_scale_turn_and_place():
    R, t = rotation(np.array([0.3, -0.2, 1.0])), np.array([1.0, 2.0, 3.0])
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    fit = fitted_similarity(points, 2.5 * points @ R.T + t)
    assert fit.scale == pytest.approx(2.5)
    np.testing.assert_allclose(fit.R, R, atol=1e-12)
    np.testing.assert_allclose(fit.t, t, atol=1e-12)


def test_the_fit_never_mirrors():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
    fit = fitted_similarity(points, points * [1, 1, -1])
    assert np.linalg.det(fit.R) == pytest.approx(1.0)


def test_a_straight_path_is_turned_by_its_orientations():
    straight = [pose(x) for x in (0.0, 1.0, 2.0)]
    rolled = [pose(5, 0, 0, (1.2, 0, 0)) @ T for T in straight]
    for T in rolled:
        T[:3, 3] /= 2.0
    fit = similarity_of_poses(rolled, straight)
    assert fit.scale == pytest.approx(2.0)
    np.testing.assert_allclose(fit.R, rotation(np.array([-1.2, 0, 0])), atol=1e-9)
    np.testing.assert_allclose(fit.apply(np.array([T[:3, 3] for T in rolled]))[:, 0], [0, 1, 2])


def test_a_trajectory_in_another_frame_and_unit_is_perfect_but_for_its_scale():
    frame = pose(5, 6, 7, (0.1, 0.2, 0.3))
    elsewhere = [frame @ T for T in PATH]
    for T in elsewhere:
        T[:3, 3] /= 4.0
    error = trajectory_error(elsewhere, PATH)
    assert error.scale == pytest.approx(4.0)
    assert (error.ate_m, error.rpe_m, error.rpe_deg) == pytest.approx((0, 0, 0), abs=1e-9)
    assert error.path_m == pytest.approx(1.0 + math.sqrt(2.0) + 1.0)


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

"""Inverse depth and poses from tracks, against points that are known."""

import numpy as np
import pytest

from mono_depth.camera.poses import rotation, rotation_vector
from mono_depth.motion.inverse_depth import triangulated
from mono_depth.motion.present_view import OdometryNoise, refined

RNG = np.random.default_rng(5)
DEPTH_M = RNG.uniform(1.0, 6.0, 200)
RAYS = RNG.uniform(-0.6, 0.6, (200, 2))
POINTS = np.concatenate((RAYS, np.ones((200, 1))), axis=1) * DEPTH_M[:, None]
DEVIATION = 0.001


def pose(shift=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(np.asarray(turn)), shift
    return T


def seen(T):
    points = POINTS @ T[:3, :3].T + T[:3, 3]
    return points[:, :2] / points[:, 2:]


WAY = np.stack(
    [pose((0.1 * i, 0.02 * i, -0.05 * i), (0.01 * i, -0.02 * i, 0.0)) for i in range(1, 5)]
)


def measured(rays=RAYS, views=None, T_view_now=WAY):
    known = np.stack([seen(T) for T in WAY], axis=1) if views is None else views
    return triangulated(rays, known, T_view_now, DEVIATION)


def test_exact_tracks_tell_the_exact_depth():
    np.testing.assert_allclose(1.0 / measured().rho, DEPTH_M, rtol=1e-6)
    assert measured().misfit.max() < 1e-6


def test_the_deviation_tells_how_wrong_noisy_tracks_are():
    rng, errors = np.random.default_rng(1), []
    for _ in range(30):
        views = np.stack([seen(T) for T in WAY], axis=1)
        views = views + rng.normal(0.0, DEVIATION, views.shape)
        found = measured(RAYS + rng.normal(0.0, DEVIATION, RAYS.shape), views)
        errors.append((found.rho - 1.0 / DEPTH_M) / np.sqrt(found.variance))
    assert np.std(errors) == pytest.approx(1.0, abs=0.15)


def test_a_view_that_missed_a_corner_has_no_say():
    views = np.stack([seen(T) for T in WAY], axis=1)
    views[:100, 1] = np.nan
    found = measured(views=views)
    np.testing.assert_allclose(1.0 / found.rho, DEPTH_M, rtol=1e-6)
    assert (found.views[:100] == 3).all()
    assert (found.views[100:] == 4).all()


def test_a_camera_that_only_turns_shows_no_depth():
    turns = np.stack([pose(turn=(0.0, 0.1 * i, 0.0)) for i in range(1, 5)])
    found = measured(views=np.stack([seen(T) for T in turns], axis=1), T_view_now=turns)
    assert found.variance.min() > 1e6


@pytest.mark.parametrize("axis", range(6))
def test_what_a_wrong_pose_does_to_the_depth_is_known(axis):
    step = np.zeros(6)
    step[axis] = 1e-5
    wrong = np.stack([T @ np.linalg.inv(pose(step[:3], step[3:])) for T in WAY])
    change = (measured(T_view_now=wrong).rho - measured().rho) / 1e-5
    expected = measured().by_pose[:, axis]
    close = np.abs(change - expected) < 0.1 * np.abs(expected) + 0.05 * np.abs(expected).max()
    assert close.mean() > 0.9


def key_view(T_now_key, sigma_rho=0.01, noise=0.0):
    rng = np.random.default_rng(2)
    rho = 1.0 / DEPTH_M + rng.normal(0.0, sigma_rho, 200)
    rays = seen(T_now_key) + rng.normal(0.0, noise, RAYS.shape)
    return RAYS, rho, np.full(200, sigma_rho**2), rays


def test_tracks_mend_the_turn_of_odometry_and_leave_the_length_of_its_step():
    true = pose((0.05, 0.0, -0.1))
    told = pose(1.1 * true[:3, 3], (0.005, -0.01, 0.005))
    found = refined(*key_view(true), told, deviation=DEVIATION, noise=OdometryNoise())
    assert np.linalg.norm(rotation_vector(found.T_now_key[:3, :3])) < 0.002
    ratio = np.linalg.norm(found.T_now_key[:3, 3]) / np.linalg.norm(told[:3, 3])
    assert ratio == pytest.approx(1.0, abs=0.02)


def test_tracks_of_unknown_depth_mend_the_turn_too():
    true, told = pose((0.1, 0.0, 0.0)), pose((0.1, 0.0, 0.0), (0.003, 0.003, -0.003))
    rays, _, _, now = key_view(true)
    found = refined(
        rays,
        np.full(200, 0.5),
        np.full(200, 25.0),
        now,
        told,
        deviation=DEVIATION,
        noise=OdometryNoise(),
    )
    miss = rotation_vector(found.T_now_key[:3, :3])
    assert np.abs(miss[[0, 2]]).max() < 0.0003  # about the axis of the step depth hides it
    assert found.fits > 0.95


def test_tracks_that_move_on_their_own_do_not_turn_the_camera():
    true = pose((0.05, 0.0, -0.1))
    rays, rho, variance, now = key_view(true, noise=0.0003)
    now[:60] += (0.03, -0.02)
    found = refined(rays, rho, variance, now, true, deviation=DEVIATION, noise=OdometryNoise())
    assert np.linalg.norm(rotation_vector(found.T_now_key[:3, :3])) < 0.001
    assert (found.misfit[:60] > 25.0).mean() > 0.9
    assert (found.misfit[60:] < 9.0).mean() > 0.95


def test_a_pose_that_the_tracks_refute_is_a_surprise():
    told = pose((0.05, 0.0, -0.1), (0.2, 0.0, 0.0))
    found = refined(
        *key_view(pose((0.05, 0.0, -0.1))), told, deviation=DEVIATION, noise=OdometryNoise()
    )
    assert found.surprise > 8.0 or found.fits < 0.5

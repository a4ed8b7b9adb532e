"""Motion of the camera from images, and memory moved along with it, against known motions."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from mono_depth.camera.poses import rotation_vector
from mono_depth.data import FollowedCorners, Intrinsics
from mono_depth.motion.dense_flow import DenseFlowEstimator
from mono_depth.motion.ego_motion import EgoMotionEstimator
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.temporal.forward_motion import ForwardMotion, forward_motion_of
from mono_depth.temporal.fusion import alone
from mono_depth.temporal.scale_shift import ScaleShift, align
from mono_depth.temporal.warp import Warper

CAMERA = Intrinsics(width=12, height=8, fx=10.0, fy=10.0, cx=5.5, cy=3.5)


def grey(frame):
    return cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)


def log_depth(frame):
    return np.log(np.nan_to_num(frame.depth_m, nan=1e13)).astype(np.float32)


@pytest.fixture(scope="module", params=[("corridor", "robot"), ("office", "handheld")], ids=str)
def walk(request):
    scene, style = request.param
    camera = SyntheticCamera(
        seed=4, scene=scene, trajectory=style, width=320, height=240, duration_s=2.0
    )
    return [camera[index] for index in range(0, 12, 2)]


@pytest.mark.slow
def test_the_motion_of_a_walk_through_a_room_is_found(walk):
    estimator = EgoMotionEstimator(walk[0].intrinsics)
    ratios, angles_deg = [], []
    for last, now in pairwise(walk):
        found = estimator.estimate(grey(now), grey(last), log_depth(last))
        true = np.linalg.inv(last.T_odom_camera) @ now.T_odom_camera
        step = true[:3, 3]
        ratios.append(found.T_last_now[:3, 3] @ step / (step @ step))
        miss = rotation_vector(found.T_last_now[:3, :3].T @ true[:3, :3])
        angles_deg.append(np.degrees(np.linalg.norm(miss)))
    assert 0.95 < np.median(ratios) < 1.05
    assert np.max(angles_deg) < 0.1


@pytest.mark.slow
def test_corners_that_something_else_has_followed_in_a_larger_image_say_the_same(walk):
    estimator = EgoMotionEstimator(walk[0].intrinsics)
    last, now = walk[:2]
    own = estimator.tracks(grey(now), grey(last), log_depth(last))
    K = last.intrinsics
    x, y, z = own.points.T
    before = np.stack((K.fx * x / z + K.cx, K.fy * y / z + K.cy), 1)
    corners = FollowedCorners(
        since_ns=last.stamp_ns, before=2.0 * before + 0.5, now=2.0 * own.pixels.T + 0.5
    )
    found = estimator.tracks_of(corners, K.scaled_to(640, 480), log_depth(last))
    np.testing.assert_allclose(found.pixels, own.pixels, atol=1e-9)
    np.testing.assert_allclose(found.points, own.points, rtol=1e-6)


@pytest.mark.slow
def test_a_cut_has_no_motion(walk):
    other = SyntheticCamera(seed=9, scene="yard", trajectory="drone", width=320, height=240)[0]
    estimator = EgoMotionEstimator(walk[0].intrinsics)
    assert estimator.estimate(grey(other), grey(walk[0]), log_depth(walk[0])) is None


def test_a_image_without_corners_has_no_motion():
    blank = np.full((240, 320), 128, np.uint8)
    camera = CAMERA.scaled_to(320, 240)
    assert EgoMotionEstimator(camera).estimate(blank, blank, np.zeros((240, 320), "f4")) is None


@pytest.mark.parametrize("shape", [(1, 1), (6, 8), (15, 320), (64, 5)])
def test_a_tiny_image_has_neither_motion_nor_flow(shape):
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    camera = CAMERA.scaled_to(*shape[::-1])
    depth = np.zeros(shape, np.float32)
    assert EgoMotionEstimator(camera).estimate(image, image, depth) is None
    assert not DenseFlowEstimator().estimate(image, image).is_good.any()


def test_a_camera_that_stands_still_remembers_every_pixel_as_it_was():
    values = torch.from_numpy(np.random.default_rng(0).uniform(0, 2, (8, 12)).astype(np.float32))
    image = torch.arange(96, dtype=torch.uint8).reshape(8, 12)
    warped = Warper(CAMERA, torch.device("cpu")).warp(alone(values, image), values, torch.eye(4))
    torch.testing.assert_close(warped.values, values, atol=2e-4, rtol=0.0)
    torch.testing.assert_close(warped.grey, image.float(), atol=1e-3, rtol=0.0)
    assert warped.valid[1:-1, 1:-1].all()


def test_moving_forward_half_a_metre_brings_a_wall_half_a_metre_nearer():
    before, after = torch.full((8, 12), 3.0).log(), torch.full((8, 12), 2.5).log()
    columns = torch.arange(12, dtype=torch.uint8).expand(8, 12) * 10
    forward = torch.eye(4)
    forward[2, 3] = 0.5
    warped = Warper(CAMERA, torch.device("cpu")).warp(alone(before, columns), after, forward)
    torch.testing.assert_close(warped.values, after)
    assert warped.valid.all()
    # A point at (x, y, 2.5) now was at (x, y, 3): nearer to the centre of the image.
    x_now = torch.arange(12.0) - 5.5
    torch.testing.assert_close(warped.grey[4], (x_now * 2.5 / 3.0 + 5.5) * 10)


def test_memory_does_not_mix_foreground_and_background():
    values = torch.full((8, 12), 5.0).log()
    values[:, :6] = 1.0
    right = torch.eye(4)
    right[0, 3] = 0.25  # half a pixel at 5 m
    image = torch.zeros(8, 12, dtype=torch.uint8)
    wall = torch.full((8, 12), 5.0).log()
    warped = Warper(CAMERA, torch.device("cpu")).warp(alone(values, image), wall, right)
    seen = warped.values[:, :-1].flatten()
    assert torch.minimum((seen - 1.0).abs(), (seen - wall[0, 0]).abs()).max() < 1e-3


def test_what_the_last_frame_did_not_see_is_not_valid():
    wall = torch.full((8, 12), 2.0).log()
    right = torch.eye(4)
    right[0, 3] = 0.8  # 4 pixels at 2 m
    image = torch.zeros(8, 12, dtype=torch.uint8)
    warped = Warper(CAMERA, torch.device("cpu")).warp(alone(wall, image), wall, right)
    assert warped.valid[:, :8].all()
    assert not warped.valid[:, 8:].any()


def test_dense_flow_follows_a_shifted_image_and_finds_its_own_mistakes():
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (120, 180), np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    now, last = wide[:, 10:170].copy(), wide[:, 13:173].copy()
    flow = DenseFlowEstimator().estimate(now, last)
    inner = (slice(10, -10), slice(10, -10))
    assert np.median(flow.dx[inner]) == pytest.approx(-3.0, abs=0.2)
    assert np.median(np.abs(flow.dy[inner])) < 0.1
    assert flow.is_good[inner].mean() > 0.95
    other = cv2.flip(wide, -1)
    assert DenseFlowEstimator().estimate(wide, other).is_good.mean() < 0.4


@pytest.mark.parametrize("forward_m", [0.1, -0.05])
@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_flow_tells_the_growth_of_inverse_depth_whatever_its_scale_and_shift(forward_m, shift):
    rng = np.random.default_rng(2)
    x, y, depth_m = rng.uniform(-0.5, 0.5, 500), rng.uniform(-0.4, 0.4, 500), rng.uniform(1, 6, 500)
    then_m = depth_m + forward_m  # in the last frame
    camera = CAMERA.scaled_to(320, 240)
    flow_px = (
        camera.fx * (x * depth_m / then_m - x + 0.01),  # and a turn of 0.01 rad
        camera.fy * (y * depth_m / then_m - y),
    )
    network = [7.0 / z + shift for z in (then_m, depth_m)]
    forward_motion = forward_motion_of(network[0], (x, y), flow_px, camera)
    grown = forward_motion.of(network[0]) - network[0]
    true = network[1] - network[0]
    assert np.median(grown / true) == pytest.approx(1.0, abs=0.12)


def test_growth_is_bounded_however_wrong_the_motion():
    values = np.array([1.0, 10.0, 1e6])
    grown = ForwardMotion(rate=1.0, offset=0.0).of(values) / values
    np.testing.assert_allclose(grown, 1.0 / 0.7)


def test_scale_and_shift_of_a_network_are_brought_to_those_of_the_past():
    past = np.linspace(1.0, 5.0, 200)
    found = align(ScaleShift(), (past - 0.3) / 1.2, past, forget=0.0)
    assert found.scale == pytest.approx(1.2, rel=1e-3)
    assert found.shift == pytest.approx(0.3, abs=5e-3)


def test_the_noise_of_the_network_does_not_shrink_its_scale():
    rng = np.random.default_rng(4)
    depth = rng.uniform(1.0, 5.0, 2000)
    now, past = depth + rng.normal(0, 0.4, 2000), depth + rng.normal(0, 0.28, 2000)
    assert align(ScaleShift(), now, past, forget=0.0).scale == pytest.approx(1.0, abs=0.02)


def test_without_a_spread_of_depth_only_the_level_is_corrected():
    rng = np.random.default_rng(3)
    past, now = (3.0 + 0.01 * rng.standard_normal(200) for _ in range(2))
    found = align(ScaleShift(), now + 0.001, past, forget=0.0)
    assert found.scale == 1.0
    assert np.median(found.of(now + 0.001) - past) == pytest.approx(0.0, abs=0.01)


def test_a_correction_leaks_away_when_nothing_renews_it():
    past = np.linspace(1.0, 5.0, 200)
    scale_shift = ScaleShift(scale=1.3, shift=-0.5)
    for _ in range(60):
        level = scale_shift.of(past)
        scale_shift = align(scale_shift, past, level, forget=0.1)
    assert scale_shift.scale == pytest.approx(1.0, abs=0.01)
    assert scale_shift.shift == pytest.approx(0.0, abs=0.03)


@pytest.mark.slow
def test_a_long_one_sided_error_cannot_carry_scale_and_shift_away():
    values, scale_shift = np.linspace(1.0, 5.0, 200), ScaleShift()
    for _ in range(500):
        level = scale_shift.of(values) * 1.1 + 0.2
        scale_shift = align(scale_shift, values, level, forget=0.01)
    assert scale_shift.scale <= 1.5
    assert abs(scale_shift.of(3.0 + 0.0 * values)[0] - 3.0) <= 2.0 + 1e-9

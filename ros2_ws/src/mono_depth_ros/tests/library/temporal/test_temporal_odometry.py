"""The filter with odometry that is wrong: the image refutes it, and is used in its place."""

import cv2
import numpy as np
import pytest
import torch

from mono_depth.camera.poses import rotation
from mono_depth.config import TemporalConfig
from mono_depth.motion.pose_check import DOES_NOT_FIT
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.temporal.filter import TemporalFilter

WIDTH, HEIGHT, FRAMES, RATE_HZ = 320, 240, 30, 15.0
SETTLED = 5  # frames after which the filter is judged

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drive():
    """Frames of a robot that drives through an office."""
    camera = SyntheticCamera(1, "office", "robot", width=WIDTH, height=HEIGHT, sparse_points=1)
    return [camera[index] for index in range(FRAMES)]


@pytest.fixture(scope="module")
def swing():
    """Frames of a camera that looks to and fro by 40 degrees: images, depth and poses."""
    camera = SyntheticCamera(1, "office", "robot", width=WIDTH, height=HEIGHT, sparse_points=1)
    images, depth_m, poses = [], [], []
    for index in range(FRAMES):
        angle_deg = 40.0 * np.sin(2.0 * np.pi * index / (3.0 * RATE_HZ))
        poses.append(turned(camera[0].T_odom_camera, 1, angle_deg))
        image = camera.render(poses[-1], 0.0)
        rng = np.random.default_rng(index)
        images.append(camera._effects.apply(image.rgb_linear, rng, camera._gain))
        depth_m.append(image.depth_m)
    return images, depth_m, poses


def turned(pose, axis, angle_deg):
    turn = np.zeros(3)
    turn[axis] = np.radians(angle_deg)
    out = pose.copy()
    out[:3, :3] = out[:3, :3] @ rotation(turn)
    return out


def ahead(pose, way_m):
    out = pose.copy()
    out[:3, 3] += way_m * out[:3, 2]
    return out


def wave(amplitude, index, period_s=2.0):
    return amplitude * np.sin(2.0 * np.pi * index / (period_s * RATE_HZ))


def filtered(images, truth_m, poses, intrinsics, mode):
    """Return the mean |log error|, the worst near bias, modes and doubts, noise of 7 %."""
    rng, past = np.random.default_rng(3), TemporalFilter()
    errors, biases, modes, doubts = [], [], [], []
    for index in range(FRAMES):
        blobs = cv2.resize(rng.normal(0.0, 0.07, (24, 32)), (WIDTH, HEIGHT), interpolation=2)
        network_m = np.nan_to_num(truth_m[index], nan=60.0) * np.exp(blobs)
        out = past.apply(
            torch.from_numpy(network_m.astype(np.float32)),
            rgb=np.ascontiguousarray(images[index]),
            intrinsics=intrinsics,
            stamp_ns=1 + round(index * 1e9 / RATE_HZ),
            T_odom_camera=poses[index],
            config=TemporalConfig(mode=mode),
        )
        known = np.isfinite(truth_m[index])
        error = np.log(out.values.numpy()[known] / truth_m[index][known])
        near = truth_m[index][known] < np.quantile(truth_m[index][known], 0.2)
        modes.append(out.mode)
        doubts.append(out.doubt)
        if index >= SETTLED:
            errors.append(np.abs(error).mean())
            biases.append(error[near].mean())
    return np.mean(errors), max(biases), modes, doubts


@pytest.fixture(scope="module")
def by_images(drive):
    """Error and near bias of the drive by its images, without a pose."""
    images, truth_m = [f.rgb for f in drive], [f.depth_m for f in drive]
    return filtered(images, truth_m, [None] * FRAMES, drive[0].intrinsics, "flow")[:2]


def check(images, truth_m, told, intrinsics, *, is_right=False, by_images=None):
    if by_images is None:
        flow, flow_bias, _, _ = filtered(images, truth_m, told, intrinsics, "flow")
    else:
        flow, flow_bias = by_images
    pose, pose_bias, modes, doubts = filtered(images, truth_m, told, intrinsics, "auto")
    assert pose < 1.15 * flow
    assert pose_bias < flow_bias + 0.01
    if is_right:
        assert set(modes) == {"pose"}
        assert set(doubts) == {""}
    else:
        assert modes.count("flow") > 0.4 * FRAMES
        assert all(
            (mode == "flow") == (doubt == DOES_NOT_FIT)
            for mode, doubt in zip(modes, doubts, strict=True)
        )


# of the camera's true pose and the number of the frame: what odometry tells
TOLD = {
    "right": lambda pose, index: pose,
    "a gimbal pitches": lambda pose, index: turned(pose, 0, wave(15.0, index)),
    "a gimbal turns to the sides": lambda pose, index: turned(pose, 1, wave(30.0, index)),
    "a mount off by 30 degrees": lambda pose, index: turned(pose, 1, 30.0),
    "a camera upside down": lambda pose, index: turned(pose, 2, 180.0),
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_odometry_about_something_else_than_the_camera_is_not_used(drive, by_images, told):
    poses = [told(frame.T_odom_camera, index) for index, frame in enumerate(drive)]
    check(
        [frame.rgb for frame in drive],
        [frame.depth_m for frame in drive],
        poses,
        drive[0].intrinsics,
        is_right=told is TOLD["right"],
        by_images=by_images,
    )


def test_a_robot_that_is_pushed_while_its_wheels_tell_nothing_is_seen(drive, by_images):
    poses = [drive[0].T_odom_camera] * FRAMES
    images, depth_m = [f.rgb for f in drive], [f.depth_m for f in drive]
    check(images, depth_m, poses, drive[0].intrinsics, by_images=by_images)


def test_a_robot_that_is_pushed_back_against_its_wheels_is_seen(drive):
    poses = [frame.T_odom_camera for frame in drive]
    back = drive[::-1]
    check([f.rgb for f in back], [f.depth_m for f in back], poses, drive[0].intrinsics)


@pytest.mark.parametrize("speed_mps", [0.4, -0.4])
def test_wheels_that_spin_do_not_move_depth(drive, speed_mps):
    rng, first = np.random.default_rng(7), drive[0]
    images = [
        np.clip(first.rgb + rng.normal(0.0, 2.0, first.rgb.shape), 0, 255).astype(np.uint8)
        for _ in range(FRAMES)
    ]
    poses = [ahead(first.T_odom_camera, speed_mps * i / RATE_HZ) for i in range(FRAMES)]
    check(images, [first.depth_m] * FRAMES, poses, first.intrinsics)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_odometry_of_another_length_is_used_with_the_length_that_the_image_shows(
    drive, by_images, factor
):
    start = drive[0].T_odom_camera
    poses = [frame.T_odom_camera.copy() for frame in drive]
    for pose in poses:
        pose[:3, 3] = start[:3, 3] + factor * (pose[:3, 3] - start[:3, 3])
    images, depth_m = [f.rgb for f in drive], [f.depth_m for f in drive]
    check(images, depth_m, poses, drive[0].intrinsics, is_right=True, by_images=by_images)


def test_odometry_that_is_late_while_the_camera_turns_is_not_used(drive, swing):
    images, depth_m, poses = swing
    late = [poses[max(0, index - 2)] for index in range(FRAMES)]
    check(images, depth_m, late, drive[0].intrinsics)


def test_a_camera_that_looks_around_fits_its_odometry(drive, swing):
    check(*swing, drive[0].intrinsics, is_right=True)

"""Points that a moving camera makes, against the true depth of rendered scenes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mono_depth.camera.poses import rotation
from mono_depth.motion.depth_from_motion import DepthFromMotion
from mono_depth.motion.landmarks import LandmarkMap
from mono_depth.motion.tracker import follow, new_corners
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.synthetic.sensor import SensorEffects

STEP_NS = 66_666_667


def drive(scene, style, seed, frames):
    camera = SyntheticCamera(seed, scene, style, width=320, height=240, sparse_points=1)
    return [camera[index] for index in range(frames)]


@pytest.fixture(scope="module")
def walk():
    return drive("room", "handheld", 1, 24)


def errors(points, frame):
    columns, rows = np.rint(points.pixels).astype(int).T
    error = np.log(points.depth_m / frame.depth_m[rows, columns])
    return error[np.isfinite(error)]


def run(frames, poses=None, motion=None):
    """Return the points of each frame, and what made them."""
    motion = motion or DepthFromMotion()
    poses = [frame.T_odom_camera for frame in frames] if poses is None else poses
    found = [
        motion.update(frame.rgb, frame.intrinsics, frame.stamp_ns, pose)
        for frame, pose in zip(frames, poses, strict=True)
    ]
    return found, motion


def drifting(frames, turn_deg, slip):
    """Return poses that turn away by some degrees over twenty frames and go too far."""
    axis = np.array([0.6, -0.64, 0.48])
    poses = [frames[0].T_odom_camera]
    for last, now in pairwise(frames):
        step = np.linalg.inv(last.T_odom_camera) @ now.T_odom_camera
        step[:3, 3] *= 1.0 + slip
        step[:3, :3] = step[:3, :3] @ rotation(np.radians(turn_deg / 20.0) * axis)
        poses.append(poses[-1] @ step)
    return poses


@pytest.mark.slow
@pytest.mark.parametrize("turn_deg", [0.0, 0.3, 1.0])
def test_a_walk_makes_points_however_the_odometry_turns_away(walk, turn_deg):
    found, _ = run(walk, drifting(walk, turn_deg, slip=0.0))
    error = np.concatenate([errors(found[i], walk[i]) for i in range(16, 24)])
    assert min(len(points) for points in found[16:]) > 100
    assert np.median(np.abs(error)) < 0.035
    assert np.mean(error > 0.25) < 0.02


@pytest.mark.slow
def test_the_deviation_of_the_points_is_honest(walk):
    found, _ = run(walk)
    ratio = np.concatenate([errors(found[i], walk[i]) for i in range(16, 24)]) / np.concatenate(
        [found[i].sigma_rel for i in range(16, 24)]
    )
    assert np.mean(np.abs(ratio) < 2.0) > 0.85


@pytest.mark.slow
def test_depth_stays_while_the_camera_stands_for_ten_seconds(walk):
    found, motion = run(walk)
    last = walk[-1]
    still = [replace(last, stamp_ns=last.stamp_ns + i * 10 * STEP_NS) for i in range(1, 16)]
    later, _ = run(still, motion=motion)
    assert len(later[-1]) > 0.8 * len(found[-1])
    assert np.median(np.abs(errors(later[-1], last))) < 0.04


@pytest.mark.slow
def test_depth_is_there_again_after_a_look_to_the_side_and_back(walk):
    camera = SyntheticCamera(1, "room", "handheld", width=320, height=240)
    effects, place = SensorEffects(), walk[-1]
    _found, motion = run(walk)
    rng, angles_deg = np.random.default_rng(0), (*range(8, 90, 8), *range(80, -1, -8))
    for count, angle_deg in enumerate(angles_deg, 1):
        pose = place.T_odom_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ rotation(np.array([0.0, np.radians(angle_deg), 0.0]))
        image = camera.render(pose, place.stamp_ns * 1e-9)
        points = motion.update(
            effects.apply(image.rgb_linear, rng, camera._gain),
            place.intrinsics,
            place.stamp_ns + count * STEP_NS,
            pose,
        )
    back = errors(points, place)
    assert len(back) > 30
    assert (points.age_s > 0.0).any()
    assert np.median(np.abs(back)) < 0.05


@pytest.mark.slow
def test_a_camera_that_only_turns_makes_no_points(walk):
    camera = SyntheticCamera(1, "room", "handheld", width=320, height=240)
    motion, place = DepthFromMotion(), walk[0]
    for count in range(12):
        pose = place.T_odom_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ rotation(np.array([0.0, 0.03 * count, 0.0]))
        image = camera.render(pose, 0.0)
        rgb = SensorEffects().apply(image.rgb_linear, np.random.default_rng(count), camera._gain)
        points = motion.update(rgb, place.intrinsics, count * STEP_NS, pose)
        assert not len(points)
    assert points.reason == "too little parallax: it needs a step sideways"


@pytest.mark.slow
@pytest.mark.parametrize("speed_mps", [0.4, -0.4])
def test_wheels_that_spin_make_no_points(walk, speed_mps):
    motion, place = DepthFromMotion(), walk[0]
    for count in range(20):
        pose = place.T_odom_camera.copy()
        pose[:3, 3] += pose[:3, 2] * speed_mps * count / 15.0
        points = motion.update(place.rgb, place.intrinsics, count * STEP_NS, pose)
        assert not len(points)


@pytest.mark.slow
def test_points_are_given_up_when_the_odometry_does_not_fit_the_image(walk):
    poses = [frame.T_odom_camera.copy() for frame in walk]
    for count in range(20, 24):  # a gimbal that turns on its own
        poses[count][:3, :3] = poses[count][:3, :3] @ rotation(
            np.array([0.3 * (count - 19), 0.0, 0.0])
        )
    found, _ = run(walk, poses)
    assert len(found[19]) > 100
    assert found[20].reason == "the odometry does not fit the image"
    assert not len(found[20])


@pytest.mark.slow
def test_without_odometry_there_are_no_points(walk):
    found, motion = run(walk[:2], [None, None])
    assert found[1].reason == "no odometry at the stamp of the image"
    found, _ = run(walk[:1], motion=motion)
    assert found[0].reason == "the first view"


@pytest.mark.slow
def test_a_clock_that_goes_back_starts_over(walk):
    _, motion = run(walk[:2])
    found, _ = run(walk[:1], motion=motion)
    assert found[0].reason == "a jump of the odometry or the clock"


@pytest.mark.slow
def test_a_blank_image_makes_no_points(walk):
    blank = [replace(frame, rgb=np.full_like(frame.rgb, 90)) for frame in walk[:3]]
    found, _ = run(blank)
    assert found[-1].reason == "too few corners to follow"


def test_corners_are_followed_and_new_ones_found_only_where_none_is():
    rng = np.random.default_rng(1)
    wide = np.repeat(np.repeat(rng.integers(0, 255, (40, 60), np.uint8), 4, 0), 4, 1)
    last, now = wide[:, 4:204].copy(), wide[:, 7:207].copy()
    corners = new_corners(last, np.empty((0, 2), np.float32))
    found = follow(last, now, corners, corners)
    moved = found.pixels - corners[found.kept]
    assert len(found.kept) > 0.5 * len(corners)
    np.testing.assert_allclose(np.median(moved, axis=0), (-3.0, 0.0), atol=0.1)
    assert len(new_corners(last, corners)) < 0.1 * len(corners)


@pytest.mark.slow
def test_the_map_of_landmarks_is_bounded_and_forgets():
    rng = np.random.default_rng(3)
    grey = rng.integers(0, 255, (240, 320), np.uint8)
    landmarks = LandmarkMap()
    for count in range(4):
        pixels = rng.uniform(20, 200, (600, 2)).astype(np.float32)
        points = rng.normal((0.0, 0.0, 4.0), 1.0, (600, 3))
        few = np.full(600, 0.03)
        views = np.full(600, 3, np.intp)
        landmarks.add(
            grey, pixels, points, points[:, 2], few, views, stamp_ns=count * 10**9, way_m=0.0
        )
    assert len(landmarks) == 1500
    camera = drive("room", "handheld", 1, 1)[0].intrinsics
    seen = landmarks.seen(
        grey,
        camera,
        np.eye(4),
        np.empty((0, 2)),
        np.empty(0),
        stamp_ns=60 * 10**9,
        way_m=0.0,
    )
    assert not len(seen.pixels)
    assert not len(landmarks)

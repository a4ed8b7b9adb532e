"""Ground that is no level floor: tables, platforms, ramps, stairs and edges in front of a robot."""

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.scale.tracker import ScaleTracker

CAMERA = Intrinsics(width=96, height=72, fx=80.0, fy=80.0, cx=47.5, cy=35.5)
THINGS = ("table", "platform", "ramp", "stairs", "edge")
ALONG_M = np.linspace(0.02, 12.0, 3000)
AUTO = ScaleConfig()


def profile(thing, rng, height_m, begins_m):
    """Return how high the ground lies along the way, (N,) metres at `ALONG_M`."""
    beyond = np.maximum(ALONG_M - begins_m, 0.0)
    is_there = beyond > 0.0
    if thing == "table":
        ends = beyond > rng.uniform(0.8, 2.5) * height_m
        return np.where(is_there & ~ends, rng.uniform(0.4, 0.7) * height_m, 0.0)
    if thing == "platform":
        return np.where(is_there, rng.uniform(0.1, 0.4) * height_m, 0.0)
    if thing == "ramp":
        return beyond * np.tan(np.radians(rng.choice((-1, 1)) * rng.uniform(5.0, 15.0)))
    if thing == "stairs":
        tread_m = rng.uniform(0.25, 0.35)
        return rng.choice((-1, 1)) * 0.17 * np.ceil(beyond / tread_m)
    return np.where(is_there, -rng.uniform(0.2, 1.0), 0.0)


def depth_of(ground_m, height_m, pitch_deg, back_m=8.0):
    """Return (h, w) depth of a ground that is the same across the way, up to a wall."""
    pitch = np.radians(pitch_deg)
    fall = np.tan(np.arctan((np.arange(CAMERA.height) - CAMERA.cy) / CAMERA.fy) + pitch)
    ray_m = height_m - fall[:, None] * ALONG_M
    hits = (ray_m <= ground_m) | (back_m <= ALONG_M)
    along_m = ALONG_M[hits.argmax(axis=1)]
    depth_m = along_m * np.cos(pitch) + along_m * fall * np.sin(pitch)
    return np.broadcast_to(depth_m[:, None], (CAMERA.height, CAMERA.width)).astype(np.float32)


def foot_m(height_m, pitch_deg):
    """Return how far away the lowest row of the image sees level ground."""
    below = np.arctan((CAMERA.height - 1 - CAMERA.cy) / CAMERA.fy) + np.radians(pitch_deg)
    return height_m / np.tan(below)


def risen_to(height_m):
    T = np.eye(4)
    T[2, 3] = height_m
    return T


def told_about(
    views_m, height_m, pitch_deg, rng, *, is_known=True, scale=1.0, noise=0.02, risen_m=None
):
    """Return M / T and the status for each view that a network shows a robot.

    Args:
        views_m: (h, w) depth of each frame.
        height_m: of the camera.
        pitch_deg: of the camera, down.
        rng: of the network's noise.
        is_known: the direction of gravity is.
        scale: what the network says / what is true.
        noise: of the network, relative.
        risen_m: how high the camera is by odometry, of each frame; then its height is a parameter.
    """
    pitch, tracker = np.radians(pitch_deg), ScaleTracker()
    down = np.array([0.0, np.cos(pitch), np.sin(pitch)]) if is_known else None
    config = AUTO if risen_m is None else ScaleConfig(camera_height_m=height_m)
    for index, depth_m in enumerate(views_m):
        coarse = rng.standard_normal((6, 8)).astype(np.float32)
        said = scale * depth_m * np.exp(noise * cv2.resize(coarse, (96, 72)))
        given = Frame(
            rgb=np.zeros((72, 96, 3), np.uint8),
            stamp_ns=index * 100_000_000,
            frame_id="camera",
            intrinsics=CAMERA,
            camera_height_m=height_m,
            gravity_camera=down,
            T_odom_camera=None if risen_m is None else risen_to(risen_m[index]),
        )
        values = torch.from_numpy(said.astype(np.float32))
        prediction = Prediction(values=values, kind=OutputKind.METRIC)
        metres, status = tracker.update(prediction, given, config)
        yield float(np.nanmedian(metres.numpy() / depth_m)), status


def scene(seed):
    """Return what stands before a robot, and its view; a table may begin below the image."""
    rng = np.random.default_rng(seed)
    thing = THINGS[seed % len(THINGS)]
    height_m, pitch_deg = rng.uniform(0.4, 1.5), rng.uniform(5.0, 30.0)
    least = -0.5 if thing == "table" else 0.3
    begins_m = foot_m(height_m, pitch_deg) + rng.uniform(least, 2.0) * height_m
    ground_m = profile(thing, rng, height_m, begins_m)
    return thing, depth_of(ground_m, height_m, pitch_deg), height_m, pitch_deg, rng


@pytest.mark.parametrize(
    ("is_known", "limit"), [(True, 1.05), (False, 1.08)], ids=["gravity known", "gravity unknown"]
)
def test_of_40_scenes_that_are_no_level_floor_none_is_too_far_while_valid(is_known, limit):
    """Without gravity a gentle ramp right behind the lowest rows looks like a pitched camera."""
    too_far = []
    for seed in range(40):
        thing, view_m, *camera, rng = scene(seed)
        for ratio, status in told_about([view_m] * 6, *camera, rng, is_known=is_known):
            if status.state == "valid" and ratio > limit:
                too_far.append((seed, thing, round(ratio, 2), status.source))
    assert not too_far


@pytest.mark.parametrize("is_known", [True, False], ids=["gravity known", "gravity unknown"])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.5])
def test_a_level_floor_is_measured_as_before(is_known, scale):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        height_m, pitch_deg = rng.uniform(0.3, 1.5), rng.uniform(0.0, 30.0)
        view_m = depth_of(np.zeros_like(ALONG_M), height_m, pitch_deg)
        told = told_about([view_m] * 6, height_m, pitch_deg, rng, is_known=is_known, scale=scale)
        *_, (ratio, status) = told
        assert (status.source, status.state) == ("ground_plane", "valid")
        assert ratio == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("thing", ["table", "platform", "ramp"])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_robot_drives_up_to_does_not_become_its_ground(thing, seed):
    """At the end it fills the view; the floor was measured before."""
    rng = np.random.default_rng(seed)
    height_m, pitch_deg = rng.uniform(0.8, 1.3), rng.uniform(5.0, 25.0)
    shape = rng.integers(1 << 30)
    views_m = []
    for ahead_m in np.linspace(foot_m(height_m, pitch_deg) + 2.0, 0.6 * height_m, 40):
        ground_m = profile(thing, np.random.default_rng(shape), height_m, ahead_m)
        views_m.append(depth_of(ground_m, height_m, pitch_deg))
    for ratio, status in told_about(views_m, height_m, pitch_deg, rng):
        assert status.state != "valid" or ratio < 1.05


@pytest.mark.parametrize("ends_m", [3.0, 0.4], ids=["climbs", "descends"])
@pytest.mark.parametrize("with_odometry", [True, False])
def test_a_height_that_is_not_constant_is_noticed(ends_m, with_odometry):
    """A drone with scale.camera_height_m: by odometry early, else by the network's own metres."""
    heights_m = np.append(np.full(10, 1.0), np.linspace(1.0, ends_m, 60))
    views_m = [depth_of(np.zeros_like(ALONG_M), height_m, 30.0) for height_m in heights_m]
    risen_m = heights_m - 1.0 if with_odometry else np.zeros_like(heights_m)
    limit = 1.1 if with_odometry else 1.65
    told = list(told_about(views_m, 1.0, 30.0, np.random.default_rng(0), risen_m=risen_m))
    assert told[9][1].state == "valid"
    for ratio, status in told:
        assert status.state != "valid" or ratio < limit
    if with_odometry:
        assert "1 m is not constant" in told[-1][1].last_reject
        assert all(status.state != "valid" for _, status in told[40:])


def test_a_robot_that_climbs_a_ramp_keeps_its_scale():
    """It rises, and stays as high over what it drives on."""
    view_m = depth_of(np.zeros_like(ALONG_M), 0.5, 20.0)
    risen_m = np.linspace(0.0, 2.0, 30)
    told = told_about([view_m] * 30, 0.5, 20.0, np.random.default_rng(0), risen_m=risen_m)
    *_, (ratio, status) = told
    assert (status.source, status.state) == ("ground_plane", "valid")
    assert ratio == pytest.approx(1.0, abs=0.03)

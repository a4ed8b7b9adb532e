"""Points that something hides: a LiDAR that stands higher, a map from before."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.scale.tracker import ScaleTracker

CAMERA = Intrinsics(width=96, height=72, fx=80.0, fy=80.0, cx=47.5, cy=35.5)
STEP_NS = 100_000_000
BEGINS = 20  # frame in which the thing stands there
KINDS = (OutputKind.METRIC, OutputKind.INVERSE_AFFINE, OutputKind.DEPTH_AFFINE)
AUTO = ScaleConfig()
NETWORK_NOISE = 0.03


def room(back_m=5.0):
    """Return depth in a room: a wall, a floor 1 m and a ceiling 1.5 m away, walls 2 m aside."""
    x = (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx + np.zeros((CAMERA.height, 1))
    y = ((np.arange(CAMERA.height) - CAMERA.cy) / CAMERA.fy)[:, None] + 0.0 * x
    sides = np.stack((2.0 / np.maximum(np.abs(x), 1e-3), np.where(y > 0.0, 1.0, 1.5) / abs(y)))
    return np.minimum(back_m, sides.min(axis=0)).astype(np.float32)


def behind_a_thing(room_m, share, at_m):
    """Return depth with a thing in the middle that covers a share of the view."""
    height, width = room_m.shape
    rows, columns = (round(side * share**0.5) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    thing = np.zeros(room_m.shape, bool)
    thing[top : top + rows, left : left + columns] = True
    return np.where(thing, np.float32(at_m), room_m), thing


def said_of(depth_m, kind, rng, scale=1.0):
    coarse = rng.standard_normal((6, 8)).astype(np.float32)
    noise = cv2.resize(coarse, depth_m.shape[::-1], interpolation=cv2.INTER_CUBIC)
    seen_m = depth_m * scale * np.exp(NETWORK_NOISE * noise)
    values = {
        OutputKind.METRIC: seen_m,
        OutputKind.INVERSE_AFFINE: 40.0 / seen_m + 6.0,
        OutputKind.DEPTH_AFFINE: 0.3 * seen_m + 2.0,
    }[kind]
    return Prediction(values=torch.from_numpy(values.astype(np.float32)), kind=kind)


def points_on(depth_m, rng, count=60):
    rows, columns = rng.integers(2, 70, count), rng.integers(2, 94, count)
    z = depth_m[rows, columns]
    x, y = (columns - CAMERA.cx) / CAMERA.fx * z, (rows - CAMERA.cy) / CAMERA.fy * z
    return np.stack((x, y, z), axis=1).astype(np.float32)


def frame(index, points=None, **known):
    rgb = np.zeros((72, 96, 3), np.uint8)
    given = Frame(rgb=rgb, stamp_ns=index * STEP_NS, frame_id="camera", intrinsics=CAMERA, **known)
    return replace(given, sparse_points_m=points)


def replay(kind, share, at_m, *, known="points", back_m=5.0, frames=51, seed=0, scale=1.0):
    """Return M / T of the thing and the state, frame by frame since it stands there."""
    rng, tracker, told = np.random.default_rng(seed), ScaleTracker(), []
    room_m = room(back_m)
    covered_m, thing = behind_a_thing(room_m, share, at_m)
    for index in range(frames):
        truth_m = covered_m if index >= BEGINS else room_m
        given = frame(index, points_on(room_m, rng))
        if known == "sensor_depth":
            given = frame(index, sensor_depth_m=room_m)
        depth_m, status = tracker.update(said_of(truth_m, kind, rng, scale), given, AUTO)
        if index >= BEGINS:
            ratio = np.nan
            if depth_m is not None:
                ratio = float(np.nanmedian(depth_m.numpy()[thing] / truth_m[thing]))
            told.append((ratio, status.state))
    return told


def too_far_while_valid(told, kind):
    """Return the frames in question; an unknown shift is carried on to what is nearer than all."""
    limit = 1.1 if kind is OutputKind.DEPTH_AFFINE else 1.05
    return [(i, *one) for i, one in enumerate(told) if one[1] == "valid" and one[0] > limit]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_points_of_the_room_behind_do_not_push_what_hides_them_away(kind, share):
    told = replay(kind, share, 1.5)
    assert not too_far_while_valid(told, kind)
    for index in (2, 6, 30):
        assert told[index][0] < 1.15


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize(("share", "at_m"), [(0.7, 2.5), (0.9, 3.0), (0.97, 1.2), (1.0, 1.5)])
def test_neither_do_points_behind_another_thing_or_one_that_fills_the_view(kind, share, at_m):
    assert not too_far_while_valid(replay(kind, share, at_m), kind)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_depth_camera_that_sees_through_a_pane_does_not_either(share):
    told = replay(OutputKind.METRIC, share, 1.5, known="sensor_depth")
    assert not too_far_while_valid(told, OutputKind.METRIC)


@pytest.mark.slow
def test_a_state_in_which_most_points_are_hidden_says_so():
    rng, tracker = np.random.default_rng(0), ScaleTracker()
    covered_m, _ = behind_a_thing(room(), 0.8, 1.5)
    for index in range(30):
        truth_m = covered_m if index >= BEGINS else room()
        _, status = tracker.update(
            said_of(truth_m, OutputKind.METRIC, rng), frame(index, points_on(room(), rng)), AUTO
        )
    assert status.state == "degraded"
    assert ("points lie behind what is seen" in status.reason) or "contradicts" in status.reason


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "frames"), [(1.8, 8), (1 / 1.8, 5)])
def test_a_network_that_jumps_is_followed_later_if_all_becomes_farther(factor, frames):
    """What the network says of near and far fits the points: then it is no surface before them."""
    rng, tracker, scales = np.random.default_rng(0), ScaleTracker(), []
    for index in range(BEGINS + frames):
        scale = 1.0 / factor if index >= BEGINS else 1.0
        given = frame(index, points_on(room(), rng))
        _, status = tracker.update(said_of(room(), OutputKind.METRIC, rng, scale), given, AUTO)
        scales.append(status.scale)
    assert scales[-2] == pytest.approx(1.0, rel=0.1)
    assert scales[-1] == pytest.approx(factor, rel=0.1)


def test_points_in_front_of_what_was_believed_are_followed_at_once():
    """One-sided: a thing that the points show and the network does not is not left out."""
    rng, tracker = np.random.default_rng(0), ScaleTracker()
    nearer_m = room() * np.float32(0.8)
    for index in range(BEGINS + 5):
        seen = points_on(nearer_m if index >= BEGINS else room(), rng)
        depth_m, _ = tracker.update(
            said_of(room(), OutputKind.METRIC, rng), frame(index, seen), AUTO
        )
    assert np.nanmedian(depth_m.numpy() / room()) == pytest.approx(0.8, abs=0.03)

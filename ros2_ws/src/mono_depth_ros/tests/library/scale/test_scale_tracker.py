"""Metric scale over time: a wall, a slope and points, and everything that must not poison it."""

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.errors import ConfigError
from mono_depth.scale.kinds import with_focal_rule
from mono_depth.scale.tracker import ScaleLostError, ScaleTracker

CAMERA = Intrinsics(width=64, height=48, fx=50.0, fy=50.0, cx=31.5, cy=23.5)
STEP_NS = 100_000_000
DEPTH_M = np.broadcast_to(np.linspace(1.0, 4.0, 64, dtype=np.float32), (48, 64))
TOO_NEAR = 0.5  # the network says half of the truth
SPARSE = ScaleConfig(source="sparse_points")


def points_of(depth_m, count=40, seed=0, factor=1.0):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 46, count), rng.integers(2, 62, count)
    z = depth_m[rows, columns] * factor
    x, y = (columns - CAMERA.cx) / CAMERA.fx * z, (rows - CAMERA.cy) / CAMERA.fy * z
    return np.stack((x, y, z), axis=1).astype(np.float32)


def metric(values=DEPTH_M * TOO_NEAR):
    return Prediction(values=torch.tensor(values), kind=OutputKind.METRIC)


def frame(index, points=None, **changes):
    given = Frame(
        rgb=np.zeros((48, 64, 3), np.uint8),
        stamp_ns=index * STEP_NS,
        frame_id="camera",
        intrinsics=CAMERA,
        sparse_points_m=points,
    )
    return replace(given, **changes)


def good(index, **changes):
    return frame(index, points_of(DEPTH_M, seed=index), **changes)


def converged(config=SPARSE, frames=8):
    tracker = ScaleTracker()
    for index in range(frames):
        depth_m, status = tracker.update(metric(), good(index), config)
    assert status.state == "valid"
    return tracker, depth_m, status


def test_points_correct_a_model_that_says_half():
    _, depth_m, status = converged()
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=0.02)
    assert (status.source, status.scale) == ("sparse_points", pytest.approx(2.0, rel=0.05))
    assert status.sigma_rel < 0.05
    assert status.inliers > 30
    assert status.is_metric


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (OutputKind.INVERSE_AFFINE, 30.0 / DEPTH_M + 7.0),
        (OutputKind.DEPTH_AFFINE, 3.0 * DEPTH_M + 5.0),
    ],
)
def test_points_give_metres_to_models_without(kind, values):
    prediction, tracker = Prediction(values=torch.tensor(values), kind=kind), ScaleTracker()
    states = []
    for index in range(8):
        depth_m, status = tracker.update(prediction, good(index), ScaleConfig())
        states.append(status.state)
    assert states[0] == "converging"
    assert states[-1] == "valid"
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=0.02)


def test_before_it_is_sure_a_measured_scale_gives_no_metres():
    depth_m, status = ScaleTracker().update(metric(), good(0), SPARSE)
    assert depth_m is None
    assert (status.state, status.is_metric) == ("converging", False)
    assert "sparse_points is converging" in status.reason


def test_automatic_starts_with_the_model_and_changes_to_the_points():
    tracker = ScaleTracker()
    sources = [tracker.update(metric(), good(i), ScaleConfig())[1].source for i in range(6)]
    assert sources[0] == "model"
    assert sources[-1] == "sparse_points"


def test_without_data_automatic_is_the_model():
    depth_m, status = ScaleTracker().update(metric(), frame(0), ScaleConfig())
    assert (status.source, status.state, status.scale) == ("model", "assumed", 1.0)
    np.testing.assert_array_equal(depth_m.numpy(), DEPTH_M * TOO_NEAR)


@pytest.mark.parametrize("source", ["sparse_points", "ground_plane", "odometry"])
def test_a_source_without_data_says_so(source):
    depth_m, status = ScaleTracker().update(metric(), frame(0), ScaleConfig(source=source))
    assert depth_m is None
    assert (status.source, status.state) == (source, "uninitialised")
    assert "nothing measured yet" in status.reason
    assert status.last_reject


def test_wrong_points_are_refused_and_the_state_says_so():
    tracker, rng = ScaleTracker(), np.random.default_rng(0)
    for index in range(30):
        wrong = points_of(DEPTH_M, 50, index) * np.exp(rng.uniform(-2.0, 2.0, (50, 1)))
        depth_m, status = tracker.update(metric(), frame(index, wrong.astype(np.float32)), SPARSE)
        assert depth_m is None
    assert not status.is_metric
    assert status.state in ("uninitialised", "converging")
    assert "scatter" in status.last_reject or "agree" in status.last_reject


def test_points_in_millimetres_are_refused():
    tracker = ScaleTracker()
    for index in range(10):
        points = points_of(DEPTH_M, factor=1000.0)
        depth_m, status = tracker.update(metric(), frame(index, points), SPARSE)
    assert depth_m is None
    assert status.last_reject == "0 usable points, at least 5 needed"


def test_a_correction_that_no_model_needs_is_refused():
    tracker = ScaleTracker()
    for index in range(10):
        points = points_of(DEPTH_M, factor=4.0, seed=index)
        depth_m, status = tracker.update(metric(), frame(index, points), SPARSE)
    assert depth_m is None
    assert "more than scale.max_correction = 4 allows" in status.last_reject
    allowed = replace(SPARSE, max_correction=10.0)
    tracker = ScaleTracker()
    for index in range(10):
        points = points_of(DEPTH_M, factor=4.0, seed=index)
        depth_m, status = tracker.update(metric(), frame(index, points), allowed)
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M * 4.0, rtol=0.05)


def test_one_frame_of_wrong_scale_changes_nothing():
    tracker, _, before = converged(frames=20)
    doubled = frame(20, points_of(DEPTH_M, factor=1.9))
    depth_m, status = tracker.update(metric(), doubled, SPARSE)
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=0.05)
    assert "contradicts the scale so far" in status.last_reject
    assert status.scale == pytest.approx(before.scale, rel=0.05)


def test_a_jump_of_scale_is_followed_once_five_frames_agree():
    tracker, _, _ = converged(frames=20)
    scales = []
    for index in range(20, 30):
        points = points_of(DEPTH_M, seed=index, factor=1.9)
        scales.append(tracker.update(metric(), frame(index, points), SPARSE)[1].scale)
    assert scales[0] == pytest.approx(2.0, rel=0.05)
    assert scales[-1] == pytest.approx(3.8, rel=0.05)


@pytest.mark.slow
def test_a_scale_grows_old_and_is_lost():
    tracker, _, _ = converged(frames=60)
    config = replace(SPARSE, lost_sigma=10.0, valid_sigma=5.0)
    states = {}
    for seconds in (1.0, 3.0, 9.0, 12.0):
        late = frame(0, stamp_ns=round((5.9 + seconds) * 1e9))
        _, status = tracker.update(metric(), late, config)
        states[seconds] = status.state
    assert states == {1.0: "valid", 3.0: "degraded", 9.0: "degraded", 12.0: "lost"}
    assert status.age_s == pytest.approx(12.0)
    assert "scale lost" in status.reason
    assert "12.0 s ago" in status.reason


@pytest.mark.parametrize(
    ("on_loss", "factor", "is_metric"),
    [("model", 0.5, True), ("hold", 1.0, True), ("relative", None, False)],
)
def test_what_happens_to_a_lost_scale_is_chosen(on_loss, factor, is_metric):
    tracker, _, _ = converged()
    late = frame(0, stamp_ns=int(60e9))
    depth_m, status = tracker.update(metric(), late, replace(SPARSE, on_loss=on_loss))
    assert (status.state, status.is_metric) == ("lost", is_metric)
    if factor is None:
        assert depth_m is None
    else:
        np.testing.assert_allclose(depth_m.numpy(), DEPTH_M * factor, rtol=0.02)


@pytest.mark.slow
def test_depth_does_not_jump_when_the_source_of_its_scale_falls_silent():
    tracker, before_m, _ = converged(frames=60)
    depth_m, states = [before_m], []
    for seconds in range(1, 30):
        late = frame(0, stamp_ns=round((5.9 + seconds) * 1e9))
        metres, status = tracker.update(metric(), late, ScaleConfig(source="sparse_points"))
        depth_m.append(metres)
        states.append(status.state)
    assert list(dict.fromkeys(states)) == ["valid", "degraded", "lost"]
    for last, now in pairwise(depth_m):
        np.testing.assert_allclose(now.numpy(), last.numpy(), rtol=0.02)


def test_a_lost_scale_may_stop_the_output():
    tracker, _, _ = converged()
    with pytest.raises(ScaleLostError, match=r"scale lost.*scale.on_loss is stop") as raised:
        tracker.update(metric(), frame(0, stamp_ns=int(60e9)), replace(SPARSE, on_loss="stop"))
    assert (raised.value.status.state, raised.value.status.planner_use) == ("lost", "none")


def test_a_lost_scale_comes_back():
    tracker, _, _ = converged()
    states = [tracker.update(metric(), good(i), SPARSE)[1].state for i in range(600, 610)]
    assert states[0] == "lost"
    assert states[-1] == "valid"


def test_two_sources_that_contradict_one_another_are_reported():
    tracker, config = ScaleTracker(), ScaleConfig(camera_height_m=1.0)
    rows = np.arange(48, dtype=np.float32)[:, None] - CAMERA.cy
    floor_m = np.where(rows > 3.0, 50.0 / np.maximum(rows, 3.0), 15.0) + np.zeros((48, 64))
    floor_m = floor_m.astype(np.float32)  # a floor 1 m below, a wall at 15 m
    down = np.array([0.0, 1.0, 0.0])
    for index in range(10):
        points = points_of(floor_m, seed=index, factor=1.5)
        seen = frame(index, points, gravity_camera=down)
        _, status = tracker.update(metric(floor_m), seen, config)
    assert "differ by 50 %" in status.conflict
    assert {"sparse_points", "ground_plane"} <= set(status.conflict.split())
    assert (status.state, status.is_metric) == ("degraded", True)


@pytest.mark.parametrize(
    "values",
    [
        np.full((48, 64), np.nan, np.float32),
        np.full((48, 64), np.inf, np.float32),
        np.full((48, 64), 2.0, np.float32),
        np.full((48, 64), -1.0, np.float32),
        np.zeros((48, 64), np.float32),
        np.where(DEPTH_M > 2.0, np.nan, -DEPTH_M).astype(np.float32),
    ],
    ids=["NaN", "Inf", "constant", "negative", "zero", "mixed"],
)
def test_output_that_says_nothing_does_not_change_the_scale(values):
    tracker, _, before = converged()
    for index in range(8, 14):
        tracker.update(metric(values), good(index), SPARSE)
    depth_m, status = tracker.update(metric(), good(14), SPARSE)
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=0.02)
    assert status.scale == pytest.approx(before.scale, rel=0.05)


def test_half_of_the_output_missing_leaves_the_other_half_right():
    values = np.where(np.arange(64) < 32, np.nan, DEPTH_M * TOO_NEAR).astype(np.float32)
    tracker, _, _ = converged()
    depth_m, _ = tracker.update(metric(values), good(8), SPARSE)
    assert depth_m[:, :32].isnan().all()
    np.testing.assert_allclose(depth_m[:, 32:].numpy(), DEPTH_M[:, 32:], rtol=0.02)


@pytest.mark.parametrize(
    "points",
    [
        np.full((20, 3), np.nan, np.float32),
        np.full((20, 3), np.inf, np.float32),
        np.zeros((20, 3), np.float32),
        np.tile(np.float32([0.0, 0.0, -2.0]), (20, 1)),
        np.tile(np.float32([9.0, 0.0, 1.0]), (20, 1)),
        np.empty((0, 3), np.float32),
    ],
    ids=["NaN", "Inf", "zero", "behind the camera", "beside the image", "none"],
)
def test_points_that_cannot_be_used_do_not_change_the_scale(points):
    tracker, _, before = converged()
    depth_m, status = tracker.update(metric(), frame(8, points), SPARSE)
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=0.02)
    assert status.last_reject == "0 usable points, at least 5 needed"
    assert status.scale == pytest.approx(before.scale)


@pytest.mark.parametrize("index", [7, 3, -5], ids=["repeated", "older", "before the first"])
def test_a_stamp_that_is_not_newer_measures_nothing(index):
    tracker, _, before = converged()
    wrong = frame(index, points_of(DEPTH_M, factor=1.2))
    for _ in range(10):
        depth_m, status = tracker.update(metric(), wrong, SPARSE)
    assert status.scale == before.scale
    np.testing.assert_allclose(depth_m.numpy(), DEPTH_M, rtol=0.02)


def test_reset_forgets_the_scale():
    tracker, _, _ = converged()
    tracker.reset()
    depth_m, status = tracker.update(metric(), frame(9), SPARSE)
    assert depth_m is None
    assert status.state == "uninitialised"


def test_another_kind_of_model_starts_over():
    tracker, _, _ = converged()
    other = Prediction(values=torch.tensor(1.0 / DEPTH_M), kind=OutputKind.INVERSE_AFFINE)
    depth_m, status = tracker.update(other, good(8), SPARSE)
    assert depth_m is None
    assert status.state == "converging"


def test_without_calibration_there_are_no_metres():
    depth_m, status = ScaleTracker().update(metric(), good(0, intrinsics=None), SPARSE)
    assert depth_m is None
    assert "uncalibrated" in status.reason


@pytest.mark.slow
def test_memory_does_not_grow():
    tracker, sizes = ScaleTracker(), []
    for index in range(200):
        tracker.update(metric(), good(index), SPARSE)
        if index in (50, 199):
            sizes.append(len(pickle.dumps(tracker)))
    assert sizes[1] <= sizes[0] * 1.02


def test_one_plane_cannot_scale_a_relative_model():
    relative = Prediction(values=torch.tensor(1.0 / DEPTH_M), kind=OutputKind.INVERSE_AFFINE)
    config = ScaleConfig(source="ground_plane", camera_height_m=1.0)
    _, status = ScaleTracker().update(relative, frame(0), config)
    assert "one plane cannot tell the scale of inverse_affine" in status.last_reject


def test_the_height_parameter_wins_over_the_frame():
    frame_ = frame(0, camera_height_m=3.0)
    _, status = ScaleTracker().update(metric(), frame_, ScaleConfig(source="ground_plane"))
    assert "no ground in view" in status.last_reject
    _, status = ScaleTracker().update(metric(), frame(0), ScaleConfig(source="ground_plane"))
    assert "set scale.camera_height_m" in status.last_reject


def test_two_focal_lengths_give_the_same_metres():
    """A network trained with one camera says depth * trained focal / real focal."""
    config = ScaleConfig(source="model_focal", reference_focal=0.8)
    metres = []
    for focal in (0.5, 1.6):
        camera = replace(CAMERA, fx=focal * 64, fy=focal * 64)
        seen = metric((DEPTH_M * 0.8 / focal).astype(np.float32))
        depth_m, status = ScaleTracker().update(seen, frame(0, intrinsics=camera), config)
        metres.append(depth_m.numpy())
        assert (status.source, status.state) == ("model_focal", "assumed")
    np.testing.assert_allclose(metres[0], DEPTH_M, rtol=1e-5)
    np.testing.assert_allclose(metres[1], DEPTH_M, rtol=1e-5)


@pytest.mark.parametrize("kind", [OutputKind.METRIC_FOCAL, OutputKind.INVERSE_AFFINE])
def test_only_models_of_metres_without_a_rule_get_the_focal_rule(kind):
    prediction = Prediction(values=torch.ones(2, 2), kind=kind)
    assert with_focal_rule(prediction, ScaleConfig(reference_focal=0.8), CAMERA) is prediction


def test_the_focal_rule_needs_a_model_that_has_one_or_a_reference():
    with pytest.raises(ConfigError, match=r"set scale\.reference_focal"):
        ScaleTracker().update(metric(), frame(0), ScaleConfig(source="model_focal"))


@pytest.mark.parametrize(
    "values", [{"valid_sigma": 0.3, "lost_sigma": 0.2}, {"stale_s": 5.0, "lost_s": 1.0}]
)
def test_limits_in_the_wrong_order_are_refused(values):
    with pytest.raises(ConfigError, match="must not be above"):
        ScaleConfig(**values)


def test_a_clock_that_starts_over_starts_the_scale_over():
    tracker = ScaleTracker()
    for index in range(1000, 1008):
        tracker.update(metric(), good(index), SPARSE)
    states = [tracker.update(metric(), good(index), SPARSE)[1].state for index in range(8)]
    assert states[0] == "converging"
    assert states[-1] == "valid"


@pytest.mark.slow
@pytest.mark.parametrize("step_s", [1.4, 6.0, 11.0])
def test_a_network_that_is_slow_has_valid_metres_as_soon_as_a_fast_one(step_s):
    """Ages count in frames of the network where those are longer than the limits in seconds."""
    tracker = ScaleTracker()
    states = []
    for i in range(80):
        now = good(i, stamp_ns=round((1.0 + i * step_s) * 1e9))
        states.append(tracker.update(metric(), now, SPARSE)[1].state)
    assert states[4:] == ["valid"] * 76
    without = frame(0, stamp_ns=round((1.0 + 80 * step_s) * 1e9))
    assert tracker.update(metric(), without, SPARSE)[1].state != "lost"

"""Metres that the network of the image alone contradicts by more than it can be wrong."""

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, ScaleConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, PlannerUse, Prediction
from mono_depth.pipeline.build import build_pipeline
from mono_depth.scale.tracker import ScaleTracker
from mono_depth.synthetic.camera import SyntheticCamera

CAMERA = Intrinsics(width=96, height=72, fx=80.0, fy=80.0, cx=47.5, cy=35.5)
DOWN = np.array([0.0, 1.0, 0.0])
HEIGHT_M = 1.0
AUTO = ScaleConfig()


def floor(back_m=8.0):
    """Return depth of a level floor below a camera that looks ahead, up to a wall."""
    y = ((np.arange(CAMERA.height) - CAMERA.cy) / CAMERA.fy)[:, None] + np.zeros((1, CAMERA.width))
    return np.minimum(np.where(y > 0.0, HEIGHT_M / np.maximum(y, 1e-3), back_m), back_m)


def frame(index, **known):
    rgb = np.zeros((72, 96, 3), np.uint8)
    stamp_ns = index * 100_000_000
    return Frame(rgb=rgb, stamp_ns=stamp_ns, frame_id="camera", intrinsics=CAMERA, **known)


def metric(depth_m, image_only=None):
    own = None if image_only is None else torch.from_numpy(image_only.astype(np.float32))
    values = torch.from_numpy(depth_m.astype(np.float32))
    return Prediction(values=values, kind=OutputKind.METRIC, image_only=own)


def points_on(depth_m, factor, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 70, 60), rng.integers(2, 94, 60)
    z = depth_m[rows, columns] * factor
    x, y = (columns - CAMERA.cx) / CAMERA.fx * z, (rows - CAMERA.cy) / CAMERA.fy * z
    return np.stack((x, y, z), axis=1).astype(np.float32)


def last_of(prediction, config=AUTO, frames=10, known=lambda _: {}):
    tracker = ScaleTracker()
    for index in range(frames):
        depth_m, status = tracker.update(prediction, frame(index, **known(index)), config)
    return depth_m, status


@pytest.mark.parametrize(
    ("times", "state"), [(1.0, "valid"), (1.3, "valid"), (2.0, "degraded"), (0.5, "valid")]
)
def test_a_height_that_the_network_refutes_by_a_factor_degrades_the_state(times, state):
    """Farther is unsafe at a smaller factor than nearer."""
    known = {"camera_height_m": times * HEIGHT_M, "gravity_camera": DOWN}
    depth_m, status = last_of(metric(floor()), known=lambda _: known)
    assert np.nanmedian(depth_m.numpy() / floor()) == pytest.approx(times, rel=0.03)
    assert (status.source, status.state) == ("ground_plane", state)
    assert ("ground_plane and model differ by 100 %" in status.conflict) == (times == 2.0)


def test_a_table_that_fills_the_lower_view_degrades_the_state():
    known = {"camera_height_m": 1.2, "gravity_camera": DOWN}
    table_m = floor() * 0.5
    _, status = last_of(metric(table_m), known=lambda _: known)
    assert (status.source, status.state) == ("ground_plane", "degraded")
    assert "by the image alone all is nearer" in status.reason


def test_points_may_correct_a_network_more_than_a_plane_may():
    for factor, state in ((2.2, "valid"), (3.3, "degraded")):
        _, status = last_of(
            metric(floor()),
            known=lambda i, by=factor: {"sparse_points_m": points_on(floor(), by, i)},
        )
        assert (status.source, status.state) == ("sparse_points", state)


def test_two_sources_that_agree_are_believed_against_the_network():
    def known(index):
        points = points_on(floor(), 2.2, index)
        height = {"camera_height_m": 2.2 * HEIGHT_M, "gravity_camera": DOWN}
        return {"sparse_points_m": points, **height}

    _, status = last_of(metric(floor()), known=known)
    assert status.state == "valid"


def test_hints_that_moved_a_network_by_a_factor_degrade_metres_that_nothing_measured():
    moved = metric(2.0 * floor(), image_only=floor())
    _, status = last_of(moved)
    assert (status.source, status.state) == ("model", "assumed")
    assert status.planner_use is PlannerUse.MARK
    assert "hints and model differ by 100 %" in status.conflict
    _, status = last_of(moved, config=ScaleConfig(source="model"))
    assert (status.source, status.state) == ("model", "degraded")
    _, status = last_of(metric(1.3 * floor(), image_only=floor()))
    assert (status.state, status.conflict) == ("assumed", "")


@pytest.mark.slow
@pytest.mark.parametrize(("times", "state"), [(1.3, "valid"), (2.0, "degraded")])
def test_hints_that_put_all_farther_at_once_degrade_the_state(times, state):
    """Points behind a thing move a guided network onto them, and then agree with it."""
    tracker = ScaleTracker()
    for index in range(30):
        hidden = index >= 20
        own_m = floor() / times if hidden else floor()
        given = frame(index, sparse_points_m=points_on(floor(), 1.0, index))
        _, status = tracker.update(metric(floor(), image_only=own_m), given, AUTO)
    assert status.state == state
    assert ("hints put all 100 % farther than before" in status.conflict) == (state != "valid")


def test_the_ground_is_not_measured_on_what_hints_have_drawn():
    """A wall that was bent into a floor is no floor."""
    wall = np.full((72, 96), 3.0) + 0.01 * np.arange(96)
    known = {"camera_height_m": HEIGHT_M, "gravity_camera": DOWN}
    _, status = last_of(
        metric(floor(), image_only=wall),
        config=ScaleConfig(source="ground_plane"),
        known=lambda _: known,
    )
    assert status.state == "uninitialised"
    assert "no ground in view" in status.last_reject


def test_a_fixed_scale_is_what_somebody_measured():
    config = ScaleConfig(source="fixed", factor=3.0)
    _, status = last_of(metric(floor()), config=config)
    assert (status.state, status.conflict) == ("valid", "")


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "scene"), [(3, "warehouse"), (1, "office"), (1, "street")])
def test_the_rule_of_level_ground_does_not_confirm_itself(seed, scene):
    camera = SyntheticCamera(
        seed, scene=scene, width=320, height=240, rate_hz=8.0, duration_s=1.0, samples_per_pixel=1
    )
    pipeline = build_pipeline(
        PipelineConfig(
            model="nano",
            device="cpu",
            engine="torch",
            threads=1,
            temporal=TemporalConfig(mode="none"),
        )
    )
    for recorded in camera:
        result = pipeline.process(
            Frame(
                rgb=recorded.rgb,
                stamp_ns=recorded.stamp_ns,
                frame_id="camera",
                intrinsics=recorded.intrinsics,
                camera_height_m=2.0 * float(recorded.T_odom_camera[2, 3]),
                gravity_camera=-recorded.T_odom_camera[2, :3],
            )
        )
        assert result.scale.state != "valid"
        assert "and model differ by" in result.scale.conflict

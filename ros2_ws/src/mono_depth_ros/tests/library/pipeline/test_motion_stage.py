"""Points of the camera's motion in the pipeline: when they are made, and which are believed."""

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, updated
from mono_depth.data import Frame, Intrinsics, MotionPoints, ScaleStatus
from mono_depth.pipeline.motion_stage import MotionStage, with_points

CAMERA = Intrinsics.of_view(64, 48, 70.0)
AUTO = {"motion.mode": "auto"}


def frame(**more):
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return Frame(
        rgb=rgb, stamp_ns=1, frame_id="cam", intrinsics=CAMERA, T_odom_camera=np.eye(4), **more
    )


def points(pixels, depth_m):
    count = len(depth_m)
    return MotionPoints(
        pixels=np.array(pixels, float),
        depth_m=np.array(depth_m, float),
        sigma_rel=np.full(count, 0.03),
        views=np.full(count, 3, np.intp),
        age_s=np.zeros(count),
    )


@pytest.mark.parametrize(
    ("setting", "more", "is_made"),
    [
        (AUTO, {}, True),
        ({}, {}, False),
        (AUTO | {"scale.source": "fixed"}, {}, False),
        (AUTO, {"sparse_points_m": np.ones((5, 3), np.float32)}, False),
        (AUTO, {"sensor_depth_m": np.ones((48, 64), np.float32)}, False),
        (
            AUTO | {"scale.source": "odometry"},
            {"sparse_points_m": np.ones((5, 3), np.float32)},
            True,
        ),
    ],
)
def test_points_are_made_where_nothing_better_is_there(setting, more, is_made):
    found = MotionStage().points(frame(**more), updated(PipelineConfig(), setting))
    assert (found is not None) == is_made


def known_wall(factor):
    """Return points all over a wall at 4 m, and depth that says so or not."""
    v, u = np.mgrid[2:48:4, 2:64:4]
    pixels = np.stack((u.ravel(), v.ravel()), 1)
    return points(pixels, np.full(len(pixels), 4.0 * factor)), torch.full((24, 32), 4.0)


@pytest.mark.parametrize(
    ("source", "sigma_rel", "expected"),
    [
        ("odometry", 0.02, 1.3),
        ("model_focal", 0.4, 1.3),
        ("ground_plane", 0.02, 1.0),
        ("sparse_points", 0.02, 1.0),
        ("ground_plane", 0.12, 1.3),
    ],
)
def test_points_do_not_push_against_another_measurement(source, sigma_rel, expected):
    motion, depth_m = known_wall(1.3)
    scale = ScaleStatus(source=source, state="valid", sigma_rel=sigma_rel)
    found = with_points(depth_m, scale, motion, CAMERA)
    assert float(found.median()) == pytest.approx(4.0 * expected, rel=0.03)


def test_points_bring_nearer_whatever_has_measured_the_scale():
    motion, depth_m = known_wall(0.7)
    scale = ScaleStatus(source="ground_plane", state="valid", sigma_rel=0.02)
    found = with_points(depth_m, scale, motion, CAMERA)
    assert float(found.median()) == pytest.approx(2.8, rel=0.03)


def test_without_metres_or_points_there_is_nothing_to_correct():
    motion, depth_m = known_wall(0.7)
    scale = ScaleStatus(source="none", state="uninitialised")
    assert with_points(None, scale, motion, CAMERA) is None
    assert with_points(depth_m, scale, None, CAMERA) is depth_m
    nothing = MotionPoints.none("the first view")
    assert with_points(depth_m, scale, nothing, CAMERA) is depth_m

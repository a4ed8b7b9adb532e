"""Points of the camera's motion in the pipeline: when they are made, and which are believed."""

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, updated
from mono_depth.data import Frame, Intrinsics, MotionPoints
from mono_depth.models.nano.hints import supported
from mono_depth.pipeline.motion_stage import MotionStage, drawn_points

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


def test_of_two_points_in_a_pixel_the_nearer_is_drawn():
    depth_m = drawn_points(
        points([(10.0, 8.0), (10.4, 8.3), (63.4, 0.0)], [3, 2, 5]), CAMERA, (32, 24)
    )
    assert depth_m[4, 5] == 2.0
    assert depth_m[0, 31] == 5.0
    assert np.isfinite(depth_m).sum() == 2


def known(offs):
    """Return a map of points all about, and some more that lie off by logs."""
    log_depth, at = torch.zeros(1, 96, 128), torch.full((1, 96, 128), torch.nan)
    at[:, 8::16, 8::16] = 0.0
    for (row, column), off in offs.items():
        at[0, row, column] = off
    return at, supported(at, log_depth)


def test_a_point_far_beyond_the_image_does_not_stand_alone():
    at, kept = known({(40, 60): 0.4})
    assert kept[0, 40, 60].isnan()
    assert kept.isfinite().sum() == at.isfinite().sum() - 1


def test_points_that_are_farther_together_are_believed():
    offs = {(44 + i, 64 + 2 * j): 0.4 for i in range(4) for j in range(4)}
    at, kept = known(offs)
    assert kept.isfinite().sum() == at.isfinite().sum()


def test_what_moves_along_with_the_camera_is_not_believed_however_many_say_so():
    offs = {(44 + i, 64 + 2 * j): 0.8 for i in range(4) for j in range(4)}
    _, kept = known(offs)
    assert kept[0, 44:48, 64:72:2].isnan().all()


def test_a_point_that_is_nearer_needs_nobody():
    _, kept = known({(40, 60): -0.8})
    assert kept[0, 40, 60] == pytest.approx(-0.8)

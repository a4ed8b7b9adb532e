"""The table of what hints are worth: on depth that is simple enough to know the answer."""

from dataclasses import replace

import numpy as np
import pytest

from mono_depth.data import Intrinsics
from mono_depth.evaluation.nano.hints_table import (
    Answer,
    HintCase,
    best_fit,
    cases,
    find_ground,
    known_points,
    pose_ground,
    random_patches,
    score,
)
from mono_depth.recordings.sequence import SequenceFrame

CAMERA = Intrinsics(width=160, height=120, fx=120.0, fy=120.0, cx=79.5, cy=59.5)


def floor_frame(height_m: float, pitch_rad: float) -> SequenceFrame:
    """A floor before a wall at 4 m, seen by a camera that looks down by `pitch_rad`."""
    down = np.array([0.0, np.cos(pitch_rad), np.sin(pitch_rad)])
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))
    rays = np.stack(((columns - 79.5) / 120, (rows - 59.5) / 120, np.ones((120, 160))), -1)
    fall = rays @ down
    floor_m = np.where(fall > 1e-3, height_m / np.maximum(fall, 1e-3), np.inf)
    return SequenceFrame(
        rgb=np.zeros((120, 160, 3), np.uint8),
        depth_m=np.minimum(floor_m, 4.0).astype(np.float32),
        intrinsics=CAMERA,
        stamp_ns=0,
    )


@pytest.mark.parametrize(("height_m", "pitch_rad"), [(0.15, 0.0), (0.6, 0.3), (1.4, 0.5)])
def test_the_floor_is_found_in_true_depth(height_m, pitch_rad):
    ground = find_ground(floor_frame(height_m, pitch_rad), np.random.default_rng(0))
    assert ground is not None
    assert ground.height_m == pytest.approx(height_m, rel=0.05)
    np.testing.assert_allclose(
        ground.gravity_camera, [0.0, np.cos(pitch_rad), np.sin(pitch_rad)], atol=0.02
    )


def test_a_view_of_a_wall_has_no_floor():
    frame = floor_frame(50.0, 0.0)
    assert find_ground(frame, np.random.default_rng(0)) is None


def test_known_points_are_the_truth_at_so_many_pixels():
    truth_m = floor_frame(1.0, 0.2).depth_m
    truth_m[:60] = np.nan
    known_m = known_points(truth_m, 50, np.random.default_rng(0))
    told = np.isfinite(known_m)
    assert told.sum() == 50
    np.testing.assert_array_equal(known_m[told], truth_m[told])


def test_patches_cover_two_fifths_of_an_image():
    assert random_patches((120, 160), np.random.default_rng(0)).mean() == pytest.approx(
        0.4, abs=0.01
    )


def test_the_best_scale_and_shift_undo_a_scale_and_a_shift():
    truth_m = floor_frame(1.0, 0.2).depth_m
    np.testing.assert_allclose(best_fit(3.0 * truth_m + 0.5, truth_m), truth_m, rtol=1e-3)


def test_height_and_gravity_come_from_a_pose_over_the_ground():
    pose = np.eye(4)
    pose[:3, :3] = [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]  # looks along x
    pose[2, 3] = 1.2
    chance = np.random.default_rng(0)
    ground = pose_ground(replace(floor_frame(1.2, 0.0), T_odom_camera=pose), chance)
    assert ground is not None
    assert ground.height_m == 1.2
    assert ground.gravity_camera.tolist() == [0.0, 1.0, 0.0]
    assert pose_ground(floor_frame(1.2, 0.0), chance) is None


def test_answers_are_scored_where_there_are_any():
    frame = floor_frame(0.6, 0.3)

    def right_above(case: HintCase) -> Answer:
        depth_m = 2.0 * case.truth_m
        depth_m[:30] = case.truth_m[:30]
        depth_m[60:] = np.nan
        confidence = np.where(np.arange(120) < 30, 0.9, 0.1)[:, None] * np.ones(160)
        return Answer(depth_m=depth_m, confidence=confidence.astype(np.float32))

    told = list(cases([frame, frame], 5.0, find_ground))
    found = score("floor", told, {"above": right_above, "nothing": lambda case: None})
    assert set(found) == {"above"}
    assert found["above"].count == 2
    assert found["above"].depth.abs_rel == pytest.approx(0.5)
    assert found["above"].confident_half == pytest.approx(0.0)


def test_what_is_farther_than_the_sensor_sees_is_not_scored():
    (case,) = cases([floor_frame(0.6, 0.3)], 3.0, find_ground)
    assert np.nanmax(case.truth_m) <= 3.0
    assert np.isnan(case.truth_m).any()

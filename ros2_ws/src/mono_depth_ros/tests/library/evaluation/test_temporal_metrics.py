"""Measures over time on depth whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mono_depth.data import Intrinsics
from mono_depth.evaluation.measures.tae import tae_published, tae_zbuffered
from mono_depth.evaluation.measures.temporal_metrics import (
    confidence_ratio,
    edge_band,
    flicker,
    log_errors,
    near_bias,
    near_limit_m,
    scale_spread,
    sequence_scale,
    temporal_scores,
    tepe,
)
from mono_depth.evaluation.measures.tracks import Track, TrueScene, projected, tracks
from mono_depth.evaluation.promises.lag import APPEARS, ENDS, LEAVES, lag_of, share_up_to_date

CAMERA = Intrinsics(width=12, height=8, fx=10.0, fy=10.0, cx=5.5, cy=3.5)


def moved(z_m: float = 0.0, x_m: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[2, 3], pose[0, 3] = z_m, x_m
    return pose


def wall(depths_m: list[float], poses: list[np.ndarray | None] | None = None) -> TrueScene:
    """A wall across the view, at these distances in the frames."""
    depth_m = np.stack([np.full((8, 12), d, np.float32) for d in depths_m])
    poses = poses or [moved(z_m=depths_m[0] - d) for d in depths_m]
    return TrueScene(
        depth_m=depth_m,
        intrinsics=CAMERA,
        T_odom_camera=poses,
        mover=np.zeros(depth_m.shape, bool),
    )


def test_a_camera_that_stands_still_tracks_every_pixel_to_itself():
    start, track = tracks(wall([2.0, 2.0]))
    assert start is None
    np.testing.assert_array_equal(track.now, np.arange(96))
    np.testing.assert_array_equal(track.last, np.arange(96))


def test_a_camera_that_moves_one_pixel_to_the_right_sees_the_wall_one_pixel_to_the_left():
    _, track = tracks(wall([2.0, 2.0], [moved(), moved(x_m=0.2)]))  # 10 px * 0.2 m / 2 m
    np.testing.assert_array_equal(track.last, track.now + 1)
    assert len(track.now) == 8 * 11


def test_movers_and_what_was_hidden_are_not_tracked():
    scene = wall([2.0, 2.0])
    scene.mover[1, 0, 0] = scene.mover[0, 0, 1] = True
    scene.depth_m[0, 0, 2] = 1.0  # something stood before it
    _, track = tracks(scene)
    np.testing.assert_array_equal(track.now, np.arange(3, 96))


def test_frames_without_pose_have_no_tracks_and_no_flicker():
    scene = wall([2.0, 2.0], [None, moved()])
    assert tracks(scene) == [None, None]
    with pytest.warns(RuntimeWarning, match="[Mm]ean of empty slice"):
        assert math.isnan(flicker(log_errors(scene.depth_m, scene.depth_m), tracks(scene)))


def test_depth_in_proportion_to_the_truth_does_not_flicker_while_the_camera_approaches():
    scene = wall([2.0, 1.9, 1.8])
    assert flicker(log_errors(3.0 * scene.depth_m, scene.depth_m), tracks(scene)) < 1e-6


def test_flicker_is_the_change_of_the_log_error():
    scene = wall([2.0, 2.0, 2.0])
    depth_m = scene.depth_m * np.exp([0.0, 0.1, -0.1])[:, None, None]
    found = flicker(log_errors(depth_m, scene.depth_m), tracks(scene))
    assert found == pytest.approx((0.1 + 0.2) / 2, abs=1e-6)


def test_depth_that_freezes_before_an_approaching_wall_flickers():
    scene = wall([2.0, 1.0], [moved(), moved(z_m=1.0)])
    frozen = np.full_like(scene.depth_m, 2.0)
    found = flicker(log_errors(frozen, scene.depth_m), tracks(scene))
    assert found == pytest.approx(math.log(2.0), abs=1e-6)


def test_scale_of_a_sequence_and_its_spread():
    truth_m = np.full((3, 4, 4), 2.0)
    depth_m = truth_m * np.array([1.0, 2.0, 4.0])[:, None, None]
    assert sequence_scale(depth_m, truth_m) == pytest.approx(0.5)
    expected = math.log(2.0) * math.sqrt(2.0 / 3.0)  # of -1, 0, 1 times log 2
    assert scale_spread(log_errors(depth_m, truth_m)) == pytest.approx(expected)


def test_tepe_is_the_error_of_the_change_of_inverse_depth():
    truth_m = np.array([[[2.0]], [[1.0]]])  # 1/2 -> 1: changes by 0.5
    depth_m = np.array([[[2.0]], [[1.25]]])  # 1/2 -> 0.8: changes by 0.3
    track = Track(now=np.array([0]), last=np.array([0]))
    absolute, relative = tepe(depth_m, truth_m, [None, track])
    assert absolute == pytest.approx(0.2)
    assert relative == pytest.approx(0.2 / 0.501)


def test_near_bias_has_the_sign_of_the_error_and_sees_near_pixels_only():
    truth_m = np.array([[[1.0, 1.0, 3.0]]])
    depth_m = np.array([[[1.2, 1.1, 0.3]]])
    found = near_bias(log_errors(depth_m, truth_m), truth_m, 1.5)
    assert found == pytest.approx((math.log(1.2) + math.log(1.1)) / 2)


def test_near_means_the_nearest_part_where_everything_is_far():
    far = np.linspace(10.0, 20.0, 101)
    assert near_limit_m(far) == pytest.approx(11.5)
    assert near_limit_m(np.append(far, 1.0)) == 1.5


def test_edge_band_is_three_pixels_on_either_side_of_a_jump():
    truth_m = np.full((1, 9, 12), 1.0)
    truth_m[:, :, 6:] = 2.0
    truth_m[:, :, 11] = 2.1  # 5 %: a slope, not an edge
    np.testing.assert_array_equal(edge_band(truth_m)[0, 4], np.isin(np.arange(12), range(3, 9)))


def test_confidence_that_knows_the_error_scores_below_one():
    error = np.array([[[0.1, 0.1, 0.3, 0.3]]])
    knows, errs = np.array([[[0.9, 0.8, 0.2, 0.1]]]), np.array([[[0.1, 0.2, 0.8, 0.9]]])
    assert confidence_ratio(error, knows) == pytest.approx(0.5)
    assert confidence_ratio(error, errs) == pytest.approx(1.5)


def test_constant_confidence_scores_one_though_errors_lie_in_order():
    error = np.linspace(0.0, 1.0, 10_000).reshape(1, 100, 100)
    assert confidence_ratio(error, np.ones_like(error)) == pytest.approx(1.0, abs=0.02)


def test_depth_of_an_obstacle_is_up_to_date_at_the_scale_of_its_frame():
    network_m = np.full((30, 30), 4.0)
    network_m[10:20, 10:20] = 2.0

    assert share_up_to_date(0.7 * network_m, network_m) == 1.0  # all of the frame is rescaled
    late = network_m.copy()
    late[10:20, 10:15] = 4.0  # half of the obstacle still shows the wall
    assert share_up_to_date(late, network_m) == pytest.approx(0.5)
    late[10:20, 15:20] = 2.2
    assert share_up_to_date(late, network_m) == 0.0


@pytest.mark.parametrize(
    ("appears", "leaves", "expected"),
    [(0, 0, (0, 0)), (2, 1, (2, 1)), (6, 6, (6, 6))],
)
def test_lag_counts_the_frames_until_depth_is_up_to_date(appears, leaves, expected):
    shares = [0.0] * APPEARS + [0.5] * appears + [0.95] * (LEAVES - APPEARS - appears)
    shares += [0.0] * leaves + [1.0] * (ENDS - LEAVES - leaves)

    lag = lag_of(shares)

    assert (lag.appear_frames, lag.clear_frames) == expected


def test_a_recording_that_ends_too_early_has_no_lag():
    assert math.isnan(lag_of([1.0] * (ENDS - 1)).appear_frames)


def test_perfect_depth_of_a_wall_has_no_temporal_alignment_error():
    scene = wall([2.0, 1.9])
    assert tae_zbuffered(scene.depth_m, scene) == pytest.approx(0.0, abs=1e-6)


def test_temporal_alignment_error_of_a_scale_that_jumps():
    scene = wall([2.0, 2.0])
    depth_m = scene.depth_m * np.array([1.0, 1.1])[:, None, None]
    expected = (0.1 / 1.1 + 0.1 / 1.0) / 2  # there and back, each over its target
    assert tae_zbuffered(depth_m, scene) == pytest.approx(expected, rel=1e-3)


def test_z_buffer_keeps_the_near_point_where_the_published_error_keeps_the_last():
    depth_m = np.full((2, 8, 12), np.nan)
    depth_m[0, 4, 2], depth_m[0, 4, 4] = 1.0, 3.0  # move by 3 px and 1 px, to the same pixel
    depth_m[1, 4, 5] = 1.0
    scene = TrueScene(
        depth_m=depth_m,
        intrinsics=CAMERA,
        T_odom_camera=[moved(), moved(x_m=-0.3)],
        mover=np.zeros(depth_m.shape, bool),
    )
    index, z = projected(depth_m[0], CAMERA, moved(x_m=0.3))
    assert [(i, d) for i, d in zip(index, z, strict=True) if i >= 0] == [(53, 1.0), (53, 3.0)]
    assert tae_zbuffered(depth_m, scene) == pytest.approx(0.0, abs=1e-6)
    assert tae_published(depth_m, scene) == pytest.approx((2.0 + 0.0) / 2)  # |1 - 3| / 1, back 0


def test_published_error_is_blind_to_a_wrong_shift_of_inverse_depth():
    rows = np.linspace(1.0, 3.0, 12, dtype=np.float32)
    depth_m = np.broadcast_to(rows, (2, 8, 12)).copy()
    scene = TrueScene(
        depth_m=depth_m,
        intrinsics=CAMERA,
        T_odom_camera=[moved(), moved()],
        mover=np.zeros(depth_m.shape, bool),
    )
    squeezed = 1.0 / (0.5 / depth_m + 0.2)
    assert tae_published(squeezed, scene) == pytest.approx(0.0, abs=1e-6)


def test_scores_are_measured_after_one_scale_for_the_sequence():
    scene = wall([1.0, 1.0])
    scene.mover[:, 0, 0] = True
    scores = temporal_scores(
        7.0 * scene.depth_m, np.ones(scene.depth_m.shape), scene, tracks(scene), 1.5
    )
    assert scores.scale == pytest.approx(1.0 / 7.0)
    measured = (scores.flicker, scores.near_bias, scores.mover_error, scores.scale_spread)
    assert measured == pytest.approx((0.0, 0.0, 0.0, 0.0), abs=1e-6)
    assert math.isnan(scores.edge_error)  # a wall has no edges

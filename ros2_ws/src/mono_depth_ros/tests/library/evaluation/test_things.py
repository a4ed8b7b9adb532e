"""Edges, obstacles and floor on depth maps that can be drawn by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mono_depth.data import Intrinsics
from mono_depth.evaluation.measures.boundaries import boundary_f1, bridged
from mono_depth.evaluation.measures.obstacles import (
    ObstacleCounts,
    count_obstacles,
    find_obstacles,
    near_floor,
)
from mono_depth.evaluation.nano import glass
from mono_depth.evaluation.nano.things import judge_frames, markdown
from mono_depth.models.nano.lite_net import NanoLiteNet
from mono_depth.models.nano.model import Nano
from mono_depth.models.nano.net import NanoNet
from mono_depth.recordings.sequence import SequenceFrame
from mono_depth.synthetic.frame import SyntheticFrame

NAN = np.nan
CAMERA = Intrinsics(width=80, height=60, fx=80.0, fy=80.0, cx=39.5, cy=29.5)


def wall(depth_m: float = 3.0) -> np.ndarray:
    return np.full((60, 80), depth_m, np.float32)


def floor_and_wall(height_m: float = 1.0, wall_m: float = 5.0) -> np.ndarray:
    fall = (np.arange(60) - CAMERA.cy) / CAMERA.fy
    with np.errstate(divide="ignore"):
        depth_m = np.where(fall > 0.0, height_m / fall, np.inf).clip(max=wall_m)
    return np.repeat(depth_m.astype(np.float32)[:, None], 80, axis=1)


def with_box(depth_m: np.ndarray, near_m: float, rows: slice, columns: slice) -> np.ndarray:
    changed = depth_m.copy()
    changed[rows, columns] = near_m
    return changed


BOX = (slice(20, 40), slice(30, 45))


# ---- edges


def test_edges_in_their_place_score_one_whatever_the_scale():
    truth = with_box(wall(), 2.0, *BOX)
    assert boundary_f1(truth, truth) == pytest.approx(1.0)
    assert boundary_f1(0.3 * truth, truth) == pytest.approx(1.0)


def test_a_smooth_prediction_has_no_edges_and_a_shifted_one_has_them_elsewhere():
    truth = with_box(wall(), 2.0, *BOX)
    assert boundary_f1(wall(), truth) == pytest.approx(0.0)
    assert boundary_f1(np.roll(truth, 1, axis=1), truth) > 0.9  # sensors are not aligned better
    assert boundary_f1(np.roll(truth, 5, axis=1), truth) < 0.6


def test_an_edge_that_is_spread_over_some_pixels_counts_between_pixels_that_far_apart():
    truth = with_box(wall(), 2.0, *BOX)
    soft = cv2.blur(truth, (5, 5))
    assert boundary_f1(soft, truth, 2, 4) > 1.2 * boundary_f1(soft, truth, 1, 1)
    assert boundary_f1(truth, truth, 2, 4) == pytest.approx(1.0)


def test_an_edge_that_falls_the_other_way_is_no_hit():
    truth = with_box(wall(), 2.0, *BOX)
    assert boundary_f1(with_box(wall(), 4.5, *BOX), truth) < 0.1


def test_edges_where_the_truth_is_not_known_are_neither_wanted_nor_wrong():
    truth = with_box(wall(), 2.0, *BOX)
    half = truth.copy()
    half[:, 50:] = NAN
    invented_there = with_box(truth, 1.0, slice(20, 40), slice(60, 70))
    assert boundary_f1(invented_there, half) == pytest.approx(1.0)
    assert np.isnan(boundary_f1(truth, wall()))


def test_the_shadow_of_a_depth_camera_is_filled_with_what_lies_behind():
    row = np.array([[3.0, NAN, NAN, 2.0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 3.0, NAN]])
    assert bridged(row, 3)[0, :4].tolist() == [3.0, 3.0, 3.0, 2.0]
    assert np.isnan(bridged(row, 3)[0, 4:11]).all()
    assert np.isnan(bridged(row, 3)[0, 12])
    assert bridged(row.T, 3)[1, 0] == 3.0


# ---- obstacles


def test_a_box_before_a_wall_is_one_obstacle():
    (found,) = find_obstacles(with_box(wall(), 2.0, *BOX), CAMERA)
    assert found.depth_m == pytest.approx(2.0)
    assert found.behind_m == pytest.approx(3.0)
    assert int(found.mask.sum()) == 20 * 15
    assert not found.is_thin
    assert not found.is_low


def test_two_boxes_that_touch_in_the_image_are_two():
    depth_m = with_box(wall(), 2.0, slice(20, 40), slice(20, 35))
    depth_m = with_box(depth_m, 1.2, slice(25, 40), slice(35, 50))
    assert sorted(round(item.depth_m, 1) for item in find_obstacles(depth_m, CAMERA)) == [1.2, 2.0]


@pytest.mark.parametrize(
    "depth_m",
    [
        floor_and_wall(),
        floor_and_wall(0.1),
        with_box(wall(3.0), 2.7, *BOX),  # nearer by less than 15 %
        with_box(wall(6.0), 4.5, *BOX),  # beyond 4 m
        np.repeat(np.geomspace(0.8, 4.0, 80, dtype=np.float32)[None], 60, axis=0),  # a wall
        with_box(wall(), 2.0, slice(0, 60), slice(0, 60)),  # most of the view
    ],
    ids=["floor", "from the floor", "too shallow", "too far", "slanted wall", "room"],
)
def test_floor_walls_and_what_is_far_are_no_obstacles(depth_m):
    assert find_obstacles(depth_m, CAMERA) == []


def test_what_stands_on_the_floor_is_found_thin_or_low():
    floor = floor_and_wall()
    leg = with_box(floor, 2.0, slice(25, 68), slice(40, 43))
    (found,) = find_obstacles(leg, CAMERA)
    assert found.is_thin
    assert not found.is_low
    bowl = with_box(floor, 2.2, slice(58, 60), slice(20, 40))
    assert [
        item.is_low
        for item in find_obstacles(with_box(floor, 1.8, slice(48, 55), slice(20, 40)), CAMERA)
    ] == [True]
    assert all(item.is_low for item in find_obstacles(bowl, CAMERA))


def test_holes_of_the_sensor_are_no_obstacles():
    depth_m = wall()
    depth_m[BOX] = NAN
    assert find_obstacles(depth_m, CAMERA) == []


def counts(said: np.ndarray, truth: np.ndarray) -> ObstacleCounts:
    return count_obstacles(said, truth, CAMERA, find_obstacles(truth, CAMERA))


def test_an_obstacle_is_found_by_its_depth_and_stands_out_by_its_step():
    truth = with_box(wall(), 2.4, *BOX)
    exact = counts(truth, truth)
    assert (exact.all, exact.found, exact.seen, exact.invented) == (1, 1, 1, 0)
    # a wall that is drawn too near has the right depth there, and shows no thing
    nearer = counts(wall(2.7), truth)
    assert (nearer.found, nearer.seen) == (1, 0)
    assert counts(wall(), truth).found == 0
    low = with_box(floor_and_wall(), 1.8, slice(48, 55), slice(20, 40))
    assert counts(low, low).low_found == 1


def test_what_is_not_there_is_invented_and_what_nobody_knows_is_not():
    said = with_box(wall(), 2.0, *BOX)
    assert counts(said, wall()).invented == 1
    assert counts(said, with_box(wall(), 2.3, *BOX)).invented == 0  # there, at another depth
    unknown = wall()
    unknown[BOX] = NAN
    assert counts(said, unknown).invented == 0


def test_the_near_floor_is_what_is_level_and_below():
    floor = near_floor(floor_and_wall(0.5), CAMERA)
    assert floor[50:58, 10:70].all()
    assert not floor[:40].any()
    assert not near_floor(wall(2.0), CAMERA).any()


def test_the_table_has_a_line_for_each_predictor():
    truth = with_box(floor_and_wall(0.5), 2.0, *BOX)
    frame = SequenceFrame(
        rgb=np.zeros((60, 80, 3), np.uint8), depth_m=truth, intrinsics=CAMERA, stamp_ns=0
    )
    rows = judge_frames(
        "drawn", [frame], {"right": lambda _: 2.0 * truth, "flat": lambda _: wall()}, 10.0
    )
    lines = markdown(rows).splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| drawn (1)", "right"],
        ["| drawn (1)", "flat"],
    ]
    assert rows[0].obstacles.seen == rows[0].obstacles.all == 1
    assert rows[0].floor_abs_rel == pytest.approx(0.0, abs=0.03)  # resized
    assert rows[1].boundary_f1 < rows[0].boundary_f1


# ---- glass


def glassy_frame() -> SyntheticFrame:
    labels = np.zeros((60, 80), bool)
    labels[:, :20] = True
    return SyntheticFrame(
        rgb=np.zeros((60, 80, 3), np.uint8),
        depth_m=wall(),
        intrinsics=CAMERA,
        T_odom_camera=np.eye(4),
        stamp_ns=0,
        sparse_points_m=np.zeros((0, 3), np.float32),
        mover_mask=np.zeros((60, 80), bool),
        glassy=labels,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "recall", "precision"), [(9.0, 1.0, 0.25), (-9.0, 0.0, np.nan)])
def test_glass_is_scored_against_the_labels_of_the_renderer(bias, recall, precision):
    net = NanoLiteNet(0, has_hints=False)
    torch.nn.init.zeros_(net.head.weight)
    with torch.no_grad():
        net.head.bias[8:] = bias  # the third output
    scores = glass.glass_scores(Nano(net, torch.device("cpu")), [glassy_frame()])
    assert scores.share == pytest.approx(0.25, abs=0.01)
    assert scores.recall == pytest.approx(recall)
    assert scores.precision == pytest.approx(precision, nan_ok=True, abs=0.01)
    assert scores.abs_rel_glass == pytest.approx(0.0, abs=1e-3)
    lines = glass.markdown({"it": scores, "old": None}).splitlines()
    assert lines[2].startswith("| it | 0.25")
    assert lines[3] == "| old | - | - | - | - | - | - | - |"


def test_a_network_that_says_nothing_of_glass_has_no_score():
    nano = Nano(NanoNet(has_hints=False), torch.device("cpu"))
    assert glass.glass_scores(nano, [glassy_frame()]) is None

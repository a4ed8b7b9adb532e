"""How far metres and confidence can be trusted: networks of which the answer is known."""

import math

import numpy as np
import pytest
import torch

from mono_depth.data import Intrinsics
from mono_depth.evaluation.nano.table import unseen_scenes
from mono_depth.evaluation.nano.trust import markdown, measure
from mono_depth.models.nano.model import Nano
from mono_depth.models.nano.net import NanoNet
from mono_depth.recordings.sequence import SequenceFrame

NEAR_THEN_FAR_M = np.repeat([[2.0] * 80 + [4.0] * 80], 120, axis=0).astype(np.float32)
FRAME = SequenceFrame(
    rgb=np.zeros((120, 160, 3), np.uint8),
    depth_m=NEAR_THEN_FAR_M,
    intrinsics=Intrinsics(width=160, height=120, fx=100.0, fy=100.0, cx=79.5, cy=59.5),
    stamp_ns=0,
)


@pytest.fixture
def one_answer() -> Nano:
    """A network that says the same of every pixel."""
    nano = Nano(NanoNet(), torch.device("cpu"))
    with torch.no_grad():
        nano.net.module.head.weight.zero_()
        nano.net.module.head.bias.zero_()
    return nano


@pytest.mark.slow
def test_a_network_that_sees_no_zoom_is_wrong_by_all_of_it(one_answer):
    (row,) = measure("wall", [FRAME], {"flat": one_answer}, 10.0)
    assert row.count == 1
    assert row.lens_median == pytest.approx(math.log(1.5), abs=0.02)
    assert row.lens_size == row.lens_median


@pytest.mark.slow
def test_confidence_that_is_the_same_everywhere_ranks_nothing(one_answer):
    (row,) = measure("wall", [FRAME], {"flat": one_answer}, 10.0)
    assert row.confident_half == pytest.approx(1.0, abs=0.03)
    assert "| wall (1) | flat | 40." in markdown([row])


@pytest.mark.slow
def test_truth_that_the_sensor_cannot_measure_is_left_out(one_answer):
    (row,) = measure("wall", [FRAME], {"flat": one_answer}, 1.0)
    assert math.isnan(row.confident_half)


@pytest.mark.slow
def test_of_each_unseen_scene_there_are_two_images_with_their_depth():
    first, second = unseen_scenes(1)
    assert first.rgb.shape == (240, 320, 3)
    assert first.depth_m.shape == (240, 320)
    assert not np.array_equal(first.depth_m, second.depth_m)
    assert first.sparse_points_m is None  # a model is told the image alone

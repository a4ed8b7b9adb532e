"""The values that travel: cameras, limits, results of the size of the image."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from mono_depth.data import Intrinsics, OutputKind, ScaleStatus
from mono_depth.errors import FrameError
from mono_depth.outputs.depth_result import DepthLimits, DepthResult

NAN, INF = math.nan, math.inf
LIMITS = DepthLimits(min_m=0.5, max_m=10.0, beyond=NAN)


def result(
    network_m: torch.Tensor,
    size: tuple[int, int],
    *,
    kind: OutputKind = OutputKind.METRIC,
    relative: torch.Tensor | None = None,
    confidence: torch.Tensor | None = None,
    is_visible: torch.Tensor | None = None,
    limits: DepthLimits = LIMITS,
) -> DepthResult:
    rgb = np.zeros((*size, 3), np.uint8)
    return DepthResult(
        stamp_ns=1,
        frame_id="camera",
        rgb=rgb,
        rgb_tensor=torch.from_numpy(rgb),
        intrinsics=None,
        scale=ScaleStatus(source="model", state="valid"),
        limits=limits,
        kind=kind,
        is_visible=is_visible,
        network_depth_m=network_m,
        network_relative=1.0 / network_m if relative is None else relative,
        network_confidence=confidence,
    )


# Cameras


def test_resizing_a_camera_keeps_the_edges_of_its_view():
    camera = Intrinsics(width=4, height=2, fx=3.0, fy=3.0, cx=1.5, cy=0.5)

    double = camera.scaled_to(8, 4)

    assert (double.width, double.height, double.fx, double.fy) == (8, 4, 6.0, 6.0)
    assert (double.cx, double.cy) == (3.5, 1.5)  # still in the middle
    assert double.scaled_to(4, 2) == camera


def test_the_matrix_projects_a_point_to_its_pixel():
    camera = Intrinsics(width=640, height=480, fx=500.0, fy=510.0, cx=320.0, cy=240.0)

    u, v, w = camera.matrix() @ (0.2, -0.1, 2.0)

    assert (u / w, v / w) == pytest.approx((500 * 0.1 + 320, -510 * 0.05 + 240))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": 0.0}, "is not a pinhole camera"),
        ({"fy": -1.0}, "is not a pinhole camera"),
        ({"cx": NAN}, "is not a pinhole camera"),
        ({"fx": INF}, "is not a pinhole camera"),
        ({"width": 0}, "camera of 0x480 pixels"),
    ],
)
def test_what_is_no_camera_is_refused(change, message):
    values = {"width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0}
    with pytest.raises(FrameError, match=message):
        Intrinsics(**{**values, **change})


# Limits


@pytest.mark.parametrize(("beyond", "expected"), [(NAN, NAN), (INF, INF)])
def test_limits_keep_what_lies_within(beyond, expected):
    limits = DepthLimits(min_m=0.5, max_m=10.0, beyond=beyond)

    limited = limits.apply(torch.tensor([[0.4, 0.5, 10.0, 10.1, NAN, INF]]))

    wanted = torch.tensor([[NAN, 0.5, 10.0, expected, NAN, expected]])
    torch.testing.assert_close(limited, wanted, equal_nan=True)


# Results


@pytest.mark.parametrize(
    ("network", "image"),
    [((6, 8), (12, 16)), ((6, 8), (480, 640)), ((7, 9), (20, 31)), ((9, 9), (4, 3))],
)
def test_depth_is_interpolated_without_a_half_pixel_shift(network, image):
    values = np.random.default_rng(0).uniform(4.0, 4.9, network).astype(np.float32)

    depth_m = result(torch.from_numpy(values), image).depth_m

    height, width = image
    expected = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(depth_m.numpy(), expected, rtol=1e-5)


def test_a_slope_stays_where_it_is():
    # Column centres at 0.5, 1.5, ... of 8 become 0.25, 0.75, ... of 16: depth = 2.25 + centre / 2.
    slope = (2.5 + torch.arange(8.0) / 2.0).repeat(6, 1)

    depth_m = result(slope, (12, 16)).depth_m

    expected = 2.25 + (torch.arange(16.0) + 0.5) / 4.0
    torch.testing.assert_close(depth_m[5, 1:-1], expected[1:-1])


def test_inverse_depth_is_interpolated_as_inverse_depth():
    network_m = torch.tensor([[4.0, 4.8]])

    inverse = result(network_m, (1, 4), kind=OutputKind.INVERSE_AFFINE).depth_m
    plain = result(network_m, (1, 4), kind=OutputKind.METRIC).depth_m

    # a quarter and three quarters of the way, between 1/4 and 1/4.8, or between 4 and 4.8
    torch.testing.assert_close(inverse, torch.tensor([[4.0, 4.8 / 1.15, 4.8 / 1.05, 4.8]]))
    torch.testing.assert_close(plain, torch.tensor([[4.0, 4.2, 4.6, 4.8]]))


def test_a_map_of_the_size_of_the_image_is_not_touched():
    network_m = torch.tensor([[1.0, NAN], [3.0, 4.0]])

    depth_m = result(network_m, (2, 2)).depth_m

    torch.testing.assert_close(depth_m, network_m, rtol=0.0, atol=0.0, equal_nan=True)


def test_limits_hold_after_interpolation():
    depth_m = result(torch.tensor([[9.0, 11.0]]), (1, 4)).depth_m  # 9, 9.5, 10.5, 11

    torch.testing.assert_close(depth_m, torch.tensor([[9.0, 9.5, NAN, NAN]]), equal_nan=True)


def test_confidence_is_zero_where_there_is_no_depth():
    network_m = torch.tensor([[1.0, NAN], [3.0, 4.0]])
    given = torch.tensor([[0.9, 0.8], [0.7, 0.6]])

    without = result(network_m, (2, 2)).confidence
    with_own = result(network_m, (2, 2), confidence=given).confidence

    torch.testing.assert_close(without, torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    torch.testing.assert_close(with_own, torch.tensor([[0.9, 0.0], [0.7, 0.6]]))


def test_what_the_camera_did_not_see_is_unknown():
    visible = torch.tensor([[True, False], [True, True]])
    values = result(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (2, 2), is_visible=visible)

    assert torch.isnan(values.depth_m).tolist() == [[False, True], [False, False]]
    assert torch.isnan(values.relative).tolist() == [[False, True], [False, False]]
    assert values.confidence.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_without_a_scale_there_is_relative_depth_only():
    no_metres = DepthResult(
        stamp_ns=1,
        frame_id="camera",
        rgb=np.zeros((2, 4, 3), np.uint8),
        rgb_tensor=torch.zeros(2, 4, 3, dtype=torch.uint8),
        intrinsics=None,
        scale=ScaleStatus(source="none", state="uninitialised", reason="because"),
        limits=LIMITS,
        kind=OutputKind.INVERSE_AFFINE,
        network_depth_m=None,
        network_relative=torch.tensor([[1.0, 2.0]]),
        network_confidence=None,
    )

    assert no_metres.depth_m is None
    assert no_metres.relative.shape == (2, 4)
    assert not no_metres.scale.is_metric
    assert no_metres.planner_use == "none"


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        ("valid", {}, "mark_and_clear"),
        ("valid", {"conflict": "sparse_points and model differ by 230 %"}, "mark"),
        ("assumed", {}, "mark"),
        ("held", {}, "mark"),
        ("degraded", {}, "mark"),
        ("lost", {}, "mark"),
        ("lost", {"is_usable": False}, "none"),
        ("converging", {}, "mark"),
        ("converging", {"is_usable": False}, "none"),
        ("uninitialised", {}, "none"),
    ],
)
def test_a_planner_clears_space_by_trusted_metres_alone(state, changes, expected):
    status = ScaleStatus(source="sparse_points", state=state, **changes)

    assert status.planner_use == expected
    assert status.is_metric == (expected != "none")

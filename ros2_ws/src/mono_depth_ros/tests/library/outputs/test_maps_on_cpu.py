"""What the CPU computes with NumPy and OpenCV is what a GPU computes with torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from mono_depth.config import CloudConfig
from mono_depth.data import Intrinsics, OutputKind, ScaleStatus
from mono_depth.outputs.depth_result import DepthLimits, DepthResult
from mono_depth.outputs.point_cloud import CloudBuilder, build_on_device, ray_grid
from mono_depth.outputs.upsampling import resized_unmixed_on_device

CAMERA = Intrinsics(width=64, height=48, fx=50.0, fy=51.0, cx=31.2, cy=24.7)


def depth_with_holes_and_edges() -> torch.Tensor:
    depth_m = 1.0 + torch.rand(48, 64, generator=torch.Generator().manual_seed(1)) * 0.05
    depth_m[10:20, 10:30] = 3.0
    depth_m[30:33, 5:9] = torch.nan
    depth_m[40, 40] = torch.inf
    return depth_m


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("max_jump", [0.0, 0.1])
@pytest.mark.parametrize("has_rgb", [False, True])
def test_a_cloud_is_the_same_to_the_last_bit(stride: int, max_jump: float, has_rgb: bool) -> None:
    depth_m = depth_with_holes_and_edges()
    rgb = torch.arange(48 * 64 * 3).reshape(48, 64, 3).to(torch.uint8) if has_rgb else None
    config = CloudConfig(stride=stride, max_jump=max_jump, max_depth_m=4.0)
    cloud = CloudBuilder().build(depth_m, CAMERA, config, rgb)
    expected = build_on_device(depth_m, ray_grid(CAMERA, stride=stride), config, rgb)
    assert cloud.has_rgb == has_rgb
    assert torch.equal(cloud.points.view(torch.int32), expected.view(torch.int32))
    assert 0.5 < cloud.points[..., 2].isfinite().float().mean() < 1.0


def test_a_builder_makes_clouds_of_changing_size_in_one_memory() -> None:
    builder, depth_m = CloudBuilder(), depth_with_holes_and_edges()
    first = builder.build(depth_m, CAMERA, CloudConfig()).points
    second = builder.build(depth_m + 1.0, CAMERA, CloudConfig()).points
    assert first.data_ptr() == second.data_ptr()
    coarse = builder.build(depth_m, CAMERA, CloudConfig(stride=2)).points
    assert coarse.shape == (24, 32, 3)
    expected = build_on_device(depth_m, ray_grid(CAMERA, stride=2), CloudConfig(stride=2), None)
    assert torch.equal(coarse.view(torch.int32), expected.view(torch.int32))


def result_of(values: torch.Tensor, height: int, width: int) -> DepthResult:
    rgb = np.zeros((height, width, 3), np.uint8)
    return DepthResult(
        stamp_ns=1,
        frame_id="camera",
        rgb=rgb,
        rgb_tensor=torch.from_numpy(rgb),
        intrinsics=None,
        scale=ScaleStatus(source="model", state="valid"),
        limits=DepthLimits(min_m=0.01, max_m=100.0, beyond=math.nan),
        kind=OutputKind.METRIC,
        network_depth_m=values,
        network_relative=values,
        network_confidence=None,
    )


@pytest.mark.parametrize(
    ("network", "image"),
    [((12, 12), (48, 64)), ((97, 131), (48, 64)), ((96, 128), (48, 64)), ((1, 5), (4, 4))],
)
def test_maps_are_resized_as_torch_does(network: tuple[int, int], image: tuple[int, int]) -> None:
    values = 1.0 + torch.rand(network, generator=torch.Generator().manual_seed(2))
    expected = functional.interpolate(values[None, None], image, mode="bilinear")[0, 0]
    result = result_of(values, *image)
    assert result.depth_m is not None
    unmixed = resized_unmixed_on_device(values, image)
    torch.testing.assert_close(result.depth_m, unmixed, rtol=1e-4, atol=0.0)
    torch.testing.assert_close(result.relative, expected, rtol=1e-4, atol=0.0)


def test_an_unknown_pixel_spreads_to_what_is_interpolated_from_it_and_no_farther() -> None:
    values = torch.ones(4, 4)
    values[1, 1] = torch.nan
    depth_m = result_of(values, 8, 8).depth_m
    assert depth_m is not None
    assert depth_m.isnan().nonzero().min().item() == 1
    assert depth_m.isnan().nonzero().max().item() == 4
    assert depth_m.isnan().sum().item() == 16


@pytest.mark.parametrize(
    ("depth_m", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([0.4, 2.0], [math.nan, 2.0]),
        ([1.0, 5.1], [1.0, math.inf]),
        ([math.nan, 2.0], [math.nan, 2.0]),
        ([math.nan, 5.1], [math.nan, math.inf]),
        ([0.5, 5.0], [0.5, 5.0]),
    ],
)
def test_limits_hold_whether_or_not_all_depth_is_within(
    depth_m: list[float], expected: list[float]
) -> None:
    limits = DepthLimits(min_m=0.5, max_m=5.0, beyond=math.inf)
    found = limits.apply(torch.tensor([depth_m]))
    torch.testing.assert_close(found, torch.tensor([expected]), equal_nan=True, rtol=0.0, atol=0.0)

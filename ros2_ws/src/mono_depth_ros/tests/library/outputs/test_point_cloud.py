"""Points from depth: positions, bytes, and the pixels between two surfaces."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch

from mono_depth.config import CloudConfig
from mono_depth.data import Intrinsics
from mono_depth.outputs.point_cloud import CloudBuilder, build_on_device, flying_pixels, ray_grid

NAN = math.nan
CAMERA = Intrinsics(width=4, height=3, fx=2.0, fy=4.0, cx=1.0, cy=1.0)
KEEP_ALL = CloudConfig(max_jump=0.0)


def test_rays_of_every_second_pixel():
    x, y = ray_grid(CAMERA, stride=2)

    assert x.tolist() == [[-0.5, 0.5]]
    assert y.tolist() == [[-0.25], [0.25]]


def test_a_point_lies_where_the_camera_sees_its_pixel():
    depth_m = torch.full((3, 4), 2.0)
    depth_m[2, 3] = 8.0

    cloud = CloudBuilder().build(depth_m, CAMERA, KEEP_ALL)

    assert cloud.points.shape == (3, 4, 3)
    assert cloud.points[0, 0].tolist() == [-1.0, -0.5, 2.0]  # (0 - 1) / 2 * 2, (0 - 1) / 4 * 2
    assert cloud.points[2, 3].tolist() == [8.0, 2.0, 8.0]
    assert not cloud.has_rgb


def test_the_memory_of_a_colored_point_is_that_of_a_point_cloud_message():
    rgb = torch.zeros(3, 4, 3, dtype=torch.uint8)
    rgb[0, 1] = torch.tensor((0x11, 0x22, 0x33), dtype=torch.uint8)

    cloud = CloudBuilder().build(torch.full((3, 4), 2.0), CAMERA, KEEP_ALL, rgb)

    point = cloud.points[0, 1].numpy().tobytes()
    assert point == struct.pack("<fff", 0.0, -0.5, 2.0) + bytes((0x33, 0x22, 0x11, 0))
    assert cloud.has_rgb


def test_unknown_and_far_depth_gives_no_point_and_keeps_its_color():
    depth_m = torch.tensor([[2.0, NAN, math.inf, 0.05], [9.0, 11.0, -1.0, 0.0]])
    camera = Intrinsics(width=4, height=2, fx=2.0, fy=2.0, cx=1.0, cy=1.0)
    config = CloudConfig(max_jump=0.0, min_depth_m=0.1, max_depth_m=10.0)
    rgb = torch.full((2, 4, 3), 7, dtype=torch.uint8)

    points = CloudBuilder().build(depth_m, camera, config, rgb).points

    known = ~torch.isnan(points[..., :3])
    assert known.all(dim=-1).tolist() == [[True, False, False, False], [True, False, False, False]]
    assert known.any(dim=-1).tolist() == known.all(dim=-1).tolist()
    assert points[..., 3].view(torch.int32).unique().tolist() == [0x070707]


@pytest.mark.parametrize(("stride", "shape"), [(1, (3, 4)), (2, (2, 2)), (3, (1, 2)), (16, (1, 1))])
def test_stride_keeps_the_first_of_every_n_pixels(stride, shape):
    depth_m = torch.arange(1.0, 13.0).reshape(3, 4)
    config = CloudConfig(max_jump=0.0, stride=stride)

    points = CloudBuilder().build(depth_m, CAMERA, config).points

    assert points.shape[:2] == shape
    torch.testing.assert_close(points[..., 2], depth_m[::stride, ::stride])


def test_of_a_step_all_but_the_near_side_is_marked():
    depth_m = torch.tensor([[2.0, 2.0, 3.0, 5.0, 5.0]]).repeat(3, 1)

    assert flying_pixels(depth_m, 0.1)[1].tolist() == [False, False, True, True, False]
    assert flying_pixels(depth_m.T.contiguous(), 0.1)[:, 1].tolist() == [
        *(False, False, True, True, False)
    ]


def test_a_pole_one_pixel_wide_keeps_its_points():
    depth_m = torch.tensor([[4.0, 4.0, 2.0, 4.0, 4.0]]).repeat(3, 1)

    assert flying_pixels(depth_m, 0.1)[1].tolist() == [False, True, False, True, False]


def test_a_gap_one_pixel_wide_between_two_things_is_no_way_through():
    depth_m = torch.tensor([[2.0, 2.0, 4.0, 2.0, 2.0]]).repeat(3, 1)

    assert flying_pixels(depth_m, 0.1)[1].tolist() == [False, False, True, False, False]


def test_a_step_below_the_limit_is_kept():
    depth_m = torch.tensor([[2.0, 2.19], [2.0, 2.19]])

    assert not flying_pixels(depth_m, 0.1).any()
    assert flying_pixels(depth_m, 0.09).tolist() == [[False, True]] * 2


def test_the_ground_is_kept_up_to_ten_pixels_below_its_horizon():
    # 1 m below a camera of f = 500 px: the ground is 55.6, 50, 45.5 m away 9, 10, 11 px below.
    rows = torch.arange(9.0, 240.0)
    ground_m = (500.0 / rows)[:, None].repeat(1, 3)

    marked = flying_pixels(ground_m, 0.101)[:, 0]

    assert marked.tolist() == [True] + [False] * 230


def test_a_wall_seen_at_an_angle_is_kept():
    columns = torch.linspace(-0.6, 0.6, 640, dtype=torch.float64)
    wall_m = (2.0 / (1.0 + math.tan(math.radians(50)) * columns)).float()[None].repeat(2, 1)

    assert not flying_pixels(wall_m, 0.1).any()


def test_unknown_neighbours_mark_nothing():
    depth_m = torch.tensor([[2.0, NAN, 9.0], [2.0, NAN, 9.0]])

    assert not flying_pixels(depth_m, 0.1).any()


def test_infinite_depth_is_the_far_side_of_a_jump():
    depth_m = torch.tensor([[2.0, 2.0, math.inf], [2.0, 2.0, math.inf]])

    assert flying_pixels(depth_m, 0.1)[0].tolist() == [False, False, True]


def test_a_builder_follows_a_change_of_camera():
    builder, depth_m = CloudBuilder(), torch.full((3, 4), 2.0)
    other = Intrinsics(width=4, height=3, fx=4.0, fy=4.0, cx=0.0, cy=0.0)

    first = builder.build(depth_m, CAMERA, KEEP_ALL).points[0, 0].tolist()
    second = builder.build(depth_m, other, KEEP_ALL).points[0, 3].tolist()

    assert first == [-1.0, -0.5, 2.0]
    assert second == [1.5, 0.0, 2.0]


@pytest.mark.gpu
def test_the_device_makes_the_same_cloud():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = torch.Generator().manual_seed(0)
    depth_m = torch.rand(48, 64, generator=generator) * 2.0 + 1.0
    camera = Intrinsics(width=64, height=48, fx=50.0, fy=50.0, cx=31.5, cy=23.5)
    on_cpu = CloudBuilder().build(depth_m, camera, CloudConfig()).points
    rays = ray_grid(camera, device=torch.device("cuda"))
    on_gpu = build_on_device(depth_m.cuda(), rays, CloudConfig(), None).cpu()
    np.testing.assert_array_equal(on_gpu.numpy(), on_cpu.numpy())

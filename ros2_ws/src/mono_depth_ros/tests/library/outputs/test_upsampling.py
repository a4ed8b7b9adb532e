"""Edges of depth on those of the image, on images whose edge is known."""

import cv2
import numpy as np
import pytest
import torch

from mono_depth.outputs.upsampling import image_detail, resized, resized_unmixed

SMALL, LARGE = (12, 16), (48, 64)


def image(edge_column, dark=60, light=180):
    grey = np.full(LARGE, dark, np.uint8)
    grey[:, edge_column:] = light
    return torch.from_numpy(np.dstack([grey] * 3))


def step(edge_column, near=1.0, far=2.0):
    """Log depth of an edge as a network of a quarter of the size sees it."""
    depth = np.full(LARGE, near, np.float32)
    depth[:, edge_column:] = far
    return torch.from_numpy(cv2.resize(depth, SMALL[::-1], interpolation=cv2.INTER_AREA))


def refined(values, rgb):
    return resized(values, LARGE) + image_detail(values, rgb)


@pytest.mark.parametrize("edge", [32, 33, 34, 35])
def test_an_edge_of_depth_is_sharper_and_where_the_image_has_it(edge):
    truth = torch.full(LARGE, 1.0)
    truth[:, edge:] = 2.0
    blurred, values = resized(step(edge), LARGE), refined(step(edge), image(edge))
    assert (values - truth).abs().mean() < 0.75 * (blurred - truth).abs().mean()


def test_depth_stays_between_that_of_its_surroundings():
    values = refined(step(34), image(34, dark=0, light=255))
    assert values.min() >= 1.0
    assert values.max() <= 2.0


def test_texture_on_a_flat_wall_changes_nothing():
    rng = np.random.default_rng(0)
    texture = torch.from_numpy(rng.integers(0, 255, (*LARGE, 3), np.uint8))
    assert image_detail(torch.full(SMALL, 0.7), texture).abs().max() < 1e-6


def test_a_image_without_edges_changes_next_to_nothing():
    assert image_detail(step(34), image(64)).abs().max() < 1e-6


def test_beside_unknown_values_nothing_is_added():
    values = step(34)
    values[5, 9] = torch.nan
    detail = image_detail(values, image(34))
    assert detail.isfinite().all()
    assert detail[20:24, 36:40].abs().max() == 0.0
    assert detail[:4].abs().max() > 0.01


def test_a_pole_one_pixel_of_the_network_wide_keeps_its_depth():
    depth_m = torch.full(SMALL, 4.0)
    depth_m[:, 5] = 2.0

    columns = resized_unmixed(depth_m, LARGE)[20].tolist()

    assert columns == [4.0] * 20 + [2.0] * 4 + [4.0] * 40


def test_no_surface_is_invented_between_two():
    values = set(resized_unmixed(step(32, near=1.0, far=2.0), LARGE).flatten().tolist())

    assert values == {1.0, 2.0}


def test_where_nothing_jumps_a_map_is_bilinear():
    slope = torch.linspace(2.0, 2.5, 16).repeat(12, 1)

    torch.testing.assert_close(resized_unmixed(slope, LARGE), resized(slope, LARGE))


def test_beside_a_hole_no_depth_is_made_up():
    depth_m = torch.full(SMALL, 4.0)
    depth_m[:, 5] = torch.nan

    assert resized_unmixed(depth_m, LARGE)[20, 20:24].isnan().all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives():
    values, rgb = step(34), image(34)
    on_gpu = image_detail(values.cuda(), rgb.cuda()).cpu()
    torch.testing.assert_close(
        on_gpu[8:-8, 12:-12], image_detail(values, rgb)[8:-8, 12:-12], atol=0.01, rtol=0.0
    )

"""Each pixel is seen, beyond range or sky, or unknown."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.data import OutputKind, ScaleStatus
from mono_depth.outputs.depth_result import DepthLimits, DepthResult
from mono_depth.outputs.pixel_class import PixelClass

NAN, INF = math.nan, math.inf
UNKNOWN, SEEN, BEYOND = (int(code) for code in PixelClass)


def result(depth, *, confidence=None, sky=None, is_visible=None, beyond=NAN, is_metric=True):
    """Return a result whose image has the size of the network's maps, limits 0.5 and 50 m."""
    depth = torch.tensor(depth)
    rgb = np.zeros((*depth.shape, 3), np.uint8)
    return DepthResult(
        stamp_ns=1,
        frame_id="camera",
        rgb=rgb,
        rgb_tensor=torch.from_numpy(rgb),
        intrinsics=None,
        scale=ScaleStatus(source="model", state="valid" if is_metric else "uninitialised"),
        limits=DepthLimits(min_m=0.5, max_m=50.0, beyond=beyond),
        kind=OutputKind.METRIC if is_metric else OutputKind.INVERSE_AFFINE,
        is_visible=None if is_visible is None else torch.tensor(is_visible),
        network_depth_m=depth if is_metric else None,
        network_relative=1.0 / depth,
        network_confidence=None if confidence is None else torch.tensor(confidence),
        network_sky=None if sky is None else torch.tensor(sky),
    )


def test_the_codes_on_the_wire_do_not_change():
    assert (UNKNOWN, SEEN, BEYOND) == (0, 1, 2)


@pytest.mark.parametrize("beyond", [NAN, INF])
def test_depth_in_range_is_seen_farther_is_beyond_and_none_is_unknown(beyond):
    found = result([[2.0, 80.0, NAN, 0.1, INF]], beyond=beyond)

    assert found.pixel_class.dtype == torch.uint8
    assert found.pixel_class.tolist() == [[SEEN, BEYOND, UNKNOWN, UNKNOWN, BEYOND]]
    expected = torch.tensor([[2.0, beyond, NAN, NAN, beyond]])
    torch.testing.assert_close(found.depth_m, expected, equal_nan=True)


def test_without_confidence_a_pixel_is_unknown_however_near_or_far():
    found = result([[2.0, 80.0, 2.0]], confidence=[[0.0, 0.0, 0.1]])

    assert found.pixel_class.tolist() == [[UNKNOWN, UNKNOWN, SEEN]]


@pytest.mark.parametrize("beyond", [NAN, INF])
def test_sky_is_beyond_range_and_has_no_depth_to_be_confident_of(beyond):
    found = result([[2.0, 9.0]], confidence=[[0.9, 0.1]], sky=[[False, True]], beyond=beyond)

    assert found.pixel_class.tolist() == [[SEEN, BEYOND]]
    torch.testing.assert_close(found.depth_m, torch.tensor([[2.0, beyond]]), equal_nan=True)
    assert found.confidence.tolist() == [[pytest.approx(0.9), 0.0]]


def test_only_what_is_seen_may_become_a_point():
    found = result([[2.0, 80.0, 3.0, 9.0]], confidence=[[1, 1, 0, 1.0]], sky=[[0, 0, 0, 1]])

    assert found.seen_depth_m[0, 0] == 2.0
    assert found.seen_depth_m[0, 1:].isnan().all()


def test_what_the_camera_did_not_see_is_unknown_even_in_the_sky():
    found = result([[2.0, 9.0]], sky=[[False, True]], is_visible=[[False, False]])

    assert found.pixel_class.tolist() == [[UNKNOWN, UNKNOWN]]


def test_without_metres_a_surface_is_seen_and_none_is_told_to_be_beyond():
    found = result([[2.0, 80.0, NAN]], is_metric=False)

    assert found.seen_depth_m is None
    assert found.pixel_class.tolist() == [[SEEN, SEEN, UNKNOWN]]


def test_the_edge_of_the_sky_is_left_to_what_stands_before_it():
    sky = torch.zeros(4, 8, dtype=torch.bool)
    sky[:, :4] = True
    rgb = np.zeros((16, 32, 3), np.uint8)
    small = result([[9.0] * 8] * 4)
    found = replace(small, rgb=rgb, rgb_tensor=torch.from_numpy(rgb), network_sky=sky)

    assert (found.pixel_class[:, :14] == BEYOND).all()
    assert (found.pixel_class[:, 14:] == SEEN).all()

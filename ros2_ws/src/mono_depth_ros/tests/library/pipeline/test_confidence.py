"""Confidence tells what is known of a pixel: views, network, scale, jumps and holes."""

import math

import pytest
import torch

from mono_depth.data import OutputKind, Prediction, ScaleStatus
from mono_depth.pipeline.confidence import filled_holes, near_jumps, rated, scale_is_right

GATE = 0.1  # of the obstacle outputs: pixels of less confidence clear nothing


def scale(sigma_rel=math.nan, *, state="valid", conflict=""):
    return ScaleStatus(source="odometry", state=state, sigma_rel=sigma_rel, conflict=conflict)


def wall(height=40, width=60, depth_m=3.0):
    return torch.full((height, width), depth_m)


def said(values, mask=None):
    return Prediction(values=values, kind=OutputKind.METRIC, mask=mask)


def test_a_wall_in_known_metres_is_beyond_doubt():
    rating = rated(None, wall(), said(wall()), scale(0.02))

    assert rating.min() > 0.95


@pytest.mark.parametrize(
    ("sigma_rel", "least", "most"),
    [(math.nan, 1.0, 1.0), (0.02, 0.99, 1.0), (0.25, 0.6, 0.65), (0.62, 0.25, 0.3)],
)
def test_metres_are_believed_as_far_as_they_are_known(sigma_rel, least, most):
    assert least <= scale_is_right(scale(sigma_rel)) <= most
    assert scale_is_right(scale(sigma_rel, conflict="ground and model differ")) <= 0.3


def test_metres_that_nothing_measured_lie_below_the_gate_the_far_ones_more():
    depth_m = wall()
    depth_m[:, :30] = 1.0

    rating = rated(None, depth_m, said(depth_m), scale(0.62, state="assumed"))

    assert 0.0 < rating.max() < GATE
    assert rating[:, :25].min() > 1.5 * rating[:, 35:].max()


def test_the_agreement_of_views_ranks_pixels_as_far_as_the_scale_is_known():
    views = wall(depth_m=0.9)
    views[:, :30] = 0.1

    measured, assumed = (rated(views, wall(), said(wall()), scale(sigma)) for sigma in (0.02, 0.62))

    assert measured[0, 50] / measured[0, 10] > 8.0
    assert 1.0 < assumed[0, 50] / assumed[0, 10] < 1.5


def test_what_is_seen_beside_a_near_thing_is_doubted_and_the_thing_is_not():
    """The smeared edge of a post: its near pixels keep their confidence."""
    depth_m = wall()
    depth_m[:, 28:32] = 1.0
    depth_m[:, 27] = depth_m[:, 32] = 2.0

    kept = near_jumps(depth_m)

    assert (kept[:, 28:32] == 1.0).all()
    assert (kept[:, 27] < GATE).all()
    assert (kept[:, 32:34] < GATE).all()
    assert (kept[:, :24] == 1.0).all()


def test_a_floor_is_no_jump():
    rows = torch.arange(40.0)[:, None].expand(40, 60)

    kept = near_jumps(30.0 / (rows + 10.0))

    assert kept[20:].min() > 0.7


def test_an_unknown_pixel_lowers_nothing_around_it():
    depth_m = wall()
    depth_m[20, 30] = torch.nan

    assert near_jumps(depth_m).tolist() == wall(depth_m=1.0).tolist()


def mirror(behind_m):
    """Return depth of a wall with a mirror where a depth camera sees nothing, and the hole."""
    depth_m, is_hole = wall(), torch.zeros(40, 60, dtype=torch.bool)
    is_hole[10:30, 20:40] = True
    depth_m[is_hole] = behind_m
    return depth_m, is_hole


def test_the_room_behind_a_pane_is_doubted_and_its_frame_is_kept():
    depth_m, is_hole = mirror(behind_m=6.0)

    rating = rated(None, depth_m, said(depth_m, is_hole), scale(), completed="sensor_depth")

    assert (rating[12:28, 22:38] < GATE).all()
    assert (rating[~is_hole] == 1.0).all()


def test_a_hole_that_is_filled_as_its_rim_is_half_believed():
    depth_m, is_hole = mirror(behind_m=3.0)

    kept = filled_holes(depth_m, is_hole)

    assert (kept[is_hole] == 0.5).all()
    assert (kept[~is_hole] == 1.0).all()


def test_the_shadow_of_an_edge_is_no_glass():
    """Thin gaps along edges are as good as what lies around them."""
    depth_m, is_hole = wall(), torch.zeros(40, 60, dtype=torch.bool)
    is_hole[:, 30] = True

    assert (filled_holes(depth_m, is_hole) == 1.0).all()


def test_the_agreement_of_views_and_the_clarity_of_the_image_count_on_the_pixels_of_depth():
    rating = rated(wall(20, 30, 0.8), wall(), said(wall()), scale(), clarity=0.5)

    torch.testing.assert_close(rating, wall(depth_m=0.4))


def test_without_metres_the_rating_stays_as_it_is():
    values, rating = wall(), wall(depth_m=0.7)
    status = ScaleStatus(source="none", state="uninitialised")

    assert rated(rating, None, said(values), status) is rating
    assert rated(None, None, said(values), status) is None
    assert rated(None, None, said(values), status, clarity=0.0).max() == 0.0

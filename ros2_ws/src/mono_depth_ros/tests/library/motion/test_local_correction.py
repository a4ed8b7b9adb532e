"""Depth that agrees with points of the camera's motion, and what they may not do to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.data import Intrinsics, MotionPoints
from mono_depth.motion.local_correction import corrected
from mono_depth.motion.point_choice import chosen_points

CAMERA = Intrinsics.of_view(224, 160, 70.0)
WALL_M, THING_M = 6.0, 3.0
THING = (slice(50, 120), slice(90, 130))  # rows and columns


def view():
    depth_m = torch.full((160, 224), WALL_M)
    depth_m[THING] = THING_M
    return depth_m


def grid_of(rows, columns, step=10):
    v, u = np.mgrid[rows.start + 5 : rows.stop : step, columns.start + 5 : columns.stop : step]
    return np.stack((u.ravel(), v.ravel()), 1).astype(float)


def on_thing():
    return grid_of(*THING)


def on_wall():
    everywhere = grid_of(slice(0, 160), slice(0, 224), step=14)
    rows, columns = THING
    u, v = everywhere.T
    is_thing = (u > columns.start - 4) & (u < columns.stop + 4)
    is_thing &= (v > rows.start - 4) & (v < rows.stop + 4)
    return everywhere[~is_thing]


def points(*parts, moving=(), unknown=()):
    """Return points of some pixels, each part at one depth."""
    pixels = np.concatenate([part[0] for part in parts])
    depth_m = np.concatenate([np.full(len(part[0]), part[1]) for part in parts])
    return MotionPoints(
        pixels=pixels,
        depth_m=depth_m,
        sigma_rel=np.full(len(pixels), 0.02),
        views=np.full(len(pixels), 4, np.intp),
        age_s=np.zeros(len(pixels)),
        moving=np.reshape(np.asarray(moving, float), (-1, 2)),
        unknown=np.reshape(np.asarray(unknown, float), (-1, 2)),
    )


def factors(found):
    """Return how many times farther thing and wall have become, away from their edges."""
    change = found / view()
    return float(change[60:110, 98:122].median()), float(change[20:140, 160:210].median())


def most(found):
    """Return how many times farther the most pushed pixel of the thing is."""
    return float((found / view())[THING].max())


def test_what_has_no_points_of_its_own_keeps_its_distance_where_all_about_it_is_pushed():
    found = corrected(view(), points((on_wall(), 1.3 * WALL_M)), CAMERA)
    thing, wall = factors(found)
    assert thing == pytest.approx(1.0, abs=1e-4)
    assert most(found) < 1.02
    assert wall == pytest.approx(1.3, abs=0.03)


def test_what_has_no_points_of_its_own_comes_nearer_with_what_is_about_it():
    thing, wall = factors(corrected(view(), points((on_wall(), 0.7 * WALL_M)), CAMERA))
    assert wall == pytest.approx(0.7, abs=0.03)
    assert thing < 0.85


def test_what_rests_is_pushed_by_points_of_its_own_as_far_as_its_surroundings_are():
    known = points((on_wall(), 1.3 * WALL_M), (on_thing(), 1.3 * THING_M))
    thing, wall = factors(corrected(view(), known, CAMERA))
    assert thing == pytest.approx(1.3, abs=0.04)
    assert wall == pytest.approx(1.3, abs=0.03)


@pytest.mark.parametrize("too_far", [1.2, 1.33, 1.7, 2.5])
def test_what_moves_along_with_the_camera_is_not_pushed_however_many_points_say_so(too_far):
    known = points((on_wall(), WALL_M), (on_thing(), too_far * THING_M))
    assert most(corrected(view(), known, CAMERA)) < 1.03


def test_what_moves_before_a_ground_of_like_depth_is_not_pushed_farther_than_that():
    floor = grid_of(slice(120, 160), slice(40, 180))
    depth_m = view()
    depth_m[120:, 40:180] = THING_M
    known = points((on_wall(), WALL_M), (floor, 1.1 * THING_M), (on_thing(), 1.5 * THING_M))
    found = corrected(depth_m, known, CAMERA)
    assert float((found / depth_m)[50:110, 98:122].max()) < 1.13


@pytest.mark.parametrize("kind", ["moving", "unknown"])
def test_corners_that_move_or_tell_no_depth_keep_a_thing_from_being_pushed(kind):
    few = on_thing()[::4]
    others = {kind: on_thing()[1::2]}
    known = points((on_wall(), 1.3 * WALL_M), (few, 1.3 * THING_M), **others)
    assert most(corrected(view(), known, CAMERA)) < 1.03


def test_one_point_brings_a_thing_nearer_and_two_do_not_push_it():
    alone = np.array([[110.0, 85.0]])
    known = points((on_wall(), WALL_M), (alone, 0.6 * THING_M))
    assert factors(corrected(view(), known, CAMERA))[0] < 0.85
    known = points((on_wall(), 1.2 * WALL_M), (np.repeat(alone, 2, 0), 1.2 * THING_M))
    assert most(corrected(view(), known, CAMERA)) < 1.03


def test_a_corner_at_an_edge_may_be_of_either_side():
    edge = np.array([[90.0, 60.0 + 8 * i] for i in range(8)])
    known = points((on_wall(), WALL_M), (edge, WALL_M), (edge, THING_M))
    thing, wall = factors(corrected(view(), known, CAMERA))
    assert (thing, wall) == (pytest.approx(1.0, abs=0.02), pytest.approx(1.0, abs=0.02))


def test_points_that_contradict_a_measured_scale_bring_nearer_only():
    farther = points((on_wall(), 1.4 * WALL_M), (on_thing(), 1.4 * THING_M))
    found = corrected(view(), farther, CAMERA, most_middle=0.1)
    torch.testing.assert_close(found, view())
    nearer = points((on_wall(), 0.7 * WALL_M), (on_thing(), 0.7 * THING_M))
    thing, wall = factors(corrected(view(), nearer, CAMERA, most_middle=0.1))
    assert (thing, wall) == (pytest.approx(0.7, abs=0.03), pytest.approx(0.7, abs=0.03))


def test_holes_stay_and_a_handful_of_points_changes_nothing():
    depth_m = view()
    depth_m[:20] = torch.nan
    found = corrected(depth_m, points((on_wall(), 1.2 * WALL_M)), CAMERA)
    assert torch.equal(found.isnan(), depth_m.isnan())
    assert corrected(depth_m, points((on_wall()[:5], 1.0)), CAMERA) is depth_m


def test_the_image_may_be_larger_than_the_map():
    large = CAMERA.scaled_to(448, 320)
    known = points((2.0 * on_wall() + 0.5, 1.3 * WALL_M))
    thing, wall = factors(corrected(view(), known, large))
    assert (thing, wall) == (pytest.approx(1.0, abs=1e-3), pytest.approx(1.3, abs=0.03))


def test_of_many_points_those_are_chosen_that_are_spread_and_a_small_near_thing_keeps_its_own():
    rng = np.random.default_rng(2)
    crowd = rng.uniform((20, 20), (60, 60), (400, 2))
    pole = np.array([[111.0, 40.0], [111.0, 60.0]])
    known = points((on_wall(), WALL_M), (crowd, WALL_M), (pole, 2.0))
    few = chosen_points(known, CAMERA, 128)
    assert len(few) == len(set(few)) == 128
    assert np.isin(np.arange(len(known) - 2, len(known)), few).any()
    chosen = known.pixels[few]
    assert ((chosen > 18) & (chosen < 62)).all(1).sum() < 40
    assert len(chosen_points(known, CAMERA, 1000)) == len(known)


def floor(height_m=0.5):
    """Return a floor below the middle row, and a thing that stands on it without a gap."""
    row = torch.arange(160.0)[:, None].expand(160, 224)
    depth_m = (CAMERA.fy * height_m / (row - 79.5).clamp(min=3.0)).clamp(max=8.0)
    foot_m = float(depth_m[THING[0].stop, 0])
    depth_m = depth_m.clone()
    depth_m[THING] = foot_m
    return depth_m


def known_floor(depth_m, factor, columns=(20, 36, 60, 160, 180, 200)):
    """Return a few points of the floor, on either side of the thing and far from one another."""
    pixels = np.array([[u, v] for u in columns for v in range(100, 156, 6)], float)
    seen_m = depth_m[pixels[:, 1].astype(int), pixels[:, 0].astype(int)].numpy()
    return MotionPoints(
        pixels=pixels,
        depth_m=factor * seen_m.astype(float),
        sigma_rel=np.full(len(pixels), 0.02),
        views=np.full(len(pixels), 4, np.intp),
        age_s=np.zeros(len(pixels)),
    )


def test_points_of_a_floor_speak_for_all_of_it_and_not_for_what_stands_on_it():
    depth_m = floor()
    change = corrected(depth_m, known_floor(depth_m, 1.2), CAMERA) / depth_m
    assert float(change[125:150, 40].median()) == pytest.approx(1.2, abs=0.03)
    assert float(change[125:150, 180].min()) > 1.15
    assert float(change[55:110, 94:126].max()) < 1.02


def test_a_thing_without_texture_keeps_its_distance_before_a_floor_that_is_pushed_all_around_it():
    depth_m = floor()
    depth_m[40:70, 150:190] = 1.5  # nothing below it recedes
    change = corrected(depth_m, known_floor(depth_m, 1.3), CAMERA) / depth_m
    assert float(change[40:70, 150:190].max()) < 1.02


@pytest.mark.parametrize("kind", ["moving", "unknown"])
def test_a_floor_does_not_speak_for_what_has_corners_of_its_own_that_may_move(kind):
    depth_m = floor()
    known = known_floor(depth_m, 1.2, columns=(8, 76, 160, 180, 200))
    here = np.array([[u, v] for u in (36.0, 44.0) for v in (122.0, 130.0, 138.0)])
    change = corrected(depth_m, replace(known, **{kind: here}), CAMERA) / depth_m
    assert float(change[128:133, 38:43].max()) < 1.03
    assert float(change[125:150, 180].median()) == pytest.approx(1.2, abs=0.03)

"""What points of the camera's motion may do to things that move, and what they do to the rest."""

import numpy as np
import pytest

from mono_depth.evaluation.promises.bounds import missed
from mono_depth.evaluation.promises.motion_drives import (
    DriveError,
    all_drive_errors,
    drive_errors,
    drive_rows,
    markdown,
)
from mono_depth.evaluation.promises.motion_movers import (
    WAYS,
    MoverError,
    drive,
    mover_error,
    mover_rows,
)
from mono_depth.models.loading import load_model
from mono_depth.recordings.open import open_sequence


@pytest.fixture(scope="module")
def nano():
    return load_model("nano")


def test_too_far_is_beyond_the_truth_and_beyond_depth_without_motion():
    error = MoverError(off=np.array([0.8, 1.5, 1.5]), on=np.array([1.0, 1.5, 2.0]))
    np.testing.assert_allclose(error.over, [1 / 1.03, 1 / 1.03, 2.0 / 1.545])


def test_the_bounds_of_drives_are_in_raw_metres_and_percent():
    good = DriveError(abs_rel=0.09, near_bias=-0.01)
    found = {"synthetic:office/robot/1/640x480": {"off": good, "auto": good}}
    rows = drive_rows(found)
    assert [(row.where, row.value, row.limit) for row in rows] == [
        ("office/robot/1", 0.09, 0.10),
        ("office/robot/1", 1.0, 2.0),
    ]
    assert markdown(found).splitlines()[-1] == (
        "| office/robot/1/640x480 | 0.090 | 0.090 | -1.0 % | -1.0 % |"
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["walks ahead", "crosses"])
def test_what_moves_is_not_pushed_away(nano, way):
    frames = drive("office", 1, WAYS[way], size=(160, 120), frames=16)
    error = mover_error(frames, nano, least_pixels=60)
    assert len(error.on) > 3
    assert error.over.max() <= 1.0


@pytest.mark.slow
def test_a_walk_through_a_room_is_seen_truer(nano):
    walk = open_sequence("synthetic:room/handheld/1/320x240", "auto").thinned(most=18)
    found = drive_errors(walk, nano, first=14)
    assert found["auto"].abs_rel < found["off"].abs_rel


@pytest.mark.acceptance
def test_nothing_that_moves_is_pushed_away():
    assert missed(mover_rows()) == []


@pytest.mark.acceptance
def test_drives_are_seen_truer_with_motion():
    found = all_drive_errors()
    assert all(errors["auto"].abs_rel < errors["off"].abs_rel for errors in found.values())

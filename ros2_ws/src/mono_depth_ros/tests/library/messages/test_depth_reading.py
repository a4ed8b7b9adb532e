"""Depth in the wrong unit is refused; values that stand for "none" are holes."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth.errors import FrameError
from mono_depth.messages.depth_reading import read_metres

MAX_M = 50.0
ROOM_M = (  # a floor and a wall, from 0.8 to 4.4 m
    np.minimum(np.linspace(0.8, 6.0, 120)[::-1, None], 4.0)
    + np.linspace(0.0, 0.4, 160)
    + np.random.default_rng(1).normal(0.0, 0.003, (120, 160))
).astype(np.float32)


def millimetres(depth_m: np.ndarray, per_m: float = 1000.0) -> np.ndarray:
    return np.round(depth_m * per_m).astype(np.uint16)


def test_a_room_is_read_as_it_is() -> None:
    for stored, encoding in ((ROOM_M, "32FC1"), (millimetres(ROOM_M), "16UC1")):
        reading = read_metres(stored, encoding, MAX_M)
        np.testing.assert_allclose(reading.depth_m, ROOM_M, atol=6e-4)
        assert reading.doubt == ""


@pytest.mark.parametrize(
    ("stored", "encoding", "text"),
    [
        (
            ROOM_M * 1000,
            "32FC1",
            r"32FC1 is metres \(REP 118\), .* 3\d{3} m, .*it were millimetres",
        ),
        (ROOM_M * 10_000, "32FC1", r"3\d{4} m, .*if it were 0.1 mm: publish 32FC1 in metres or"),
        (ROOM_M * 100, "32FC1", r"3\d\d m, .*3.\d* m if it were centimetres"),
        (millimetres(ROOM_M, 1.0), "16UC1", r"16UC1 is millimetres .* 0.00\d m, .*it were metres"),
        (
            millimetres(ROOM_M, 14_000.0),
            "16UC1",
            "16UC1 is millimetres .* 50.7 m, 5.07 m if it were 0",
        ),
    ],
)
def test_another_unit_is_refused_with_the_median(
    stored: np.ndarray, encoding: str, text: str
) -> None:
    with pytest.raises(FrameError, match=text):
        read_metres(stored, encoding, MAX_M)


def test_far_landscapes_are_no_wrong_unit_where_max_depth_allows_them() -> None:
    assert read_metres(ROOM_M * 60, "32FC1", 400.0).doubt == ""


@pytest.mark.parametrize("none", [10.0, 20.0, 65.535, 100.0, 1e6, 3.0e38])
@pytest.mark.parametrize("share", [0.05, 0.27, 0.6])
def test_a_far_clip_in_place_of_holes_is_no_depth(none: float, share: float) -> None:
    is_hole = np.random.default_rng(2).random(ROOM_M.shape) < share
    reading = read_metres(np.where(is_hole, np.float32(none), ROOM_M), "32FC1", MAX_M)
    np.testing.assert_array_equal(np.isnan(reading.depth_m), is_hole)
    assert f"% of its depth is exactly {none:.6g} m: a far clip" in reading.doubt


def test_a_far_clip_in_millimetres_is_no_depth() -> None:
    is_hole = np.random.default_rng(2).random(ROOM_M.shape) < 0.27
    reading = read_metres(millimetres(np.where(is_hole, 10.0, ROOM_M)), "16UC1", MAX_M)
    np.testing.assert_array_equal(np.isnan(reading.depth_m), is_hole)


@pytest.mark.parametrize(
    "depth_m",
    [
        np.full((120, 160), 4.0),
        np.minimum(np.linspace(0.8, 6.0, 120)[::-1, None] + np.zeros(160), 4.0),
        np.where(np.arange(160) < 40, 2.0, 2.5) + np.zeros((120, 1)),
    ],
    ids=["nothing but a wall", "a wall behind a floor", "a box before a near wall"],
)
def test_a_wall_is_no_far_clip(depth_m: np.ndarray) -> None:
    reading = read_metres(millimetres(depth_m), "16UC1", MAX_M)
    assert np.isfinite(reading.depth_m).all()
    assert reading.doubt == ""


def test_what_lies_beyond_max_depth_is_no_depth() -> None:
    depth_m = np.where(np.arange(160) % 50 == 0, 70.0 + np.arange(160), ROOM_M).astype(np.float32)
    reading = read_metres(depth_m, "32FC1", MAX_M)
    np.testing.assert_array_equal(np.isnan(reading.depth_m), depth_m > MAX_M)


def test_without_a_limit_nothing_is_doubted() -> None:
    reading = read_metres(ROOM_M * 1000, "32FC1")
    np.testing.assert_array_equal(reading.depth_m, ROOM_M * 1000)

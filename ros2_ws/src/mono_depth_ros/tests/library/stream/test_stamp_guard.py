"""Judging the stamps of a stream."""

from __future__ import annotations

import contextlib

import pytest

from mono_depth.config import StreamConfig
from mono_depth.errors import FrameError
from mono_depth.stream.stamp_guard import StampGuard

CONFIG = StreamConfig(reset_gap_s=1.0, late_s=0.5)
SECOND = 1_000_000_000


def verdicts(*stamps_s: float) -> list[str]:
    """Return "" or the reason to forget, or "refused: ..." for each stamp."""
    guard, told = StampGuard(), []
    for stamp_s in stamps_s:
        try:
            told.append(guard.admit(round(stamp_s * SECOND), CONFIG))
        except FrameError as error:
            told.append(f"refused: {error}")
    return told


LATE = "refused: the frame is late: its stamp goes back by "
REPEATED = "refused: the stamp repeats that of the frame before"


@pytest.mark.parametrize(
    ("stamps_s", "expected"),
    [
        ([10.0, 10.1, 10.2], ["", "", ""]),
        ([10.0, 11.0], ["", ""]),  # a gap as long as the limit
        ([10.0, 11.5, 11.6], ["", "no frame for 1.500 s", ""]),
        ([10.0, 10.0, 10.1], ["", REPEATED, ""]),
        ([10.0, 10.2, 10.1, 10.3], ["", "", f"{LATE}0.100 s", ""]),
        ([10.0, 9.5, 10.1], ["", f"{LATE}0.500 s", ""]),
        ([10.0, 9.4, 9.5], ["", "the clock jumped back by 0.600 s", ""]),
        ([3600.0, 0.1, 0.2], ["", "the clock jumped back by 3599.900 s", ""]),
        # late frames do not move the newest stamp: the gap is from 10.0
        ([10.0, 9.9, 11.05], ["", f"{LATE}0.100 s", "no frame for 1.050 s"]),
        # the first stamp may be anything but zero
        (
            [0.0, 0.1],
            ["refused: the stamp is zero: the camera driver does not stamp its images", ""],
        ),
        ([-1.0], ["refused: the stamp is zero: the camera driver does not stamp its images"]),
    ],
)
def test_each_stamp_is_judged_by_the_newest_before_it(stamps_s, expected):
    assert verdicts(*stamps_s) == expected


def test_nanoseconds_are_told_apart():
    guard = StampGuard()
    now_ns = 1_700_000_000 * SECOND

    assert guard.admit(now_ns, CONFIG) == ""
    assert guard.admit(now_ns + 1, CONFIG) == ""
    with pytest.raises(FrameError, match="repeats"):
        guard.admit(now_ns + 1, CONFIG)


def test_a_clock_set_back_a_little_costs_two_images():
    assert verdicts(10.0, 9.7, 9.8, 9.9, 10.0)[2:] == [
        f"{LATE}0.200 s",
        "the clock jumped back by 0.100 s",
        "",
    ]


def test_one_stamp_far_ahead_is_told_from_a_jump_by_the_next():
    guard = StampGuard()
    changes = []
    for stamp_s in (10.0, 1010.0, 10.1, 10.2):
        guard.admit(round(stamp_s * SECOND), CONFIG)
        changes.append(guard.change and guard.change.is_return)

    assert changes == [None, False, True, None]


def test_the_longest_step_counts_images_that_were_received_and_not_taken():
    guard = StampGuard()
    for stamp_s in (10.0, 10.1, 10.2, 10.9, 11.0):
        guard.admit(round(stamp_s * SECOND), CONFIG)

    assert guard.longest_step_s(10 * SECOND, 11 * SECOND) == pytest.approx(0.7)
    assert guard.longest_step_s(round(10.9 * SECOND), 11 * SECOND) == pytest.approx(0.1)


def test_refused_images_are_counted_by_kind():
    guard = StampGuard()
    for stamp_s in (10.0, 0.0, 10.0, 9.9, 10.1, 0.0):
        with contextlib.suppress(FrameError):
            guard.admit(round(stamp_s * SECOND), CONFIG)

    assert guard.refusals() == "of 6 images 2 without a stamp, 1 repeated, 1 late"

from __future__ import annotations

from itertools import pairwise

from mono_depth_ros.autopilot.pace import Pace


def pace() -> Pace:
    return Pace(min_rate_hz=10.0, max_rate_hz=20.0, max_age_s=0.4)


def sent_at(times_s, *, stamps_s, ticks_s) -> list[float]:
    """Play scans that come at `times_s` and ticks of the timer; return when something was sent."""
    rate, newest, out = pace(), None, []
    scans = [(t, s) for t, s in zip(times_s, stamps_s, strict=True)]
    events = sorted([*scans, *((t, None) for t in ticks_s)], key=lambda event: event[0])
    for now_s, stamp_s in events:
        newest = stamp_s if stamp_s is not None else newest
        if newest is not None and rate.is_due(newest, now_s, is_new=stamp_s is not None):
            out.append(now_s)
    return out


def test_a_scan_goes_out_when_it_comes():
    assert sent_at([1.0], stamps_s=[0.95], ticks_s=[]) == [1.0]


def test_scans_that_come_too_fast_are_thinned():
    times = [1.0 + 0.01 * i for i in range(100)]

    assert 18 <= len(sent_at(times, stamps_s=times, ticks_s=[])) <= 20


def test_slow_scans_are_repeated_to_keep_the_rate():
    times, ticks = [1.0 + 0.3 * i for i in range(10)], [1.0 + 0.05 * i for i in range(60)]

    out = sent_at(times, stamps_s=times, ticks_s=ticks)

    assert max(b - a for a, b in pairwise(out)) <= 0.101


def test_a_scan_that_is_old_ends_in_silence():
    ticks = [1.0 + 0.05 * i for i in range(60)]

    assert 1.35 <= sent_at([1.0], stamps_s=[1.0], ticks_s=ticks)[-1] <= 1.41


def test_a_stamp_of_the_future_is_not_sent():
    assert sent_at([1.0], stamps_s=[1.5], ticks_s=[]) == []


def test_a_clock_that_is_set_back_does_not_silence_it():
    rate = pace()

    assert rate.is_due(100.0, 100.0, is_new=True)
    assert rate.is_due(5.0, 5.0, is_new=True)

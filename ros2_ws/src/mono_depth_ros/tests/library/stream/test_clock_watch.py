"""One rule for all inputs: was the clock set anew, or is a single stamp wrong?"""

import pytest

from mono_depth.stream.clock_watch import ClockWatch

SECOND = 1_000_000_000


def steps(*stamps_s, period_s=0.1, arrivals_s=None):
    """Return the names of the steps of stamps that arrive one each period."""
    watch = ClockWatch()
    arrivals_s = arrivals_s or [i * period_s for i in range(len(stamps_s))]
    return [
        watch.judge(round(stamp_s * SECOND), arrived_s=arrived_s).name
        for stamp_s, arrived_s in zip(stamps_s, arrivals_s, strict=True)
    ]


@pytest.mark.parametrize(
    ("situation", "stamps_s", "expected"),
    [
        ("stamps that rise", [10.0, 10.1, 10.2], "NEXT NEXT NEXT"),
        ("one late stamp", [10.0, 10.1, 10.05, 10.2], "NEXT NEXT LATE NEXT"),
        ("a stamp that stays", [10.0] * 5, "NEXT LATE LATE LATE LATE"),
        ("late ones between", [10.0, 9.9, 10.1, 10.0, 10.2], "NEXT LATE NEXT LATE NEXT"),
        ("set back by 0.3 s", [10.0, 9.8, 9.9, 9.95, 10.05], "NEXT LATE LATE JUMP NEXT"),
        ("set back by 3 s", [10.0, 7.1, 7.2], "NEXT JUMP NEXT"),
        ("set back by 100 s", [1000.0, 900.1, 900.2], "NEXT JUMP NEXT"),
        ("set ahead by 3 s", [10.0, 13.1, 13.2], "NEXT JUMP NEXT"),
        ("set ahead by 100 s", [10.0, 110.1, 110.2], "NEXT JUMP NEXT"),
        ("a simulation reset", [77.0, 0.0, 0.1], "NEXT JUMP NEXT"),
        ("one stamp 1000 s ahead", [10.0, 1010.0, 10.2, 10.3], "NEXT JUMP RETURN NEXT"),
        ("one stamp 5 s back", [10.0, 5.0, 10.2, 10.3], "NEXT JUMP RETURN NEXT"),
        ("one stamp of 0", [10.0, 0.0, 10.2, 10.3], "NEXT JUMP RETURN NEXT"),
        ("ahead at the start", [1010.0, 10.0, 10.1], "NEXT JUMP NEXT"),
        (
            "a loop of 2 s",
            [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0],
            "NEXT NEXT NEXT JUMP NEXT NEXT JUMP",
        ),
    ],
)
def test_what_a_stamp_says_about_its_clock(situation, stamps_s, expected):
    assert " ".join(steps(*stamps_s)) == expected


def test_after_a_long_silence_the_series_goes_on():
    assert steps(10.0, 70.0, 70.1, arrivals_s=[0.0, 60.0, 60.1]) == ["NEXT"] * 3


def test_a_bag_played_slowly_or_paused_goes_on():
    assert steps(10.0, 10.1, 10.2, arrivals_s=[0.0, 5.0, 65.0]) == ["NEXT"] * 3


def test_an_input_slower_than_the_jump_is_known_by_when_it_came():
    """Set back by 1.2 s at 0.66 s a stamp: the third lies after the first, but came too late."""
    assert steps(10.0, 9.46, 10.12, arrivals_s=[0.0, 0.66, 1.32]) == ["NEXT", "JUMP", "NEXT"]

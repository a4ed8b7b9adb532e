"""Stamped items of one clock, told of jumps by their own stamps or by another input."""

from mono_depth.stream.clock_watch import ClockChange
from mono_depth.stream.timeline import Timeline

SECOND = 1_000_000_000


def filled(*stamps_s, **limits):
    line = Timeline(**limits)
    for stamp_s in stamps_s:
        add(line, stamp_s)
    return line


def add(line, *stamps_s):
    for stamp_s in stamps_s:
        line.add(round(stamp_s * SECOND), f"at {stamp_s:g}")


def kept(line):
    return [item.removeprefix("at ") for _, item in line.items]


def change(from_s, to_s, *, is_return=False):
    return ClockChange(
        from_ns=round(from_s * SECOND), to_ns=round(to_s * SECOND), is_return=is_return
    )


def test_what_was_before_a_jump_of_its_own_stamps_is_gone():
    assert kept(filled(10.0, 10.1, 7.0, 7.1)) == ["7", "7.1"]


def test_a_single_wrong_stamp_costs_nothing_but_itself():
    assert kept(filled(10.0, 10.1, 1010.0, 10.2, 10.3)) == ["10", "10.1", "10.2", "10.3"]


def test_while_a_wrong_stamp_may_be_a_jump_nothing_of_before_is_found():
    assert kept(filled(10.0, 10.1, 1010.0)) == ["1010"]


def test_an_image_that_shows_the_jump_first_takes_the_past_away():
    line = filled(10.0, 10.1)

    assert line.follow(change(10.1, 7.0))

    assert kept(line) == []
    add(line, 7.05, 7.1)
    assert kept(line) == ["7.05", "7.1"]


def test_an_image_that_shows_the_jump_last_takes_nothing_away():
    line = filled(10.0, 10.1, 7.0, 7.1)

    assert not line.follow(change(10.1, 7.05))

    assert kept(line) == ["7", "7.1"]


def test_items_of_the_old_clock_still_on_their_way_are_gone_when_the_new_ones_come():
    line = filled(10.0)
    line.follow(change(10.0, 7.0))

    add(line, 10.1, 7.1, 7.2)

    assert kept(line) == ["7.1", "7.2"]


def test_a_clock_set_ahead_keeps_what_lies_there_already():
    line = filled(10.0, 10.1, 110.0)

    line.follow(change(10.1, 110.05))

    assert kept(line) == ["110"]


def test_when_the_image_was_wrong_all_comes_back_with_what_came_meanwhile():
    line = filled(10.0, 10.1)
    line.follow(change(10.1, 1010.0))
    add(line, 10.2)

    assert line.follow(change(1010.0, 10.25, is_return=True))

    assert kept(line) == ["10", "10.1", "10.2"]
    add(line, 10.3)
    assert kept(line)[-1] == "10.3"


def test_a_jump_of_what_the_items_say_is_told_from_a_single_wrong_item():
    def goes_on(last, new):
        return abs(float(new[1]) - float(last[1])) < 1.0

    line = Timeline(goes_on=goes_on)
    for stamp, value in enumerate((0.0, 0.5, 9.0, 0.8)):
        line.add(stamp * 10**8, value)
    assert [value for _, value in line.items] == [0.0, 0.5, 0.8]

    for stamp, value in enumerate((9.0, 9.5), 4):
        line.add(stamp * 10**8, value)
    assert [value for _, value in line.items] == [9.0, 9.5]


def test_only_the_newest_are_kept():
    assert kept(filled(1.0, 1.1, 1.2, max_items=2)) == ["1.1", "1.2"]
    assert kept(filled(1.0, 1.5, 2.0, keep_s=0.6)) == ["1.5", "2"]

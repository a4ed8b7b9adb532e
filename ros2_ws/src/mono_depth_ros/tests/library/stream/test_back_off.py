"""Pauses grow while attempts fail, and end with the first success."""

from mono_depth.stream.back_off import BackOff


class Clock:
    """A time that stands still until it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_four_failures_in_a_row_pause_nothing():
    back_off = BackOff(clock_s=Clock())

    assert not any(back_off.on_failure() for _ in range(4))

    assert not back_off.is_paused
    assert not back_off.on_success()
    assert back_off.failures == 0


def test_the_fifth_failure_pauses_for_a_second_and_each_further_one_twice_as_long_up_to_a_cap():
    clock = Clock()
    back_off = BackOff(clock_s=clock, longest_s=10.0)
    pauses_s = []
    for _ in range(10):
        if back_off.on_failure():
            pauses_s.append(back_off.pause_s)
            assert back_off.is_paused
            clock.now_s += back_off.pause_s
            assert not back_off.is_paused

    assert pauses_s == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_success_ends_the_pauses_and_tells_that_there_was_one():
    clock = Clock()
    back_off = BackOff(clock_s=clock)
    for _ in range(6):
        back_off.on_failure()
    clock.now_s = 2.5

    assert back_off.on_success()

    assert (back_off.failures, back_off.pause_s, back_off.is_paused) == (0, 0.0, False)
    assert not back_off.on_failure()


def test_a_thousand_failures_overflow_nothing():
    back_off = BackOff(clock_s=Clock())
    for _ in range(2000):
        back_off.on_failure()
    assert back_off.pause_s == 30.0

"""Frames of several threads use a GPU side by side; who wants it alone waits, and is waited for."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
import torch

from mono_depth.system.gpu_turns import GpuTurns

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
_SHORT_S, _LONG_S = 0.05, 10.0


@pytest.fixture
def turns():
    return GpuTurns()


@contextmanager
def at_once(block):
    """Enter a block in another thread; yield an event that is set once it is entered."""
    is_in, may_end = threading.Event(), threading.Event()

    def run():
        with block():
            is_in.set()
            assert may_end.wait(_LONG_S)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield is_in
    finally:
        may_end.set()
        thread.join(_LONG_S)
        assert not thread.is_alive()


@contextmanager
def after_a_capture(turns):
    with turns.alone():
        pass
    yield


def test_frames_are_side_by_side(turns):
    with turns.frame(GPU), at_once(lambda: turns.frame(GPU)) as other:
        assert other.wait(_LONG_S)


def test_a_capture_waits_for_the_frames_at_work_and_later_frames_for_it(turns):
    with at_once(lambda: turns.frame(GPU)) as frame:
        assert frame.wait(_LONG_S)
        capture_in = at_once(turns.alone)
        capture = capture_in.__enter__()
        assert not capture.wait(_SHORT_S)
        later_in = at_once(lambda: turns.frame(GPU))
        later = later_in.__enter__()
        assert not later.wait(_SHORT_S)  # else frames without a gap would leave it no turn
    assert capture.wait(_LONG_S)
    assert not later.wait(_SHORT_S)
    capture_in.__exit__(None, None, None)
    assert later.wait(_LONG_S)
    later_in.__exit__(None, None, None)


def test_a_frame_that_captures_itself_is_set_aside_meanwhile(turns):
    with turns.frame(GPU), turns.frame(GPU):
        with turns.alone(), turns.alone(), turns.frame(GPU):
            pass
        with at_once(lambda: after_a_capture(turns)) as captured:
            assert not captured.wait(_SHORT_S)
            with turns.building(GPU):
                assert captured.wait(_LONG_S)


def test_two_frames_that_both_capture_do_not_wait_for_each_other_for_ever(turns):
    @contextmanager
    def frame_with_capture():
        with turns.frame(GPU), after_a_capture(turns):
            pass
        yield

    with turns.frame(GPU), at_once(frame_with_capture) as other, turns.alone():
        pass
    assert other.wait(_LONG_S)


def test_a_cpu_has_no_turns(turns):
    with turns.alone(), at_once(lambda: turns.frame(CPU)) as frame:
        assert frame.wait(_LONG_S)


def test_a_frame_that_fails_ends_its_turn(turns):
    with pytest.raises(ValueError, match="broken"), turns.frame(GPU):
        raise ValueError("broken")
    with pytest.raises(ValueError, match="broken"), turns.alone():
        raise ValueError("broken")
    with at_once(turns.alone) as capture:
        assert capture.wait(_LONG_S)


def test_engines_are_built_one_after_the_other(turns):
    first = turns.building(GPU)
    first.__enter__()
    with at_once(lambda: turns.building(GPU)) as other:
        assert not other.wait(_SHORT_S)
        first.__exit__(None, None, None)
        assert other.wait(_LONG_S)

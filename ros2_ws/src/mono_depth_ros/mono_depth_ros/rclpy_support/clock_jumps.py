"""Jumps of the ROS clock: a simulation that is reset, a bag that starts over."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, JumpHandle, JumpThreshold, TimeJump
from rclpy.duration import Duration

from mono_depth.stream.clock_watch import ClockChange

_BACK = Duration(nanoseconds=-100_000_000)  # by less it may be a /clock message out of order


def clock_jumps(clock: Clock, on_jump: Callable[[ClockChange], None]) -> JumpHandle:
    """Tell `on_jump` when the clock goes back, until the handle is unregistered.

    A clock that goes ahead is told from a silent robot by the stamps of the messages only.
    """

    def told(jump: TimeJump) -> None:
        step_ns = jump.delta.nanoseconds
        to_ns = clock.now().nanoseconds
        if step_ns < 0:
            on_jump(ClockChange(from_ns=to_ns - step_ns, to_ns=to_ns))

    threshold = JumpThreshold(min_forward=None, min_backward=_BACK, on_clock_change=False)
    return clock.create_jump_callback(threshold, post_callback=told)

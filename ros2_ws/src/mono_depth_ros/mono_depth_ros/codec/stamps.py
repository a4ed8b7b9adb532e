"""Stamps of messages."""

from __future__ import annotations

from rclpy.time import Time
from std_msgs.msg import Header

from mono_depth.errors import FrameError


def stamp_ns(header: Header) -> int:
    """Return the stamp in nanoseconds.

    Raises:
        FrameError: it lies before the epoch, which rclpy has no time for.
    """
    if header.stamp.sec < 0:
        raise FrameError(f"the stamp is negative: {header.stamp.sec} s")
    return int(Time.from_msg(header.stamp).nanoseconds)

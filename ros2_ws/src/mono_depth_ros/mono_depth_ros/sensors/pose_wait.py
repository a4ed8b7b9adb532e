"""Lets an image wait a moment for odometry that lags, where that is known to help."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_ALIVE_S = 1.0  # an image waits for odometry only if some came within this time


class PoseWait:
    """Learns how far odometry is behind the images. Told by one thread, asked by another.

    Odometry that is as late as the longest wait, or of another clock, is not waited for.

    Args:
        reach_ns: returns the last stamp that a pose is known for, None = there is none.
    """

    def __init__(self, reach_ns: Callable[[], int | None]) -> None:
        self._reach_ns = reach_ns
        self._changed = threading.Condition()
        self._heard_s = float("-inf")
        self._is_waiting = False
        self._short_s: float | None = None  # of the image before; None = to be learned

    def on_odometry(self) -> None:
        """Note that poses came in."""
        self._heard_s = time.monotonic()
        if self._is_waiting:
            with self._changed:
                self._changed.notify()

    def wait_for(self, at_ns: int, max_wait_s: float) -> None:
        """Return when a pose at a stamp is known, or is not to be expected in time."""
        short_s, expected_s = self._short(at_ns), self._short_s
        self._short_s = short_s
        is_alive = time.monotonic() - self._heard_s < _ALIVE_S
        if short_s == 0.0 or not is_alive or expected_s is None:
            return
        if max(short_s, expected_s) > max_wait_s:
            return
        with self._changed:
            self._is_waiting = True
            came = self._changed.wait_for(lambda: self._short(at_ns) == 0.0, max_wait_s)
            self._is_waiting = False
        if not came:
            self._short_s = None  # it stopped, or is slower than learned: look before waiting

    def _short(self, at_ns: int) -> float:
        reach_ns = self._reach_ns()
        return float("inf") if reach_ns is None else max(0.0, (at_ns - reach_ns) * 1e-9)

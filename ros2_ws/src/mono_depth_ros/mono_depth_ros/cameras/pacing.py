"""Keeps a rate without drift."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Waits for the next of equally spaced moments.

    A moment that was missed by more than a period is given up instead of being made up for in a
    burst.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self._next_s: float | None = None

    def wait(self, stop: threading.Event) -> bool:
        """Sleep until the next moment; return False if `stop` was set meanwhile."""
        now_s = time.monotonic()
        if self._next_s is None or now_s - self._next_s > self._period_s:
            self._next_s = now_s
        stopped = stop.wait(max(0.0, self._next_s - now_s))
        self._next_s += self._period_s
        return not stopped

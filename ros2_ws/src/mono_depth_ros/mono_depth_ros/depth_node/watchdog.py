"""Watches over work that may never come back, from a thread that nothing else can hold up."""

from __future__ import annotations

import threading
from collections.abc import Callable

_PERIOD_S = 0.2


class Watchdog:
    """Calls `on_hung(seconds)` once when one piece of work takes longer than the limit.

    Args:
        busy_s: tells how long the work at hand takes so far [s], 0 = there is none.
        limit_s: tells the limit of this moment [s], 0 = none.
        on_hung: told how long the work took.
    """

    def __init__(
        self,
        *,
        busy_s: Callable[[], float],
        limit_s: Callable[[], float],
        on_hung: Callable[[float], None],
    ) -> None:
        self._busy_s, self._limit_s, self._on_hung = busy_s, limit_s, on_hung
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            busy_s, limit_s = self._busy_s(), self._limit_s()
            if 0.0 < limit_s < busy_s:
                self._on_hung(busy_s)
                return

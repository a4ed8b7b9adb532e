"""Lets a message through once per period, counted separately for each cause."""

from __future__ import annotations

import re
import time

_MAX_CAUSES = 200
_NUMBER = re.compile(r"\d+(\.\d+)?")


class Throttle:
    """Tells whether a message is due. Messages that differ in numbers only have one cause."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last_s: dict[str, float] = {}

    def is_due(self, message: str) -> bool:
        """Return True once per period for each cause."""
        cause, now_s = _NUMBER.sub("#", message), time.monotonic()
        last_s = self._last_s.get(cause)
        if last_s is not None and now_s - last_s < self._period_s:
            return False
        if len(self._last_s) >= _MAX_CAUSES:
            self._last_s.clear()
        self._last_s[cause] = now_s
        return True

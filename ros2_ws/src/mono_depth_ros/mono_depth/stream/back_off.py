"""Pauses that grow while what is tried fails."""

from __future__ import annotations

import time
from collections.abc import Callable


class BackOff:
    """Lets attempts fail a few times in a row, then makes them wait: 1 s, 2 s, ... up to a cap.

    Args:
        patience: failures in a row before the first pause.
        first_s: the first pause; each further failure doubles it.
        longest_s: no pause is longer.
        clock_s: tells the time [s].
    """

    def __init__(
        self,
        *,
        patience: int = 5,
        first_s: float = 1.0,
        longest_s: float = 30.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience, self._first_s, self._longest_s = patience, first_s, longest_s
        self._clock_s = clock_s
        self._until_s = 0.0
        self.failures = 0  # in a row
        self.pause_s = 0.0  # the newest one, 0 = none since the last success

    @property
    def is_paused(self) -> bool:
        """Whether nothing should be tried now."""
        return self.pause_s > 0.0 and self._clock_s() < self._until_s

    def on_failure(self) -> bool:
        """Count a failure. Return whether a pause begins."""
        self.failures += 1
        beyond = self.failures - self._patience
        if beyond < 0:
            return False
        self.pause_s = min(self._longest_s, self._first_s * 2.0 ** min(beyond, 60))
        self._until_s = self._clock_s() + self.pause_s
        return True

    def on_success(self) -> bool:
        """Begin anew. Return whether there was a pause before."""
        was_paused = self.pause_s > 0.0
        self.failures, self.pause_s = 0, 0.0
        return was_paused

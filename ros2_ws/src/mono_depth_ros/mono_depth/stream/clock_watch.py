"""Tells a clock that was set anew from single stamps that are wrong: the one rule for all inputs.

A bag that loops, a simulation that is reset, a clock that is set by NTP: stamps then go on from
another moment, and what was received before belongs to another clock. A single wrong stamp looks
the same when it comes; the stamp after it tells the two apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum

LATE_S = 0.5  # a stamp that goes back by at most this is late
LATE_IN_A_ROW = 3  # late stamps in a row that rise are a clock that was set back a little
_AHEAD_NS = 1_000_000_000  # beyond the time that passed: farther ahead the clock was set


class Step(Enum):
    """What a stamp says about its clock."""

    NEXT = "the series goes on"
    LATE = "it is not newer than the newest: leave it out"
    JUMP = "the clock was set anew: what was before belongs to another clock"
    RETURN = "the stamp before it was wrong: the series before that one goes on"


@dataclass(frozen=True, kw_only=True)
class ClockChange:
    """A jump of the clock as one input tells it to all others, or that there was none after all."""

    from_ns: int  # newest stamp before the jump
    to_ns: int  # first stamp after it
    is_return: bool = False  # the jump before was a single wrong stamp


_Seen = tuple[int, float]  # a stamp [ns], and when it came, of a steady clock [s]


class ClockWatch:
    """Follows the stamps of one series, in the order of their arrival."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Take the next stamp for the first."""
        self._newest: _Seen | None = None
        self._before: _Seen | None = None  # newest before a jump that one stamp alone tells of
        self._late_ns, self._late_count = 0, 0

    def judge(
        self, stamp_ns: int, *, late_s: float = LATE_S, arrived_s: float | None = None
    ) -> Step:
        """Take in the next stamp.

        Args:
            stamp_ns: of any clock.
            late_s: a stamp that goes back by at most this is late; one that goes back farther
                is a jump at once.
            arrived_s: when it came, of a steady clock; None = now.
        """
        seen = stamp_ns, time.monotonic() if arrived_s is None else arrived_s
        newest = self._newest
        if newest is None:
            return self._accept(seen, Step.NEXT)
        if self._before is not None and _fits_better(seen, self._before, newest):
            return self._accept(seen, Step.RETURN)
        step_ns = stamp_ns - newest[0]
        if 0 < step_ns <= _AHEAD_NS + (seen[1] - newest[1]) * 1e9:
            return self._accept(seen, Step.NEXT)
        if -late_s * 1e9 <= step_ns <= 0 and not self._is_set_back(stamp_ns):
            return Step.LATE
        return self._accept(seen, Step.JUMP)

    def _accept(self, seen: _Seen, step: Step) -> Step:
        self._before = self._newest if step is Step.JUMP else None
        self._newest = seen
        self._late_count = 0
        return step

    def _is_set_back(self, late_ns: int) -> bool:
        """Count late stamps in a row that rise."""
        rises = self._late_count > 0 and late_ns > self._late_ns
        self._late_count = self._late_count + 1 if rises else 1
        self._late_ns = late_ns
        return self._late_count >= LATE_IN_A_ROW


def _fits_better(seen: _Seen, before: _Seen, newest: _Seen) -> bool:
    """Tell whether a stamp goes on from the one before a jump rather than from the one after."""
    return seen[0] > before[0] and _astray_s(seen, before) < _astray_s(seen, newest)


def _astray_s(seen: _Seen, last: _Seen) -> float:
    return abs((seen[0] - last[0]) * 1e-9 - (seen[1] - last[1]))

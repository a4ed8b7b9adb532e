"""Judges the stamps of a stream: late frames, repeated frames, gaps and clock jumps."""

from __future__ import annotations

import threading
from collections import Counter, deque

from mono_depth.config import StreamConfig
from mono_depth.errors import FrameError
from mono_depth.stream.clock_watch import ClockChange, ClockWatch, Step

_KEPT = 1000  # steps; more images do not come while one is in work


class StampGuard:
    """Remembers the newest stamp of one stream.

    Every image that is received counts, whether or not a slow network takes it. Filled by one
    thread; `longest_step_s` may be asked by another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Take the next stamp for the first: the clock is known to have been set anew."""
        self._watch = ClockWatch()
        self._received = 0
        self._refused: Counter[str] = Counter()
        self._newest_ns: int | None = None
        self.change: ClockChange | None = None  # that the last stamp shows
        with self._lock:
            self._steps: deque[tuple[int, float]] = deque(maxlen=_KEPT)

    def admit(self, stamp_ns: int, config: StreamConfig, *, arrived_s: float | None = None) -> str:
        """Accept the next stamp.

        Args:
            stamp_ns: of the image.
            config: what is late, and what is a gap.
            arrived_s: when it came, of a steady clock; None = now.

        Returns:
            "" if the stream goes on; else why its past must be forgotten.

        Raises:
            FrameError: the frame is unstamped, repeated or late.
        """
        self.change = None
        self._received += 1
        if stamp_ns <= 0:
            self._refused["without a stamp"] += 1
            raise FrameError("the stamp is zero: the camera driver does not stamp its images")
        previous_ns = self._newest_ns
        step = self._watch.judge(stamp_ns, late_s=config.late_s, arrived_s=arrived_s)
        step_s = 0.0 if previous_ns is None else (stamp_ns - previous_ns) * 1e-9
        if step is Step.LATE:
            self._refused["late" if step_s else "repeated"] += 1
            if step_s == 0.0:
                raise FrameError("the stamp repeats that of the frame before")
            raise FrameError(f"the frame is late: its stamp goes back by {-step_s:.3f} s")
        self._newest_ns = stamp_ns
        if previous_ns is not None and step in (Step.JUMP, Step.RETURN):
            is_return = step is Step.RETURN
            self.change = ClockChange(from_ns=previous_ns, to_ns=stamp_ns, is_return=is_return)
        is_back = step is Step.JUMP and step_s <= 0.0
        with self._lock:
            if is_back:
                self._steps.clear()
            self._steps.append((stamp_ns, max(step_s, 0.0)))
        if step is Step.RETURN:
            return f"the stamp of the frame before was wrong: this one is {-step_s:+.3f} s from it"
        if is_back:
            return f"the clock jumped back by {-step_s:.3f} s"
        if step_s > config.reset_gap_s:
            return f"no frame for {step_s:.3f} s"
        return ""

    def refusals(self) -> str:
        """Return how many images of how many were refused, by kind."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._refused.items())
        return f"of {self._received} images {kinds}"

    def longest_step_s(self, after_ns: int, until_ns: int) -> float:
        """Return the longest time between two images in a row, from one stamp to another."""
        with self._lock:
            steps = list(self._steps)
        return max((step_s for at_ns, step_s in steps if after_ns < at_ns <= until_ns), default=0.0)

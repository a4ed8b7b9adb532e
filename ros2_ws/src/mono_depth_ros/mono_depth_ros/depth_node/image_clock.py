"""How far the stamps of images are from the clock of the node."""

from __future__ import annotations

import math

from rclpy.clock import Clock

NO_CLOCK = "use_sim_time is on, nothing came on /clock"

_SAME_CLOCK_S = 60.0  # a stamp farther from the clock is not of it
_AHEAD_S = 0.1  # a stamp may be ahead of a clock that is told in steps, or of another computer


class ImageClock:
    """Latencies, where stamps and the node's clock are of one kind; else a word with numbers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.problem = ""  # why the latency of the newest frame is unknown, "" = it is known

    @property
    def is_missing(self) -> bool:
        """Whether time is simulated, and nobody told it."""
        return bool(self._clock.ros_time_is_active) and self._clock.now().nanoseconds == 0

    def latency_s(self, stamp_ns: int) -> float:
        """Return the time from a stamp to now, NaN where they cannot be compared."""
        now_ns = self._clock.now().nanoseconds
        late_s = (now_ns - stamp_ns) * 1e-9
        self.problem = _problem(stamp_ns * 1e-9, now_ns * 1e-9)
        return math.nan if self.problem else max(late_s, 0.0)


def _problem(stamp_s: float, now_s: float) -> str:
    late_s = now_s - stamp_s
    if now_s == 0.0:
        return NO_CLOCK
    if -_AHEAD_S <= late_s <= _SAME_CLOCK_S:
        return ""
    numbers = f"images are stamped {stamp_s:.3f} s, the node's clock says {now_s:.3f} s"
    hint = "their latency is unknown"
    if late_s > _SAME_CLOCK_S:
        hint += ": stamps since boot, or a recording without use_sim_time"
    return f"{numbers}: {hint}"

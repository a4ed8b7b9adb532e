"""When a message is due: as fast as scans come, within a rate, and never when they are old."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Pace:
    """Keeps the rate of what is sent. Times are seconds of one clock.

    A scan goes out when it comes. Between two that are far apart the newest goes out again, for an
    autopilot takes half a second of silence for no sensor; once it is older than `max_age_s`
    nothing goes out, for that is what the silence of a scan is there to say.
    """

    min_rate_hz: float
    max_rate_hz: float
    max_age_s: float
    _last_sent_s: float = float("-inf")

    def is_fresh(self, stamp_s: float, now_s: float) -> bool:
        """Tell whether a scan may be used; one from the future is as wrong as an old one."""
        return abs(now_s - stamp_s) <= self.max_age_s

    def is_due(self, stamp_s: float, now_s: float, *, is_new: bool) -> bool:
        """Tell whether a scan is to be sent now, and take it for sent."""
        if now_s < self._last_sent_s:  # the clock was set back
            self._last_sent_s = float("-inf")
        pause_s = 1.0 / self.max_rate_hz if is_new else 0.5 / self.min_rate_hz
        is_due = self.is_fresh(stamp_s, now_s) and now_s - self._last_sent_s >= 0.99 * pause_s
        if is_due:
            self._last_sent_s = now_s
        return is_due

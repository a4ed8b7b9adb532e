"""What becomes of the messages of one input: received, refused, used for images, or why not."""

from __future__ import annotations

import time

_TAI_AHEAD_OF_UTC_S = 37.0
_OTHER_CLOCK_S = 1e8  # three years: no delay, another origin of time
_FORGOTTEN_S = 10.0  # names that alternated longer ago than this do so no more
_ALTERNATIONS = 3  # changes of a name that are no restart of a driver


class Tally:
    """Counts of one input. Filled by the executor thread and, for each image, by the worker.

    Args:
        name: of the input, as the README lists it.
        off: why it is not subscribed to, "" = it is.
    """

    def __init__(self, name: str, off: str = "") -> None:
        self.name, self.topic, self.off = name, name, off
        self.received = self.used = self.refused = 0
        self.newest_ns: int | None = None  # stamp of the newest message
        self.refusal = ""  # why the newest message that was refused was
        self.reason = ""  # why the newest image went without, "" = it did not
        self._heard_s = 0.0
        self._missed_s: tuple[float, float] | None = None  # first and newest image without

    def hear(self, at_ns: int, heard_s: float | None = None) -> None:
        """Count a message; one that came before now says when, of the monotonic clock."""
        self.received += 1
        self.newest_ns = at_ns
        self._heard_s = time.monotonic() if heard_s is None else heard_s

    def refuse(self, reason: str) -> None:
        """Count a message that cannot be used."""
        self.refused += 1
        self.refusal = reason

    def join(self, problem: str) -> None:
        """Note whether an image got what it could from this input; "" = it did."""
        self.reason = problem
        if not problem:
            self.used += 1
            self._missed_s = None
            return
        now_s = time.monotonic()
        self._missed_s = (now_s if self._missed_s is None else self._missed_s[0]), now_s

    @property
    def silence(self) -> str:
        """Why there is nothing to use: the newest refusal, else that nothing came."""
        if self.refusal:
            return self.refusal
        topic = "" if self.topic == self.name else f" ({self.topic})"
        since = " since the clock was set anew" if self.received else ""
        return f"no message received on {self.name}{topic}{since}"

    @property
    def unused_s(self) -> float:
        """Time over which images came and none got anything from this input."""
        missed_s = self._missed_s
        return 0.0 if missed_s is None else missed_s[1] - missed_s[0]

    @property
    def age_s(self) -> float | None:
        """Time since the newest message, None = there was none."""
        return time.monotonic() - self._heard_s if self.received else None


class Alternation:
    """Notices names that take turns, as of two drivers on one topic. For names that changed."""

    def __init__(self) -> None:
        self._names = ("", "")
        self._changes, self._changed_s = 0, float("-inf")

    def changed(self, before: str, now: str) -> None:
        """Note that a name is another one than before."""
        now_s = time.monotonic()
        is_recent = now_s - self._changed_s < _FORGOTTEN_S
        self._changes = self._changes + 1 if is_recent else 1
        self._names, self._changed_s = (before, now), now_s

    @property
    def names(self) -> tuple[str, str] | None:
        """The names that take turns, sorted; None = none do."""
        if self._changes < _ALTERNATIONS or time.monotonic() - self._changed_s > _FORGOTTEN_S:
            return None
        first, second = sorted(self._names)
        return first, second


def apart(other_ns: int, image_ns: int) -> str:
    """Say how far a stamp lies from that of an image, and of which clocks that is typical."""
    off_s = (other_ns - image_ns) * 1e-9
    said = f"{abs(off_s):.2f} s {'ahead of' if off_s > 0 else 'behind'} the image"
    if other_ns == 0:
        return f"{said}: its stamp is 0"
    if image_ns == 0:
        return f"{said}, whose stamp is 0"
    if abs(off_s) > _OTHER_CLOCK_S:
        return f"{said}: one of the two clocks counts since boot?"
    if round(abs(off_s)) == _TAI_AHEAD_OF_UTC_S:
        return f"{said}: TAI is 37 s ahead of UTC, one clock is set by PTP?"
    return said

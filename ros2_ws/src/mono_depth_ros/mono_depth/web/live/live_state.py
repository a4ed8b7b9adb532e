"""The newest of each channel, made into bytes only when somebody looks, and once for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

CHANNELS = ("camera", "depth", "points", "scan", "landmarks", "status")
_SHARE_OF_NEWEST = 0.2  # of the time between two, in their mean


@dataclass(kw_only=True)
class Sample:
    """One message of a channel; its bytes are made when they are first asked for."""

    seq: int
    stamp_ns: int  # of the image that it is of
    arrived_s: float  # by the steady clock
    make: Callable[[], bytes]
    lock: threading.Lock = field(default_factory=threading.Lock)
    content: bytes | None = None

    def encoded(self) -> bytes:
        """Return its bytes."""
        with self.lock:
            if self.content is None:
                self.content = self.make()
            return self.content


class LiveState:
    """What a page shows. Whoever puts something in never waits for who looks at it."""

    def __init__(self) -> None:
        self._samples: dict[str, Sample] = {}
        self._period_s: dict[str, float] = {}
        self._watched: list[frozenset[str]] = []
        self._lock = threading.Lock()
        self.is_closed = False

    def put(self, channel: str, make: Callable[[], bytes], stamp_ns: int) -> None:
        """Replace the newest of a channel.

        Args:
            channel: one of `CHANNELS`.
            make: returns its bytes, on another thread, if somebody looks; else it is never called.
            stamp_ns: of the image that it is of.
        """
        now_s = time.monotonic()
        with self._lock:
            before = self._samples.get(channel)
            if before is not None:
                period_s = now_s - before.arrived_s
                mean_s = self._period_s.get(channel, period_s)
                self._period_s[channel] = mean_s + _SHARE_OF_NEWEST * (period_s - mean_s)
            seq = 1 if before is None else before.seq + 1
            self._samples[channel] = Sample(seq=seq, stamp_ns=stamp_ns, arrived_s=now_s, make=make)

    def newest(self, channel: str) -> Sample | None:
        """Return the newest of a channel, None = nothing came yet."""
        return self._samples.get(channel)

    def forget(self, channels: Iterable[str]) -> None:
        """Drop what is no longer listened to, so that nobody takes it for new."""
        with self._lock:
            for channel in channels:
                self._samples.pop(channel, None)
                self._period_s.pop(channel, None)

    @property
    def viewers(self) -> int:
        """How many look now."""
        return len(self._watched)

    def wanted(self) -> frozenset[str]:
        """Return the channels that somebody looks at."""
        with self._lock:
            return frozenset().union(*self._watched)

    @contextmanager
    def watching(self, channels: Iterable[str]) -> Iterator[None]:
        """Count as one who looks at some channels."""
        looked_at = frozenset(channels) & frozenset(CHANNELS)
        with self._lock:
            self._watched.append(looked_at)
        try:
            yield
        finally:
            with self._lock:
                self._watched.remove(looked_at)

    def summary(self) -> dict[str, Any]:
        """Return which message of each channel is the newest, how old it is, and its rate."""
        now_s = time.monotonic()
        with self._lock:
            samples, periods_s = dict(self._samples), dict(self._period_s)
        return {
            "viewers": self.viewers,
            "channels": {
                name: {
                    "seq": sample.seq,
                    "stamp_ns": str(sample.stamp_ns),  # more digits than JavaScript keeps
                    "age_s": round(now_s - sample.arrived_s, 3),
                    "rate_hz": _rate(periods_s.get(name)),
                }
                for name, sample in samples.items()
            },
        }

    def close(self) -> None:
        """Let all who look go."""
        self.is_closed = True


def _rate(period_s: float | None) -> float | None:
    return None if not period_s else round(1.0 / period_s, 2)

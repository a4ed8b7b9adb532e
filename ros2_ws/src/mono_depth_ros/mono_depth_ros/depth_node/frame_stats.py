"""Counts every frame and its time. No frame vanishes: received = published + dropped + skipped."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

_WINDOW = 300  # frames that rates and percentiles look back


@dataclass(frozen=True, kw_only=True)
class StatsReport:
    """A consistent copy of the counters at one moment. Percentiles are NaN without frames."""

    received: int
    published: int
    dropped: int  # a newer image came before the worker was free
    skipped: int  # unusable, see last_skip
    idle: int  # part of skipped: nothing subscribed to any output
    resets: int
    last_skip: str
    last_reset: str
    input_fps: float
    output_fps: float
    latency_p50_ms: float
    latency_p99_ms: float
    stage_p50_ms: Mapping[str, float] = field(default_factory=dict)
    stage_p99_ms: Mapping[str, float] = field(default_factory=dict)
    nan_ratio: float
    silent_s: float  # time since the last image, or since the start
    busy_s: float  # time the worker has spent on the frame in work, 0 = waiting


class FrameStats:
    """Counters shared by the executor thread and the worker thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"received": 0, "published": 0, "dropped": 0, "skipped": 0, "idle": 0}
        self._resets, self._last_skip, self._last_reset = 0, "", ""
        self._arrivals_s: deque[float] = deque(maxlen=_WINDOW)
        self._outputs_s: deque[float] = deque(maxlen=_WINDOW)
        self._latency_ms: deque[float] = deque(maxlen=_WINDOW)
        self._stage_ms: dict[str, deque[float]] = {}
        self._nan_ratio = float("nan")
        self._last_arrival_s = time.monotonic()
        self._busy_since_s: float | None = None

    def on_received(self) -> None:
        """Count an image that arrived."""
        with self._lock:
            self._counts["received"] += 1
            self._last_arrival_s = time.monotonic()
            self._arrivals_s.append(self._last_arrival_s)

    def on_dropped(self) -> None:
        """Count an image that a newer one replaced."""
        with self._lock:
            self._counts["dropped"] += 1

    def on_started(self) -> None:
        """Note that the worker began a frame."""
        with self._lock:
            self._busy_since_s = time.monotonic()

    def busy_s(self) -> float:
        """Return how long the worker has been at the frame in work [s], 0 = it waits."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def on_skipped(self, reason: str, *, idle: bool = False) -> None:
        """Count a frame that gave no output."""
        with self._lock:
            self._busy_since_s = None
            self._counts["skipped"] += 1
            self._counts["idle"] += idle
            self._last_skip = self._last_skip if idle else reason

    def on_refused(self, reason: str) -> None:
        """Count an image that is not handed to the worker."""
        with self._lock:
            self._counts["skipped"] += 1
            self._last_skip = reason

    def on_reset(self, reason: str) -> None:
        """Count that the past of the stream was forgotten."""
        with self._lock:
            self._resets += 1
            self._last_reset = reason

    def on_published(
        self, *, latency_ms: float, stage_ms: Mapping[str, float], nan_ratio: float | None
    ) -> None:
        """Count a frame whose outputs went out."""
        with self._lock:
            self._busy_since_s = None
            self._counts["published"] += 1
            self._outputs_s.append(time.monotonic())
            if not math.isnan(latency_ms):
                self._latency_ms.append(latency_ms)
            for stage, value_ms in stage_ms.items():
                if math.isnan(value_ms):
                    continue
                self._stage_ms.setdefault(stage, deque(maxlen=_WINDOW)).append(value_ms)
            if nan_ratio is not None:
                self._nan_ratio = nan_ratio

    def report(self) -> StatsReport:
        """Return the counters of this moment."""
        with self._lock:
            now_s = time.monotonic()
            busy_since_s = self._busy_since_s
            return StatsReport(
                **self._counts,
                resets=self._resets,
                last_skip=self._last_skip,
                last_reset=self._last_reset,
                input_fps=_rate(self._arrivals_s, now_s),
                output_fps=_rate(self._outputs_s, now_s),
                latency_p50_ms=_percentile(self._latency_ms, 50),
                latency_p99_ms=_percentile(self._latency_ms, 99),
                stage_p50_ms={key: _percentile(ms, 50) for key, ms in self._stage_ms.items()},
                stage_p99_ms={key: _percentile(ms, 99) for key, ms in self._stage_ms.items()},
                nan_ratio=self._nan_ratio,
                silent_s=now_s - self._last_arrival_s,
                busy_s=0.0 if busy_since_s is None else now_s - busy_since_s,
            )


def _rate(times_s: deque[float], now_s: float, window_s: float = 5.0) -> float:
    recent = [moment for moment in times_s if now_s - moment <= window_s]
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return 0.0
    return (len(recent) - 1) / (recent[-1] - recent[0])


def _percentile(values: Iterable[float], percent: float) -> float:
    known = list(values)
    return float(np.percentile(known, percent)) if known else float("nan")

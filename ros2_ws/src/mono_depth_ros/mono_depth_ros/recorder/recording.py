"""What a recorder has seen: when each message arrived, and small copies to look at later."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import cpu_count
from typing import Any

import numpy as np

from mono_depth.data import DepthImage, RgbImage

_PATIENCE_NS = 5 * 10**9  # depth that takes longer does not get into the video


@dataclass(kw_only=True)
class Moment:
    """Everything that carries one stamp, reduced in size."""

    stamp_ns: int
    rgb: RgbImage | None = None  # (h, w, 3)
    depth: DepthImage | None = None  # (h, w) metres, or inverse depth without unit
    is_metric: bool = True
    cloud: DepthImage | None = None  # (h, w, 3 or 4) as the PointCloud2: x y z rgb

    @property
    def is_complete(self) -> bool:
        """Tell whether there is a camera image and its depth."""
        return self.rgb is not None and self.depth is not None


@dataclass(frozen=True, kw_only=True)
class _Diagnosis:
    """Counters of the node and of the recorder at one moment."""

    published: int
    dropped: int
    received_here: int


@dataclass
class Channel:
    """Arrivals of one topic."""

    stamps_ns: list[int] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    def add(self, stamp_ns: int, arrival_ns: int) -> None:
        """Note one message."""
        self.stamps_ns.append(stamp_ns)
        self.latencies_ms.append((arrival_ns - stamp_ns) * 1e-6)

    @property
    def rate_hz(self) -> float | None:
        """Mean rate by stamps, None with fewer than two messages."""
        span_ns = max(self.stamps_ns, default=0) - min(self.stamps_ns, default=0)
        return (len(self.stamps_ns) - 1) * 1e9 / span_ns if span_ns > 0 else None

    def summary(self) -> dict[str, Any]:
        """Return count, rate and latency from stamp to arrival."""
        p50, p99, worst = (
            np.percentile(self.latencies_ms, (50, 99, 100)).round(2).tolist()
            if self.latencies_ms
            else (None, None, None)
        )
        return {
            "frames": len(self.stamps_ns),
            "rate_hz": None if self.rate_hz is None else round(self.rate_hz, 3),
            "latency_p50_ms": p50,
            "latency_p99_ms": p99,
            "latency_max_ms": worst,
        }


class Recording:
    """Pairs messages by their exact stamp and counts what is missing.

    Args:
        max_moments: paired moments that are kept to look at; later ones are only counted.
    """

    def __init__(self, *, max_moments: int) -> None:
        self.channels = {name: Channel() for name in ("camera", "depth", "points")}
        self._moments: dict[int, Moment] = {}
        self._young: deque[Moment] = deque()  # those that may still become complete
        self._max_moments = max_moments
        self._first_diagnosis: _Diagnosis | None = None
        self._last_diagnosis: _Diagnosis | None = None
        self.facts: dict[str, str] = {}

    def moment(self, stamp_ns: int) -> Moment | None:
        """Return the moment of a stamp to be filled, None once enough are kept."""
        known = self._moments.get(stamp_ns)
        if known is None:
            self._forget_unanswered(stamp_ns)
            if len(self.complete_moments()) < self._max_moments:
                known = self._moments[stamp_ns] = Moment(stamp_ns=stamp_ns)
                self._young.append(known)
        return known

    def complete_moments(self) -> list[Moment]:
        """Return the kept moments that have image and depth, in the order of their stamps."""
        complete = [moment for moment in self._moments.values() if moment.is_complete]
        return sorted(complete, key=lambda moment: moment.stamp_ns)[: self._max_moments]

    def on_diagnosis(self, values: Mapping[str, str]) -> None:
        """Note what the depth node says of itself."""
        self.facts |= values
        if "published" in values:
            self._last_diagnosis = _Diagnosis(
                published=int(values["published"]),
                dropped=int(values["dropped"]),
                received_here=len(self.channels["depth"].stamps_ns),
            )
            self._first_diagnosis = self._first_diagnosis or self._last_diagnosis

    def dropped(self) -> int | None:
        """Count images that the node passed over for a newer one; None without diagnostics."""
        first, last = self._first_diagnosis, self._last_diagnosis
        return None if first is None or last is None else last.dropped - first.dropped

    def lost(self) -> int | None:
        """Count depth images that the node published and that did not arrive here.

        None without diagnostics. Exact when the stream was quiet at the first and at the last
        diagnostic message, else a frame on its way may count.
        """
        first, last = self._first_diagnosis, self._last_diagnosis
        if first is None or last is None:
            return None
        published = last.published - first.published
        return max(0, published - (last.received_here - first.received_here))

    def unanswered(self) -> int:
        """Count camera images seen here, up to the last depth, whose depth did not come."""
        answered = set(self.channels["depth"].stamps_ns)
        last_ns = max(answered, default=0)
        return sum(
            stamp_ns <= last_ns and stamp_ns not in answered
            for stamp_ns in self.channels["camera"].stamps_ns
        )

    def summary(self) -> dict[str, Any]:
        """Return all measurements in a form that JSON can hold."""
        return {
            **{name: channel.summary() for name, channel in self.channels.items()},
            "dropped": self.dropped(),
            "lost": self.lost(),
            "unanswered": self.unanswered(),
            "kept_moments": len(self.complete_moments()),
            "model": self.facts.get("model"),
            "device": self.facts.get("device"),
            "scale": {
                **{key: self.facts.get(f"scale_{key}") for key in ("source", "state", "reason")},
                "planner_use": self.facts.get("planner_use"),
            },
            "node": {key: value for key, value in sorted(self.facts.items()) if "_ms" in key},
            "machine": {"cpu": platform.machine(), "cores": cpu_count(), "os": platform.platform()},
        }

    def _forget_unanswered(self, stamp_ns: int) -> None:
        """Drop images whose depth never came, so that they do not fill the memory."""
        while self._young and stamp_ns - self._young[0].stamp_ns > _PATIENCE_NS:
            moment = self._young.popleft()
            if not moment.is_complete:
                del self._moments[moment.stamp_ns]

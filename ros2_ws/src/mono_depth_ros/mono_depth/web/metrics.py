"""Counters of the server in the text form of Prometheus."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_STATM = Path("/proc/self/statm")


class Metrics:
    """What happened since the start. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._images, self._runs, self._seconds = 0, 0, 0.0

    def answered(self, route: str, status: int) -> None:
        """Count an answer; `route` is one of few, whatever a client asks for."""
        with self._lock:
            self._answers[route, status] += 1

    def found_depth(self, images: int, seconds: float) -> None:
        """Count images whose depth was found in one go."""
        with self._lock:
            self._images += images
            self._runs += images > 0
            self._seconds += seconds

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return all of it, and gauges by name, each with what it says."""
        with self._lock:
            answers, images, seconds = dict(self._answers), self._images, self._seconds
            runs = self._runs
        lines = [
            "# HELP mono_depth_requests_total Answers by route and status.",
            "# TYPE mono_depth_requests_total counter",
            *(
                f'mono_depth_requests_total{{route="{route}",status="{status}"}} {count}'
                for (route, status), count in sorted(answers.items())
            ),
            "# HELP mono_depth_image_seconds Time to find the depth of an image.",
            "# TYPE mono_depth_image_seconds summary",
            f"mono_depth_image_seconds_sum {seconds:.6f}",
            f"mono_depth_image_seconds_count {images}",
            "# HELP mono_depth_runs_total Times that images were worked on, one or several alike.",
            "# TYPE mono_depth_runs_total counter",
            f"mono_depth_runs_total {runs}",
        ]
        gauges = {**gauges, "resident_bytes": ("Memory of the process.", resident_bytes())}
        for name, (meaning, value) in gauges.items():
            lines += [
                f"# HELP mono_depth_{name} {meaning}",
                f"# TYPE mono_depth_{name} gauge",
                f"mono_depth_{name} {value:g}" if value < 1e6 else f"mono_depth_{name} {value:.0f}",
            ]
        return "\n".join([*lines, ""])


def resident_bytes() -> float:
    """Return the memory that this process holds, NaN where the system does not tell."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return float("nan")
    return float(pages * os.sysconf("SC_PAGE_SIZE"))

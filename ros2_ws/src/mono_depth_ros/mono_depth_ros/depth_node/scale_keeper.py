"""Writes the newest measured scale to disk, beside the stream and never in its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.scale.held_scale import HeldScale, HeldScales

_PERIOD_S = 30.0  # a memory card outlives it, and no more drift than this is lost
_END_S = 1.0  # a write that takes longer is not waited for


class ScaleKeeper:
    """Keeps the scale of the pipelines that it is shown. Used by the executor thread alone.

    A disk may take seconds to write, and images come on the thread that this is called on: so
    each write has a thread of its own, one at a time.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        """`tell` is told, once, why nothing can be kept."""
        self._tell = tell
        self._problem = ""
        self._kept: HeldScale | None = None
        self._kept_s = 0.0  # when, on the monotonic clock
        self._thread: threading.Thread | None = None

    def follow(self, pipeline: DepthPipeline | None) -> None:
        """Write what `pipeline` has measured, if the last time was long ago."""
        if self._kept is None or time.monotonic() - self._kept_s > _PERIOD_S:
            self._write(pipeline)

    def finish(self, pipeline: DepthPipeline | None) -> None:
        """Write what `pipeline` has measured last; it measures no more for now."""
        self._wait()
        self._write(pipeline)
        self._wait()

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join(_END_S)

    def _write(self, pipeline: DepthPipeline | None) -> None:
        if pipeline is None or pipeline.held_scales is None:
            return
        measured = pipeline.measured_scale
        is_busy = self._thread is not None and self._thread.is_alive()
        if measured is None or measured is self._kept or is_busy:
            return
        self._kept, self._kept_s = measured, time.monotonic()
        self._thread = threading.Thread(
            target=self._store,
            args=(pipeline.held_scales, measured),
            name="scale-keeper",
            daemon=True,
        )
        self._thread.start()

    def _store(self, scales: HeldScales, measured: HeldScale) -> None:
        try:
            scales.store(measured)
        except OSError as error:
            problem = f"the measured scale cannot be kept in {scales.folder}: {error.strerror}"
            if not self._problem:
                self._tell(f"{problem}; the next run begins without it")
            self._problem = problem

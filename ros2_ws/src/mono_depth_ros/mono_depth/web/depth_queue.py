"""One worker, and a queue before it that never grows beyond its bound."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from mono_depth.web.api_error import NOT_READY, QUEUE_FULL, ApiError

Result = TypeVar("Result")

_FIRST_GUESS_S = 1.0
_SHARE_OF_NEWEST = 0.2


class DepthQueue:
    """Runs work on one thread; place is taken before a body is read, so memory is bounded."""

    def __init__(self, waiting: int) -> None:
        """Let `waiting` requests wait behind the one in work."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="depth")
        self._places = waiting + 1
        self._taken = 0
        self._mean_s = _FIRST_GUESS_S
        self._started_s: float | None = None
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many requests are being uploaded, wait, or are in work."""
        return self._taken

    @property
    def busy_s(self) -> float:
        """How long the work that runs now has run, 0 = none does."""
        started_s = self._started_s
        return 0.0 if started_s is None else time.monotonic() - started_s

    def place(self) -> Place:
        """Take a place; use it in a `with` block.

        Raises:
            ApiError: there is none; it says when to come back.
        """
        with self._lock:
            if self._taken >= self._places:
                wait_s = max(1, math.ceil(self._taken * self._mean_s))
                raise ApiError(
                    QUEUE_FULL,
                    f"{self._taken} images are waiting or in work; come back in {wait_s} s",
                    {"Retry-After": str(wait_s)},
                )
            self._taken += 1
        return Place(self)

    def run_unqueued(self, work: Callable[[], Result]) -> Future[Result]:
        """Run work of the server itself on the worker's thread."""
        return self._executor.submit(work)

    def close(self) -> None:
        """Finish what is in work, and drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[[], Result]) -> Future[Result]:
        try:
            return self._executor.submit(self._timed, work)
        except RuntimeError:
            raise ApiError(NOT_READY, "the server is ending") from None

    def _timed(self, work: Callable[[], Result]) -> Result:
        self._started_s = started_s = time.monotonic()
        try:
            return work()
        finally:
            took_s = time.monotonic() - started_s
            self._started_s = None
            self._mean_s += _SHARE_OF_NEWEST * (took_s - self._mean_s)

    def _leave(self) -> None:
        with self._lock:
            self._taken -= 1


class Place:
    """A place in the queue, until its work is done or its block is left without any."""

    def __init__(self, queue: DepthQueue) -> None:
        self._queue = queue
        self._is_given = False

    def run(self, work: Callable[[], Result]) -> Future[Result]:
        """Let the worker do this; the place is free when it is done, whoever still listens.

        Raises:
            ApiError: the server is ending.
        """
        future = self._queue._submit(work)
        self._is_given = True
        future.add_done_callback(lambda _: self._queue._leave())
        return future

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_given:
            self._queue._leave()

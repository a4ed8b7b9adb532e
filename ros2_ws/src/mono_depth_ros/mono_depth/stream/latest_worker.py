"""One background thread that always works on the newest item."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_log = logging.getLogger(__name__)


class LatestWorker(Generic[Item]):
    """Calls `handle(item)` on its own thread; a newer item replaces one still waiting.

    Inference is slower than the camera, so a queue would only add delay. At most one item
    waits; whatever is replaced, still waits at `stop` or comes later is handed to `on_drop`.

    Args:
        handle: the work; deals with its own errors. An exception that escapes is logged and
            the thread goes on with the next item.
        on_drop: told of every item that will not be handled.
    """

    def __init__(self, handle: Callable[[Item], None], *, on_drop: Callable[[Item], None]) -> None:
        self._handle, self._on_drop = handle, on_drop
        self._waiting: list[Item] = []  # empty or one item
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="depth-worker", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> None:
        """Hand over the newest item. Returns at once."""
        with self._changed:
            if self._stopping:
                replaced = [item]
            else:
                replaced, self._waiting = self._waiting, [item]
            self._changed.notify()
        for old in replaced:
            self._on_drop(old)

    def stop(self) -> None:
        """Finish the item in work, drop the one waiting, join the thread."""
        with self._changed:
            self._stopping = True
            left, self._waiting = self._waiting, []
            self._changed.notify()
        self._thread.join()
        for item in left:
            self._on_drop(item)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                item = self._waiting.pop()
            try:
                self._handle(item)
            except Exception:  # noqa: BLE001 - one item must not end the stream
                _log.exception("the worker could not handle an item")
            del item  # the frame must not live on while the worker waits for the next one

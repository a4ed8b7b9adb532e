"""What is built beside a stream of frames."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundBuilder:
    """Builds one engine at a time, for whichever network: two would take the frames' cores."""

    def __init__(self) -> None:
        self.is_closed = False  # what is still built is of no use
        self._thread: threading.Thread | None = None

    def start(self, build: Callable[[], None]) -> bool:
        """Begin to `build`; False if something else is being built, or nothing shall be."""
        if self.is_closed or (self._thread is not None and self._thread.is_alive()):
            return False
        self._thread = threading.Thread(target=build, name="engine builder")
        self._thread.start()
        return True

    def close(self, timeout_s: float | None = None) -> None:
        """Wait for what is being built, `timeout_s` at most; None = however long it takes."""
        self.is_closed = True
        if self._thread is not None:
            self._thread.join(timeout_s)

"""Processes that are started, listened to and ended together."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

_KEPT_LINES = 15
_PATIENCE_S = 5.0  # with processes that were asked to end
_ROS_PREFIX = re.compile(r"^\[(INFO|WARN|ERROR|FATAL)\] \[[\d.]+\] \[[^\]]*\]: ")


class Child:
    """A Python module in a process of its own, which the terminal's Ctrl-C does not reach.

    Args:
        name: stands before its lines.
        arguments: of the Python interpreter, such as `-m`, module, and so on.
        env: its whole environment.
        log: file that gets all it prints; None = it prints on this terminal.
        tell: gets each line of it, without the prefix of ROS' log.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        env: Mapping[str, str],
        log: Path | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name, self._log, self._tell = name, log, tell
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.last_line_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=None if log is None else subprocess.PIPE,
            stderr=None if log is None else subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        """Tell whether the process has not ended."""
        return self.process.poll() is None

    def interrupt(self) -> None:
        """Ask it to finish, as Ctrl-C would."""
        if self.is_running:
            self.process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int | None:
        """Return its exit status, None if it still runs after `timeout_s`."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(1.0)
        return status

    def kill(self) -> None:
        """End it at once."""
        if self.is_running:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        pipe = self.process.stdout
        if self._log is None or pipe is None:
            return
        with self._log.open("w") as log:
            for line in pipe:
                log.write(line)
                log.flush()
                self.last_line_s = time.monotonic()
                text = _ROS_PREFIX.sub("", line.rstrip())
                self.last_lines.append(text)
                self._tell(text)


class Children:
    """All processes of a program; leaving the `with` block ends what still runs."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def add(self, child: Child) -> Child:
        """Take responsibility for a process."""
        self._all.append(child)
        return child

    def fallen(self) -> Child | None:
        """Return a process that has ended."""
        return next((child for child in self._all if not child.is_running), None)

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._all:
            child.interrupt()
        deadline_s = time.monotonic() + _PATIENCE_S
        for child in self._all:
            if child.wait(max(0.0, deadline_s - time.monotonic())) is None:
                child.kill()

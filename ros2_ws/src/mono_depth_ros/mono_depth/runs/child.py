"""Processes that work for this one: how they end, and that they end with it."""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_S = 0.5  # how often a child looks whether its parent is still there


def end_of(exit_code: int | None) -> str:
    """Return in words how a child ended."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with exit code {exit_code}"


def live_with(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end this process when the parent is gone.

    Args:
        parent: its process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the parent was killed: who goes on with its folder is not to wait."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)

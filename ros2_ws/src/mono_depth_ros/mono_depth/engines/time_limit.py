"""What may never return: an engine that repeats a loop of its network for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import torch

from mono_depth.engines.protocol import EngineError

Result = TypeVar("Result")


def within(limit_s: float, run: Callable[[], Result]) -> Result:
    """Return what `run` returns, in inference mode, on a thread that is left behind if it hangs.

    Raises:
        EngineError: it takes longer than `limit_s`. What the library does cannot be stopped: it
            goes on until the process ends.
    """
    found: Future[Result] = Future()

    def work() -> None:
        try:
            with torch.inference_mode():
                found.set_result(run())
        except Exception as error:  # noqa: BLE001 - handed to the caller
            found.set_exception(error)

    threading.Thread(target=work, name="engine trial", daemon=True).start()
    try:
        return found.result(limit_s)
    except TimeoutError as error:
        if found.done():  # its own
            raise
        raise EngineError(f"no answer within {limit_s:.1f} s") from error

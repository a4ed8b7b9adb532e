"""How many CPU threads torch uses for what.

A network gains from every core. The small maps around it lose: handing 0.1 ms of work to a second
thread costs as much where the machine is calm, and a turn of the scheduler (10 ms and more) for
each operation where another program, or the network's own idle threads, hold that core.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Return the CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` CPU threads for what this thread does within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_one_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make a function of small maps run its torch operations on the calling thread alone."""

    @functools.wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with torch_threads(1):
            return function(*args, **kwargs)

    return run

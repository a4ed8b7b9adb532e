"""Keeps a process that runs for days from growing by what it does not use any more."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

import torch

from mono_depth.system.gpu_turns import GPU_TURNS

_ARENAS = 2
_M_ARENA_MAX = -8  # of malloc.h


def share_arenas() -> None:
    """Let threads that come and go take memory from the same two arenas of the C library.

    To be called before the first of them starts. Otherwise each gets an arena of its own, up to
    eight for each core, and what is free in one serves no other. Source: mallopt(3).
    """
    option = _of_glibc("mallopt")
    if option is not None:
        option(_M_ARENA_MAX, _ARENAS)


def free_unused_memory() -> None:
    """Give back to the system, and to the GPU, what no object uses.

    The C library keeps what was freed, in pieces between what is in use: a process that swaps its
    model again and again would grow by some of it each time.
    """
    gc.collect()
    give_back_freed()
    if torch.cuda.is_available():
        with GPU_TURNS.alone():
            torch.cuda.empty_cache()


def give_back_freed() -> None:
    """Give back to the system what the C library keeps of what was freed; takes some ms.

    Messages come and go between what stays: without it a node grows by 0.4 MiB a minute.
    Source: malloc_trim(3).
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function

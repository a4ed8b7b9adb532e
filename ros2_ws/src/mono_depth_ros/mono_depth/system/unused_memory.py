"""Gives back what a model held that is not used any more."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

from mono_depth.system.gpu_turns import GPU_TURNS


def free_unused_memory() -> None:
    """Give back to the system, and to the GPU, what no object uses.

    The C library keeps what was freed, in pieces between what is in use: a process that swaps its
    model again and again would grow by some of it each time.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim is not None:
            trim(0)
    if torch.cuda.is_available():
        with GPU_TURNS.alone():
            torch.cuda.empty_cache()

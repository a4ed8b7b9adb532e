"""Who may use the GPU beside whom: frames beside each other, a capture of a graph beside nothing.

What waits for the whole device ends the captures of all threads, and is refused itself: to
synchronise the device, to give memory back to it, and to begin a capture, which does both. So the
last two have the GPU alone, and nothing here does the first: who waits, waits for a stream.

Source: CUDA Runtime API, cudaStreamBeginCapture; NVIDIA/TensorRT issue 2888.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_BUILD_PATIENCE_S = 5.0


class GpuTurns:
    """The turns of all threads of a process at its GPUs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames = 0  # at work
        self._waiting = 0  # threads that want the GPU alone; frames let them go first
        self._alone: int | None = None  # the thread that has it
        self._own = threading.local()
        self._build = threading.RLock()

    @contextmanager
    def frame(self, device: torch.device) -> Iterator[None]:
        """Use `device` beside other frames; nothing is done for a CPU, or within such a block."""
        if device.type != "cuda" or self._is_in_frame or self._alone == threading.get_ident():
            yield
            return
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Use the GPU while no frame of another thread does; a frame of this one is set aside."""
        own = threading.get_ident()
        if self._alone == own:
            yield
            return
        with self._aside():
            with self._changed:
                self._waiting += 1
                self._changed.wait_for(lambda: not self._frames and self._alone is None)
                self._waiting -= 1
                self._alone = own
            try:
                yield
            finally:
                with self._changed:
                    self._alone = None
                    self._changed.notify_all()

    @contextmanager
    def building(self, device: torch.device) -> Iterator[None]:
        """Build an engine beside frames, but not beside another: compilers wait for the device.

        After some seconds it is done all the same: a frame may wait for it, and at worst the
        capture of one of the two fails.
        """
        if device.type != "cuda":
            yield
            return
        with self._aside():
            is_own = self._build.acquire(timeout=_BUILD_PATIENCE_S)
            try:
                yield
            finally:
                if is_own:
                    self._build.release()

    @property
    def _is_in_frame(self) -> bool:
        return getattr(self._own, "is_in_frame", False)

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and self._alone is None)
            self._frames += 1
        self._own.is_in_frame = True

    def _leave(self) -> None:
        self._own.is_in_frame = False
        with self._changed:
            self._frames -= 1
            self._changed.notify_all()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Interrupt the frame of this thread, if there is one."""
        was_in_frame = self._is_in_frame
        if was_in_frame:
            self._leave()
        try:
            yield
        finally:
            if was_in_frame:
                self._enter()


GPU_TURNS = GpuTurns()


def wait_for_stream(device: torch.device) -> None:
    """Wait until what this thread has asked of `device` is done; a CPU is done already."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()

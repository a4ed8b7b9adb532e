"""Runs in a process of their own, which is watched, and can be ended at any time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from mono_depth.runs.account import Account
from mono_depth.runs.batch.items import Item
from mono_depth.runs.batch.worker import BatchJob, Outcome, Worker
from mono_depth.runs.child import end_of, live_with

_TELL_S = 0.2  # between two words about the progress
_NICENESS = 5  # what waits for an answer goes before
_OOM_SCORE = 500  # of 1000: where memory ends, the run does, and not its parent


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, in frames."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    without_metres: int = 0  # of those that are done
    expected: int | None = None  # None = not known

    @property
    def found(self) -> int:
        """All frames so far."""
        return self.done + self.failed + self.skipped

    @classmethod
    def of(cls, account: Account, expected: int | None) -> Progress:
        """Return the counts of an account."""
        return cls(
            done=account.done,
            failed=len(account.failed),
            skipped=len(account.skipped),
            without_metres=account.without_metres,
            expected=expected,
        )


class WatchedRun:
    """One item after the other, by the worker of a batch. A decoder that crashes ends it alone."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self.progress = Progress()
        self.heard_s = 0.0  # when it last told something, by the steady clock

    def begin(self, job: BatchJob, item: Item, folder: Path) -> None:
        """Begin with an item, in the process of the one before or in a new one.

        Args:
            job: what the worker must know; its `out` may be relative to `folder`.
            item: whose source may be relative to `folder`.
            folder: the process works in it, so that its messages need not name where that is.
        """
        if self._process is None or not self._process.is_alive():
            self.end()
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
            self._process.start()
            theirs.close()
        self.progress, self.heard_s = Progress(), time.monotonic()
        if self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # `outcome` tells that it is gone
                self._pipe.send((job, item, str(folder)))

    def outcome(self, wait_s: float) -> Outcome | None:
        """Return what became of the item, None = it is still in work after `wait_s` seconds."""
        if self._process is None or self._pipe is None:
            return Outcome(reason="nothing was begun", has_died=True)
        end_s = time.monotonic() + wait_s
        try:
            while self._pipe.poll(max(0.0, end_s - time.monotonic())):
                told = self._pipe.recv()
                self.heard_s = time.monotonic()
                if isinstance(told, Outcome):
                    return told
                self.progress = told
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Outcome(reason=end_of(self._process.exitcode), has_died=True)
        return None

    def end(self) -> None:
        """End the process at once, if there is one; the memory of the network is free then."""
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection, parent: int) -> None:
    """Work on what comes, until the parent is gone."""
    live_with(parent)
    _yield_to_others()
    worker: Worker | None = None
    told_s = 0.0

    def watch(account: Account, expected: int | None) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= _TELL_S:
            told_s = now_s
            pipe.send(Progress.of(account, expected))

    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            job, item, folder = pipe.recv()
            if worker is None:
                worker = Worker(job)
            worker.take(job)
            os.chdir(folder)
            outcome = worker.work(item, watch)
            os.chdir("/")
            pipe.send(outcome)


def _yield_to_others() -> None:
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")

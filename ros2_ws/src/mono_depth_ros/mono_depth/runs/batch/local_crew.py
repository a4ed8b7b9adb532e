"""Workers as processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from mono_depth.runs.batch.items import Item
from mono_depth.runs.batch.worker import BatchJob, Outcome, Worker
from mono_depth.runs.child import end_of, live_with


class LocalCrew:
    """Processes that are started anew, so that a thread of the parent cannot hang them."""

    def __init__(self, job: BatchJob, worker: type[Worker] = Worker) -> None:
        self._job, self._worker = job, worker
        self._context = multiprocessing.get_context("spawn")
        self._members: dict[int, tuple[BaseProcess, Connection]] = {}
        self._hired = 0

    def hire(self) -> int:
        """Start a worker and return its number."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._worker, self._job, os.getpid()), daemon=True
        )
        process.start()
        theirs.close()
        number, self._hired = self._hired, self._hired + 1
        self._members[number] = process, ours
        return number

    def give(self, worker: int, item: Item) -> None:
        """Let a worker begin with an item; one that is dead is told by `wait`."""
        with contextlib.suppress(BrokenPipeError):
            self._members[worker][1].send(item)

    def wait(self) -> tuple[int, Outcome]:
        """Return the next worker that is ready with its item, or has died; that one is gone."""
        by_pipe = {pipe: number for number, (_, pipe) in self._members.items()}
        pipe = wait(list(by_pipe))[0]
        number = by_pipe[pipe]  # type: ignore[index]
        process, connection = self._members[number]
        try:
            outcome: Outcome = connection.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            del self._members[number]
            return number, Outcome(reason=end_of(process.exitcode), has_died=True)
        return number, outcome

    def dismiss(self) -> None:
        """End all workers at once."""
        for process, connection in self._members.values():
            process.kill()
            process.join()
            connection.close()
        self._members.clear()


def _serve(pipe: Connection, kind: type[Worker], job: BatchJob, parent: int) -> None:
    """Work on what comes, until the parent is gone."""
    live_with(parent)
    worker = kind(job)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(worker.work(pipe.recv()))

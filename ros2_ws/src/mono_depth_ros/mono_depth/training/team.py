"""Processes that train one network together, each on batches of its own.

A CPU core is kept busier by a batch of its own than by its share of a common one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True, kw_only=True)
class Team:
    """What one of the processes knows of all; a team of one needs no others."""

    rank: int = 0  # the first one leads: it keeps the log, the clock and the weights
    size: int = 1

    def average(self, gradients: list[torch.Tensor]) -> None:
        """Replace the gradients by their mean over the team."""
        if self.size == 1:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, torch.split(flat / self.size, sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, value: float) -> float:
        """Return the value that the leader gave."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(said, 0)
        return float(said)

    def share(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the state that the leader gave."""
        said = [state]
        if self.size > 1:
            dist.broadcast_object_list(said, 0)
        return said[0]


@contextmanager
def lead(size: int, work: Callable[..., None], *arguments: object) -> Iterator[Team]:
    """Begin a team and lead it.

    Args:
        size: number of processes, this one included.
        work: what each of the others does; gets its `Team` and then `arguments`.
        arguments: must be picklable, as `work`.
    """
    if size == 1:
        yield Team()
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [
            context.Process(target=_join, args=(meeting, rank, size, work, *arguments), daemon=True)
            for rank in range(1, size)
        ]
        for process in others:
            process.start()
        _meet(meeting, 0, size)
        try:
            yield Team(rank=0, size=size)
        finally:
            for process in others:  # they have nothing that must be kept
                process.terminate()
                process.join()
            dist.destroy_process_group()


def _join(
    meeting: Path, rank: int, size: int, work: Callable[..., None], *arguments: object
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the leader, which stops us
    _meet(meeting, rank, size)
    work(Team(rank=rank, size=size), *arguments)


def _meet(meeting: Path, rank: int, size: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all on one machine
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=size)

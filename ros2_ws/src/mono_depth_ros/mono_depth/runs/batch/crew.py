"""Workers in processes of their own, whatever starts them."""

from __future__ import annotations

from typing import Protocol

from mono_depth.runs.batch.items import Item
from mono_depth.runs.batch.worker import Outcome


class Crew(Protocol):
    """Workers, by number; each has one item at a time."""

    def hire(self) -> int:
        """Start a worker and return its number."""

    def give(self, worker: int, item: Item) -> None:
        """Let a worker begin with an item."""

    def wait(self) -> tuple[int, Outcome]:
        """Return the next worker that is ready with its item, or has died; that one is gone."""

    def dismiss(self) -> None:
        """End all workers at once."""

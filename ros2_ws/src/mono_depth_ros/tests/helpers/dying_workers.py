"""Workers that are killed by what they work on."""

from __future__ import annotations

import os
import signal

from mono_depth.runs.batch.items import Item
from mono_depth.runs.batch.worker import Outcome, Worker


class DeadlyItems(Worker):
    """Is killed by each item with `deadly` in its name, as one that lacks memory is."""

    def work(self, item: Item) -> Outcome:
        if "deadly" in item.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().work(item)

"""The state of each item, on disk: a line for each change, so that nothing is lost by a kill."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

TABLE_FILE = "jobs.jsonl"


class State(str, Enum):
    """What became of an item."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Job:
    """The newest state of an item."""

    state: State
    deaths: int = 0  # of workers that had it
    reason: str = ""  # why it failed
    account: dict[str, Any] | None = None  # of its frames


class JobTable:
    """Jobs by the name of their item. One process writes."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a last line that a kill cut off does not count."""
        self._path = path
        self._jobs: dict[str, Job] = {}
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            row = json.loads(line)
            self._jobs[row["item"]] = Job(
                state=State(row["state"]),
                deaths=row["deaths"],
                reason=row["reason"],
                account=row["account"],
            )

    def __getitem__(self, name: str) -> Job:
        return self._jobs.get(name, Job(state=State.WAITING))

    def set(self, name: str, job: Job) -> None:
        """Note the state of an item; it is on the disk when this returns."""
        row = {
            "item": name,
            "state": job.state.value,
            "deaths": job.deaths,
            "reason": job.reason,
            "account": job.account,
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._jobs[name] = job

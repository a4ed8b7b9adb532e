"""One job: what was sent, how far it is, and what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from mono_depth.runs.output_folder import ACCOUNT_FILE, RUN_FILE
from mono_depth.runs.watched_run import Progress
from mono_depth.web.jobs.job_request import JobRequest

_LISTED = 20  # frames that failed or were skipped, and notes; account.json has all


class JobState(str, Enum):
    """Where a job is."""

    UPLOADING = "uploading"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"  # to its end; single frames may have failed
    FAILED = "failed"

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more will come."""
        return self in (JobState.DONE, JobState.FAILED)


@dataclass(kw_only=True)
class Job:
    """A job and its folder, which holds `upload`, then `results`. No client names a file in it."""

    name: str  # which nobody can guess
    folder: Path
    request: JobRequest
    state: JobState = JobState.UPLOADING
    ending: str = ""  # of the upload's name, by its content
    nbytes: int = 0  # on the disk
    reason: str = ""  # why it failed
    progress: Progress = field(default_factory=Progress)
    failed: Mapping[str, str] = field(default_factory=dict)  # first frames that did, and why
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ended_s: float = 0.0  # by the steady clock
    readers: int = 0  # that download it now
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def upload(self) -> Path:
        """The file that was sent."""
        return self.folder / f"upload{self.ending}"

    @property
    def results(self) -> Path:
        """The folder of the results."""
        return self.folder / "results"

    def tell(self, account: Mapping[str, Any]) -> None:
        """Note the account of all frames."""
        self.progress = Progress(
            done=account["done"],
            failed=len(account["failed"]),
            skipped=len(account["skipped"]),
            without_metres=account["without_metres"],
            expected=self.progress.expected,
        )
        self.failed, self.skipped = _first(account["failed"]), _first(account["skipped"])
        self.notes = tuple(account["notes"][:_LISTED])

    def files(self) -> dict[str, Path]:
        """Return the files of the results by their names in the folder, account first."""
        if not self.results.is_dir():
            return {}
        found = {
            file.relative_to(self.results).as_posix(): file
            for file in sorted(self.results.rglob("*"))
            if file.is_file() and not file.relative_to(self.results).parts[0].startswith(".")
        }
        first = [name for name in (ACCOUNT_FILE, RUN_FILE) if name in found]
        return {name: found[name] for name in (*first, *(n for n in found if n not in first))}

    def as_json(self, *, before: int, kept_s: float) -> dict[str, Any]:
        """Return what a client is told.

        Args:
            before: jobs that come first.
            kept_s: for how long results are kept.
        """
        seen, link = self.progress, f"/v1/jobs/{self.name}"
        share = 1.0 if self.state is JobState.DONE else None
        if share is None and seen.expected:
            share = round(min(1.0, seen.found / seen.expected), 4)
        links = {"self": link}
        if self.state.has_ended:
            links |= {"files": f"{link}/files", "zip": f"{link}/results.zip"}
        left_s = self.ended_s + kept_s - time.monotonic() if self.state.has_ended else None
        return {
            "id": self.name,
            "state": self.state.value,
            "reason": self.reason,
            "jobs_before": before,
            "progress": {"frames": seen.found, "expected": seen.expected, "share": share},
            "account": {
                "found": seen.found,
                "done": seen.done,
                "failed": seen.failed,
                "skipped": seen.skipped,
                "without_metres": seen.without_metres,
            },
            "failed": dict(self.failed),
            "skipped": dict(self.skipped),
            "notes": list(self.notes),
            "bytes": self.nbytes,
            "expires_in_s": None if left_s is None else max(0, round(left_s)),
            "links": links,
        }


def _first(reasons: Mapping[str, str]) -> dict[str, str]:
    return dict(list(reasons.items())[:_LISTED])

"""The jobs of a server and their folders: few, small enough, and gone after an hour."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mono_depth.errors import ConfigError
from mono_depth.web.api_error import DISK_FULL, NOT_FOUND, QUEUE_FULL, ApiError
from mono_depth.web.jobs.job import Job, JobState
from mono_depth.web.jobs.job_limits import JobLimits
from mono_depth.web.jobs.job_request import JobRequest

_PREFIX, _LOCK = "mono-depth-jobs-", "lock"
_FIRST_GUESS_S = 30.0  # of a job
_LONGEST_WAIT_S = 600
_SHARE_OF_NEWEST = 0.3


class JobStore:
    """Jobs by a random name, oldest first. Safe for use by several threads."""

    def __init__(self, limits: JobLimits) -> None:
        """Make the folder, and remove those that killed servers left behind.

        Raises:
            ConfigError: it cannot be made.
        """
        self.limits = limits
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._mean_s = _FIRST_GUESS_S
        self.changed = threading.Condition(threading.RLock())
        parent = Path(limits.folder).expanduser() if limits.folder else Path(tempfile.gettempdir())
        try:
            _remove_orphans(parent)
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = _locked(self._folder)
        except OSError as error:
            raise ConfigError(f"no folder for jobs in {parent}: {error.strerror}") from None

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def nbytes(self) -> int:
        """Bytes of all jobs on the disk."""
        with self.changed:
            return sum(job.nbytes for job in self._jobs.values())

    def add(self, request: JobRequest) -> Job:
        """Take a place for a job, before its file is read.

        Raises:
            ApiError: there is none; it says when to come back.
        """
        with self.changed:
            self.expire()
            taken = sum(not job.state.has_ended for job in self._jobs.values())
            if taken > self.limits.waiting:
                wait_s = min(_LONGEST_WAIT_S, max(1, math.ceil(self._mean_s)))
                message = f"{taken} jobs are waiting or in work; come back in {wait_s} s"
                raise ApiError(QUEUE_FULL, message, {"Retry-After": str(wait_s)})
            name = secrets.token_urlsafe(16)
            folder = self._folder / secrets.token_hex(8)
            folder.mkdir()
            self._jobs[name] = job = Job(name=name, folder=folder, request=request)
            return job

    def get(self, name: str) -> Job:
        """Return a job.

        Raises:
            ApiError: it is not, or no longer, there.
        """
        with self.changed:
            self.expire()
            found = self._jobs.get(name)
        if found is None:
            raise ApiError(NOT_FOUND, "no such job; results are kept for an hour at most")
        return found

    def before(self, job: Job) -> int:
        """Return how many jobs come before one that waits."""
        with self.changed:
            if job.state is not JobState.WAITING:
                return 0
            others = list(self._jobs.values())
            earlier = others[: others.index(job)] if job in others else []
            return sum(not other.state.has_ended for other in earlier)

    def set_size(self, job: Job, nbytes: int) -> None:
        """Note the size of a job; old results go where room is needed.

        Raises:
            ApiError: the job is too large, or the disk is full.
        """
        limits = self.limits
        with self.changed:
            job.nbytes = nbytes
            if nbytes > limits.most_of_one:
                raise ApiError(
                    DISK_FULL,
                    f"the job has more than {limits.most_of_one} bytes: write fewer kinds of "
                    "files, or take fewer frames",
                )
            while self.nbytes > limits.disk_bytes or self._free_bytes() < limits.reserve_bytes:
                oldest = next(iter(self._removable()), None)
                if oldest is None:
                    raise ApiError(DISK_FULL, "the disk is full", {"Retry-After": "60"})
                self.drop(oldest)

    def next_waiting(self, wait_s: float) -> Job | None:
        """Return the job that comes next, and mark it as running; None = none for so long."""
        with self.changed:
            self.expire()
            if not any(job.state is JobState.WAITING for job in self._jobs.values()):
                self.changed.wait(wait_s)
            for job in self._jobs.values():
                if job.state is JobState.WAITING:
                    job.state = JobState.RUNNING
                    return job
        return None

    def received(self, job: Job, ending: str) -> None:
        """Let a job wait, whose file has arrived as `upload`."""
        with self.changed:
            (job.folder / "upload").rename(job.folder / f"upload{ending}")
            job.ending, job.state = ending, JobState.WAITING
            self.changed.notify_all()

    def ended(self, job: Job, state: JobState, reason: str, took_s: float) -> None:
        """Note the end of a job; its upload goes."""
        with self.changed:
            job.state, job.reason, job.ended_s = state, reason, time.monotonic()
            self._mean_s += _SHARE_OF_NEWEST * (took_s - self._mean_s)
            self.expire()

    def drop(self, job: Job) -> None:
        """Forget a job and remove its files; what works on it sees `cancelled`, and ends."""
        with self.changed:
            self._jobs.pop(job.name, None)
            job.cancelled.set()
            if job.state is not JobState.RUNNING:  # else the runner does, when the process is gone
                remove(job.folder)

    def expire(self) -> None:
        """Drop what has been kept for long enough, or is too much."""
        with self.changed:
            oldest_s = time.monotonic() - self.limits.kept_s
            removable = list(self._removable())
            surplus = len(removable) - self.limits.kept
            for index, job in enumerate(removable):
                if index < surplus or job.ended_s <= oldest_s:
                    self.drop(job)

    @contextlib.contextmanager
    def reading(self, job: Job) -> Iterator[None]:
        """Keep the files of a job while they are read."""
        with self.changed:
            job.readers += 1
        try:
            yield
        finally:
            with self.changed:
                job.readers -= 1

    def close(self) -> None:
        """Drop all jobs and remove the folder."""
        with self.changed:
            for job in list(self._jobs.values()):
                self.drop(job)
        remove(self._folder)
        self._lock.close()

    def _removable(self) -> Iterator[Job]:
        jobs = (job for job in self._jobs.values() if job.state.has_ended and not job.readers)
        return iter(sorted(jobs, key=lambda job: job.ended_s))

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free


def remove(folder: Path) -> None:
    """Remove a folder, as far as it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def bytes_in(folder: Path) -> int:
    """Return the bytes of all files under a folder, while others may change them."""
    total, waiting = 0, [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _locked(folder: Path) -> IO[str]:
    """Lock a folder for as long as this process lives."""
    lock = (folder / _LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def _remove_orphans(parent: Path) -> None:
    """Remove the folders of servers that were killed; those of others are locked, or not ours."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with _locked(folder):
                remove(folder)

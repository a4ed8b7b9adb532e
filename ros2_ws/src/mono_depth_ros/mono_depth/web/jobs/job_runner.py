"""Runs one job after the other, in a process beside the server, by the worker of `runs`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mono_depth.errors import ConfigError, MonoDepthError
from mono_depth.runs.batch.items import Item
from mono_depth.runs.batch.worker import BatchJob, Outcome
from mono_depth.runs.watched_run import WatchedRun
from mono_depth.web.api_error import ApiError
from mono_depth.web.jobs.content import ZIP
from mono_depth.web.jobs.job import Job, JobState
from mono_depth.web.jobs.job_request import JobRequest
from mono_depth.web.jobs.job_store import JobStore, bytes_in, remove
from mono_depth.web.jobs.unpack import unpack

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.2  # between two looks at a run
_MEASURE_S = 1.0  # between two of its bytes
_IDLE_S = 5.0  # between two looks for what has expired
_WARM_S = 60.0  # for which the process of the last job stays, with its network
_RESULTS, _UNPACKED = "results", "unpacked"

# What the worker of a job must know; the text is the folder of its results.
MakeBatchJob = Callable[[JobRequest, str], BatchJob]


class JobRunner:
    """A thread that takes what waits."""

    def __init__(self, store: JobStore, make: MakeBatchJob) -> None:
        """Run the jobs of `store` once `start` is called."""
        self._store, self._make = store, make
        self._run = WatchedRun()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End the run in work at once, and wait until it is gone."""
        self._ending.set()
        with self._store.changed:
            self._store.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        ended_s = time.monotonic()
        while not self._ending.is_set():
            job = self._store.next_waiting(_IDLE_S)
            if job is None:
                if time.monotonic() - ended_s > _WARM_S:
                    self._run.end()
                continue
            start_s = time.monotonic()
            try:
                state, reason = self._worked(job)
            except Exception:  # noqa: BLE001 - ends one job, not all that come after it
                _LOG.exception("a job failed")
                state, reason = JobState.FAILED, "a fault of the server; its log says more"
            remove(job.folder / _UNPACKED)
            job.upload.unlink(missing_ok=True)
            if job.cancelled.is_set() or self._ending.is_set():
                remove(job.folder)
            job.nbytes = bytes_in(job.folder)
            ended_s = time.monotonic()
            self._store.ended(job, state, reason, ended_s - start_s)
        self._run.end()

    def _worked(self, job: Job) -> tuple[JobState, str]:
        try:
            source = self._source_of(job)
            if source is None:
                return JobState.FAILED, "cancelled"
            outcome = self._watched(job, source)
        except (ApiError, MonoDepthError) as error:
            text = error.message if isinstance(error, ApiError) else str(error)
            return JobState.FAILED, text
        if outcome.account is None:
            return JobState.FAILED, outcome.reason
        job.tell(outcome.account)
        return JobState.DONE, ""

    def _source_of(self, job: Job) -> Path | None:
        """Return the input within the folder of the job, None = the job was cancelled."""
        if job.ending != ZIP:
            return job.upload.relative_to(job.folder)
        limits, sent = self._store.limits, job.nbytes
        measured = 0

        def go_on(unpacked: int) -> bool:
            nonlocal measured
            if unpacked - measured >= 1 << 24:
                measured = unpacked
                self._store.set_size(job, sent + unpacked)
            return not (job.cancelled.is_set() or self._ending.is_set())

        found = unpack(
            job.upload,
            job.folder / _UNPACKED,
            most_files=limits.zipped_files,
            most_bytes=limits.most_of_one - sent,
            go_on=go_on,
        )
        return None if found is None else found.relative_to(job.folder)

    def _watched(self, job: Job, source: Path) -> Outcome:
        """Return what became of a run.

        Raises:
            ApiError: it needed too much of the disk.
            ConfigError: it was cancelled, or hangs.
        """
        item = Item(name=_RESULTS, source=str(source))
        run, measured_s = self._run, time.monotonic()
        run.begin(self._make(job.request, "."), item, job.folder)
        try:
            while (outcome := run.outcome(_LOOK_S)) is None:
                job.progress = run.progress
                if job.cancelled.is_set() or self._ending.is_set():
                    raise ConfigError("cancelled")
                now_s = time.monotonic()
                if now_s - run.heard_s > self._store.limits.silence_s:
                    raise ConfigError(f"no frame within {self._store.limits.silence_s:g} s")
                if now_s - measured_s >= _MEASURE_S:
                    measured_s = now_s
                    self._store.set_size(job, bytes_in(job.folder))
        except BaseException:
            run.end()
            raise
        return outcome

"""Jobs of one server: the store, and what runs them."""

from __future__ import annotations

from mono_depth.config import PipelineConfig
from mono_depth.runs.batch.worker import BatchJob
from mono_depth.web.catalogue import Catalogue
from mono_depth.web.jobs.job import Job
from mono_depth.web.jobs.job_limits import JobLimits
from mono_depth.web.jobs.job_request import JobRequest, batch_job
from mono_depth.web.jobs.job_runner import JobRunner
from mono_depth.web.jobs.job_store import JobStore


class JobService:
    """Takes jobs from `start` on."""

    def __init__(self, config: PipelineConfig, catalogue: Catalogue, limits: JobLimits) -> None:
        """Make nothing yet.

        Args:
            config: of the pipeline, where a job asks for nothing else.
            catalogue: of the models that may be chosen.
            limits: of all jobs.
        """
        self._config, self._catalogue, self.limits = config, catalogue, limits
        self._store: JobStore | None = None
        self._runner: JobRunner | None = None

    @property
    def store(self) -> JobStore:
        """The jobs.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._store is None:
            raise RuntimeError("jobs are taken from `start` on")
        return self._store

    def start(self) -> None:
        """Make the folder and begin.

        Raises:
            ConfigError: the folder cannot be made.
        """
        self._store = JobStore(self.limits)
        self._runner = JobRunner(self._store, self._batch_job)
        self._runner.start()

    def close(self) -> None:
        """End what is in work at once, and remove all files."""
        if self._runner is not None:
            self._runner.close()
        if self._store is not None:
            self._store.close()

    def check(self, request: JobRequest) -> None:
        """Raise an error where there is no such model.

        Raises:
            ApiError: there is none.
        """
        self._catalogue.entry(request.model)

    def as_json(self, job: Job) -> dict[str, object]:
        """Return what a client is told about a job."""
        return job.as_json(before=self.store.before(job), kept_s=self.limits.kept_s)

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Return gauges, each with what it says."""
        if self._store is None:
            return {}
        return {
            "jobs": ("Jobs that wait, are in work, or are kept.", len(self._store)),
            "jobs_bytes": ("Disk that they take.", self._store.nbytes),
        }

    def _batch_job(self, request: JobRequest, out: str) -> BatchJob:
        return batch_job(request, self._config, self._catalogue.entry(request.model).name, out)

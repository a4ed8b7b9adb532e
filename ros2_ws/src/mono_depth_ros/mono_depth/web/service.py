"""What the server does for a request, without HTTP: one worker, results kept for downloads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from mono_depth.config import PipelineConfig
from mono_depth.web.api_error import NOT_READY, ApiError
from mono_depth.web.depth_queue import DepthQueue, Place
from mono_depth.web.depth_request import DepthRequest
from mono_depth.web.estimate import Estimate
from mono_depth.web.estimator import Estimator
from mono_depth.web.images import check_upload
from mono_depth.web.jobs.job_service import JobService
from mono_depth.web.limits import ServerLimits
from mono_depth.web.metrics import Metrics
from mono_depth.web.result_store import ResultStore
from mono_depth.web.together import Together

_LOG = logging.getLogger(__name__)
_HANGS_S = 300.0  # an image that takes longer is a fault, not a large image


class DepthService:
    """The depth of uploads, by one worker thread, which alone touches the pipelines."""

    def __init__(
        self, config: PipelineConfig, limits: ServerLimits, estimator: Estimator | None = None
    ) -> None:
        """Serve from `start` on.

        Args:
            config: of the pipeline.
            limits: of what clients may send.
            estimator: finds the depth of single images, None = one of that configuration.

        Raises:
            ConfigError: the registry is wrong.
            ModelError: the configured model is not in it.
        """
        self.limits = limits
        estimator = estimator or Estimator(config, loaded_models=limits.loaded_models)
        self.catalogue = estimator.catalogue
        self.jobs = JobService(config, self.catalogue, limits.jobs)
        self.queue = DepthQueue(limits.waiting)
        self.results = ResultStore(most=limits.kept_results, most_bytes=limits.kept_bytes)
        self.metrics = Metrics()
        self.writing = threading.Lock()  # files of results are made one at a time: memory
        self._estimator = estimator
        self._together = Together(self._estimates, most=limits.together or 1)
        self._state = "loading"

    def start(self) -> Future[None]:
        """Load the default model on the worker's thread."""
        return self.queue.run_unqueued(self._prepare)

    def close(self) -> None:
        """Finish the image in work and let go of all models."""
        self._state = "ending"
        self.jobs.close()
        self.queue.close()
        self._estimator.close()

    def check_ready(self) -> None:
        """Raise an error unless images are taken.

        Raises:
            ApiError: the model is loading or has failed, or the worker hangs.
        """
        if self._state != "ready":
            headers = {"Retry-After": "2"} if self._state == "loading" else {}
            raise ApiError(NOT_READY, f"the model is not there: {self._state}", headers)
        if self.queue.busy_s > _HANGS_S:
            raise ApiError(NOT_READY, f"one image has been in work for {self.queue.busy_s:.0f} s")

    def submit(self, place: Place, image: bytes, request: DepthRequest) -> Future[Estimate]:
        """Let the worker find the depth of an upload.

        Args:
            place: that was taken before the upload was read.
            image: bytes of a file.
            request: the levers.

        Raises:
            ApiError: it is refused before anything is decoded.
        """
        check_upload(image, max_pixels=self.limits.max_pixels)
        key = self._estimator.key(image, request)
        return place.run(self._together.add(key, (image, request)))

    def metrics_text(self) -> str:
        """Return the metrics in the form of Prometheus."""
        return self.metrics.text(
            {
                "queue_taken": ("Images being uploaded, waiting or in work.", self.queue.taken),
                "results_kept": ("Results kept for downloads.", len(self.results)),
                "results_bytes": ("Memory of these.", self.results.nbytes),
                **self.jobs.metrics(),
                "ready": ("1 = images are taken.", float(self._state == "ready")),
            }
        )

    def _prepare(self) -> None:
        try:
            self._estimator.prepare()
        except Exception as error:  # any failure to load leaves a server that says so
            self._state = "loading it failed, see the log"
            _LOG.error("the model cannot be loaded: %s", error)
            raise
        self._together.most = self.limits.together or self._estimator.together
        self._state = "ready"

    def _estimates(self, asked: Sequence[tuple[bytes, DepthRequest]]) -> list[Estimate | Exception]:
        start_s = time.perf_counter()
        found = self._estimator.estimate_all(asked)
        for item in found:
            if isinstance(item, Estimate):
                _ = item.statistics  # here: the thread that talks to clients must not compute
        count = sum(isinstance(item, Estimate) for item in found)
        self.metrics.found_depth(count, time.perf_counter() - start_s)
        return found

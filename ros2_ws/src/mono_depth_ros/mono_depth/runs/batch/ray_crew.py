"""Workers as actors of Ray, on this machine or on a cluster whose nodes see the same folders."""

from __future__ import annotations

import importlib
from typing import Any

from mono_depth.errors import ConfigError
from mono_depth.runs.batch.items import Item
from mono_depth.runs.batch.worker import BatchJob, Outcome, Worker


class RayCrew:
    """Actors, each with a network of its own."""

    def __init__(
        self,
        job: BatchJob,
        worker: type[Worker] = Worker,
        *,
        address: str = "",
        gpus: float = 0.0,
    ) -> None:
        """Join a cluster, or start one on this machine.

        Args:
            job: what workers must know.
            worker: what they are.
            address: of the cluster, "" = this machine.
            gpus: of each worker; half a one lets two share it.

        Raises:
            ConfigError: the package ray is missing, or the cluster does not answer.
        """
        self._ray = _ray()
        try:
            self._ray.init(
                address=address or None,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                ignore_reinit_error=True,
            )
        except Exception as error:  # Ray has no kind of error of its own for this
            raise ConfigError(f"no Ray at {address or 'this machine'}: {error}") from error
        needs = {"num_cpus": max(1, job.config.threads), "num_gpus": gpus, "max_restarts": 0}
        self._actor, self._job = self._ray.remote(**needs)(worker), job
        self._members: dict[int, Any] = {}
        self._tasks: dict[Any, int] = {}
        self._hired = 0

    def hire(self) -> int:
        """Start a worker and return its number."""
        number, self._hired = self._hired, self._hired + 1
        self._members[number] = self._actor.remote(self._job)
        return number

    def give(self, worker: int, item: Item) -> None:
        """Let a worker begin with an item."""
        self._tasks[self._members[worker].work.remote(item)] = worker

    def wait(self) -> tuple[int, Outcome]:
        """Return the next worker that is ready with its item, or has died; that one is gone."""
        (task,), _ = self._ray.wait(list(self._tasks), num_returns=1)
        number = self._tasks.pop(task)
        try:
            outcome: Outcome = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            self._members.pop(number)
            first = str(error).strip().partition("\n")[0]
            return number, Outcome(reason=f"the worker died: {first}", has_died=True)
        return number, outcome

    def dismiss(self) -> None:
        """End all workers at once."""
        for actor in self._members.values():
            self._ray.kill(actor)
        self._members.clear()
        self._ray.shutdown()


def _ray() -> Any:  # noqa: ANN401 - an optional package
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise ConfigError("--engine ray needs Ray: pip install 'mono_depth_ros[ray]'") from None

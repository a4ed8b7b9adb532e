"""The snapshot service: the newest frame as files."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from mono_depth.display.snapshot import write_snapshot
from mono_depth.outputs.depth_result import DepthResult

_PATIENCE_S = 5.0
_INACTIVE = "the node is not active"


class SnapshotService:
    """Takes requests on the executor thread and serves them on the worker thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        # In the node's own group, a request that waits would keep out the image it waits for.
        self.callback_group = ReentrantCallbackGroup()
        self._lock = threading.Lock()
        self._waiting: list[tuple[Future, float]] = []  # answer to come, deadline
        self._is_open = False

    async def on_request(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Wait for the next frame and answer with the folder of its files."""
        if not self._is_open:
            response.message = _INACTIVE
            return response
        future = Future(executor=self._node.executor)
        with self._lock:
            self._waiting.append((future, time.monotonic() + _PATIENCE_S))
        response.success, response.message = await future
        return response

    @property
    def is_wanted(self) -> bool:
        """Tell whether someone waits for the next frame."""
        return bool(self._waiting)

    def serve(self, result: DepthResult, folder: Path) -> None:
        """Write `result` and answer everyone who waits."""
        try:
            answer = (True, str(write_snapshot(result, folder)))
        except OSError as error:
            answer = (False, f"cannot write the snapshot: {error}")
        self._answer(answer, self._take(before_s=None))

    def expire(self) -> None:
        """Answer those who waited too long."""
        late = self._take(before_s=time.monotonic())
        self._answer((False, f"no usable image within {_PATIENCE_S:.0f} s"), late)

    def open(self) -> None:
        """Accept requests: frames will come."""
        self._is_open = True

    def close(self) -> None:
        """Answer everyone, also those who ask later, that no frames will come."""
        self._is_open = False
        self._answer((False, _INACTIVE), self._take(before_s=None))

    def _take(self, *, before_s: float | None) -> list[Future]:
        with self._lock:
            taken = [item for item in self._waiting if before_s is None or item[1] < before_s]
            self._waiting = [item for item in self._waiting if item not in taken]
        return [future for future, _ in taken]

    @staticmethod
    def _answer(answer: tuple[bool, str], futures: list[Future]) -> None:
        for future in futures:
            future.set_result(answer)

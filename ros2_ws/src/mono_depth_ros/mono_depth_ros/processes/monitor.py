"""Follows the depth node by what it says of itself on /diagnostics."""

from __future__ import annotations

import contextlib
import threading

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions


class Monitor:
    """Listens in a thread of its own."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        rclpy.init(
            args=[],
            context=self._context,
            domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = rclpy.create_node("demo", context=self._context)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_message, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self.values: dict[str, str] = {}  # of the newest message, all statuses of the node
        self.error = ""  # what the node says is wrong
        self.messages = 0
        self._thread.start()

    @property
    def is_active(self) -> bool:
        """Tell whether the node works."""
        return self.values.get("lifecycle") == "active"

    @property
    def published(self) -> int:
        """Return how many frames the node has published."""
        return int(self.values.get("published", 0))

    def close(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_message(self, message: DiagnosticArray) -> None:
        values: dict[str, str] = {}
        for status in message.status:
            values |= {pair.key: pair.value for pair in status.values}
            if status.level == DiagnosticStatus.ERROR:
                self.error = status.message
        self.values = values
        self.messages += 1

"""Receives what the depth node publishes and notes when: the robot's side of a measurement."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy

from mono_depth_ros.depth_node.publishers import TOPICS

# As many as a second of a fast camera: what is lost is lost on the way, not by this process.
_DEPTH = 100


class BenchSink(Node):
    """Subscribes to outputs as bytes, so that it takes little time from the node it measures."""

    def __init__(self, outputs: Sequence[str], *, is_reliable: bool = False) -> None:
        super().__init__("bench_sink")
        policy = QoSReliabilityPolicy
        qos = QoSProfile(
            depth=_DEPTH,
            reliability=policy.RELIABLE if is_reliable else policy.BEST_EFFORT,
        )
        self.arrivals_ms: dict[str, list[float]] = {name: [] for name in outputs}
        self.stamps_ns: dict[str, list[int]] = {name: [] for name in outputs}
        self.diagnostics: dict[str, str] = {}  # the newest values of all statuses
        self.problem = ""  # the newest message of level ERROR
        self._outputs = [
            self.create_subscription(
                TOPICS[name],
                f"/mono_depth/{name}",
                lambda data, name=name: self._on_output(name, data),
                qos,
                raw=True,
            )
            for name in outputs
        ]
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def is_connected(self) -> bool:
        """Tell whether the node is active and publishes every output."""
        active = self.diagnostics.get("lifecycle") == "active"
        return active and all(self.count_publishers(output.topic_name) for output in self._outputs)

    def count(self, name: str) -> int:
        """Return a counter of the node's diagnostics, 0 before the first message."""
        return int(self.diagnostics.get(name, "0"))

    def value_ms(self, name: str) -> float:
        """Return a time of the node's diagnostics, NaN if it is not there."""
        return float(self.diagnostics.get(name, "nan"))

    def _on_output(self, name: str, data: bytes) -> None:
        now_ns = time.time_ns()
        stamp_ns = _stamp_ns(data)
        self.stamps_ns[name].append(stamp_ns)
        self.arrivals_ms[name].append((now_ns - stamp_ns) * 1e-6)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics.update((value.key, value.value) for value in status.values)
            if status.level == b"\x02":
                self.problem = status.message


def _stamp_ns(data: bytes) -> int:
    """Read the stamp at the start of a serialised message with a header.

    Source: OMG DDS-XTypes 7.4, CDR: four bytes of encapsulation, the second tells the endianness.
    """
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * 10**9 + int(nanoseconds)

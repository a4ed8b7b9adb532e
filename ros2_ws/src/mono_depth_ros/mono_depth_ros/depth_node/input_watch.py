"""A voice for every input: what comes on it, what is used, and why not, once a second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from mono_depth_ros.sensors.tally import Tally

_UNUSED_S = 2.0  # images went without for this long: a person should know
_GRAPH_PERIOD_S = 1.0  # the graph of ROS is asked no oftener


@dataclass(frozen=True, kw_only=True)
class InputReport:
    """What became of one input up to a moment."""

    name: str
    received: int
    used: int
    refused: int
    age_s: float | None  # since the newest message, None = none came
    reason: str  # why the newest image had nothing of it, "" = it had
    is_warning: bool  # somebody means it to be used, and it is not


@dataclass(frozen=True, kw_only=True)
class _Peers:
    """Who publishes on a topic."""

    fitting: tuple[str, ...] = ()  # nodes
    topic: str = ""  # where others send what is not our type
    other_types: tuple[str, ...] = ()  # message types there that are not ours


class InputWatch:
    """Joins what the sensors have counted with what the graph of ROS knows.

    Args:
        node: whose graph is asked.
        tallies: of all inputs, by their name.
        types: message type of those that are subscribed to, as in "sensor_msgs/msg/Image", by
            topic; an input may have two.
    """

    def __init__(
        self, node: Node, tallies: Mapping[str, Tally], types: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._node, self._tallies, self._types = node, tallies, types
        self._remapped = {name for name in tallies if _is_remapped(node, name)}
        self._peers: dict[str, _Peers] = {}
        self._asked_s = float("-inf")

    def reports(self) -> list[InputReport]:
        """Return what there is to say of each input."""
        if time.monotonic() - self._asked_s >= _GRAPH_PERIOD_S:
            self._asked_s = time.monotonic()
            self._peers = {name: self._ask(name) for name in self._types}
        return [self._report(tally) for tally in self._tallies.values()]

    def _ask(self, name: str) -> _Peers:
        fitting: list[str] = []
        others: dict[str, set[str]] = {}
        for topic, ours in self._types[name].items():
            for endpoint in self._node.get_publishers_info_by_topic(topic):
                if endpoint.topic_type == ours:
                    fitting.append(endpoint.node_name)
                else:
                    others.setdefault(topic, set()).add(endpoint.topic_type)
        topic, types = next(iter(others.items()), ("", set()))
        return _Peers(fitting=tuple(sorted(fitting)), topic=topic, other_types=tuple(sorted(types)))

    def _report(self, tally: Tally) -> InputReport:
        peers = self._peers.get(tally.name, _Peers())
        is_meant = (
            tally.name in self._remapped
            or (not tally.off and bool(tally.received or peers.fitting or peers.other_types))
            or (tally.name == "tf" and not tally.received)
        )
        reason = self._reason(tally, peers)
        is_unused = tally.unused_s >= _UNUSED_S or bool(tally.off)
        if tally.name == "image":
            is_unused = bool(reason)
        return InputReport(
            name=tally.name,
            received=tally.received,
            used=tally.used,
            refused=tally.refused,
            age_s=tally.age_s,
            reason=reason,
            is_warning=is_meant and is_unused and bool(reason),
        )

    def _reason(self, tally: Tally, peers: _Peers) -> str:
        if tally.off:
            return f"{tally.off}, so {tally.topic} is not heard"
        if not tally.received and not tally.refused and tally.name in self._types:
            return self._why_silent(tally, peers) or tally.reason
        if tally.name == "image" and not tally.reason and len(peers.fitting) > 1:
            nodes = ", ".join(peers.fitting)
            return f"{len(peers.fitting)} publishers of {tally.topic} ({nodes}), expected 1"
        return tally.reason

    def _why_silent(self, tally: Tally, peers: _Peers) -> str:
        """Return what the graph tells of a topic on which nothing came, "" = nothing."""
        topic = tally.topic
        if peers.fitting:
            nodes = ", ".join(peers.fitting)
            return f"no message on {topic} of {nodes}; see `ros2 topic info -v {topic}`"
        if peers.other_types:
            types, ours = ", ".join(peers.other_types), self._types[tally.name][peers.topic]
            advice = _advice(peers.topic, ours, peers.other_types)
            return f"publishers of {peers.topic} send {types}, expected {ours}{advice}"
        is_remapped = tally.name in self._remapped
        return f"no message on {topic}: nothing publishes on it" if is_remapped else ""


def warnings_of(reports: Iterable[InputReport]) -> list[str]:
    """Return the reasons that a person should know, each once."""
    return list(dict.fromkeys(report.reason for report in reports if report.is_warning))


def values_of(reports: Iterable[InputReport]) -> dict[str, object]:
    """Return the key values of the diagnostics, as in "odom_received"."""
    values: dict[str, object] = {}
    for report in reports:
        age = "none received" if report.age_s is None else f"{report.age_s:.2f}"
        values |= {
            f"{report.name}_received": report.received,
            f"{report.name}_used": report.used,
            f"{report.name}_refused": report.refused,
            f"{report.name}_age_s": age,
            f"{report.name}_reason": report.reason,
        }
    return values


def type_name(message: Any) -> str:  # noqa: ANN401 - rclpy is untyped
    """Return the name of a message type as the graph has it."""
    package, kind, *_ = message.__module__.split(".")
    return f"{package}/{kind}/{message.__name__}"


def _is_remapped(node: Node, name: str) -> bool:
    if name == "tf":  # by its name of old, whatever the namespace
        return False
    resolved = node.resolve_topic_name(name)
    return bool(resolved != node.resolve_topic_name(name, only_expand=True))


def _advice(topic: str, ours: str, others: Iterable[str]) -> str:
    """Return how to hear images of another transport, "" = there is nothing to advise."""
    kinds = {kind.rpartition("/")[2] for kind in others}
    wanted = ours.rpartition("/")[2]
    if topic.endswith("sensor_depth") and wanted == "Image" and "CompressedImage" in kinds:
        return ": a topic of compressed depth is heard if its name ends in /compressedDepth"
    if wanted == "Image" and "CompressedImage" in kinds:
        return ": set image_transport to compressed (image_transport:=compressed)"
    if wanted == "CompressedImage" and "Image" in kinds and not topic.endswith("/compressed"):
        return ": set image_transport to raw (image_transport:=raw)"
    return ""

"""Messages that were sent once, before anybody listened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy

from mono_depth_ros.rclpy_support.qos import latched_qos, no_events


class LatchedInput:
    """A second subscription to a topic, made once a publisher that latches is there.

    One subscription cannot do both: one that asks for what was latched hears no volatile
    publisher, and each of those would warn of it on its own console.
    """

    def __init__(
        self, node: Node, message: type, name: str, callback: Callable[[Any], None]
    ) -> None:
        self._node, self._message, self._name, self._callback = node, message, name, callback
        self._subscription: Any = None

    def look(self) -> None:
        """Subscribe if a publisher latches; for a timer, while no message came."""
        if self._subscription is not None:
            return
        topic = self._node.resolve_topic_name(self._name)
        offers = self._node.get_publishers_info_by_topic(topic)
        latches = QoSDurabilityPolicy.TRANSIENT_LOCAL
        if any(offer.qos_profile.durability == latches for offer in offers):
            self._subscription = self._node.create_subscription(
                self._message,
                self._name,
                self._callback,
                latched_qos(),
                event_callbacks=no_events(),
            )

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

"""Quality of service of every topic, and a word when a peer does not fit."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSHistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    QoSReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


def input_qos(depth: int = 1) -> QoSProfile:
    """Return the profile of subscriptions: works with every publisher, keeps the newest."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def tf_qos(*, static: bool) -> QoSProfile:
    """Return the profile of /tf_static, which is latched, or of /tf. Source: tf2_ros qos.hpp."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=100,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if static else QoSDurabilityPolicy.VOLATILE,
    )


def output_qos() -> QoSProfile:
    """Return the profile of publishers: works with reliable and best-effort subscribers.

    Source: REP 2003, sensor data is published with the system default (reliable).
    """
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=5,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


def latched_qos() -> QoSProfile:
    """Return the profile of a state: whoever subscribes late gets the last message."""
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=QoSReliabilityPolicy.RELIABLE,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
    )


def overridable() -> QoSOverridingOptions:
    """Let users set history, depth and reliability as `qos_overrides./topic...` parameters."""
    return QoSOverridingOptions.with_default_policies()


def publisher_events(node: Node, topic: str) -> PublisherEventCallbacks:
    """Log when a subscriber asks `topic` for more than is offered."""
    return PublisherEventCallbacks(
        incompatible_qos=lambda event: _tell(node, topic, "subscriber", event.last_policy_kind)
    )


def subscription_events(node: Node, topic: str) -> SubscriptionEventCallbacks:
    """Log when a publisher offers `topic` less than is asked for."""
    return SubscriptionEventCallbacks(
        incompatible_qos=lambda event: _tell(node, topic, "publisher", event.last_policy_kind)
    )


def no_events() -> SubscriptionEventCallbacks:
    """Stay silent about publishers that do not fit: another subscription hears them."""
    return SubscriptionEventCallbacks(use_default_callbacks=False)


def _tell(node: Node, topic: str, peer: str, policy: int) -> None:
    name = QoSPolicyKind(policy).name.lower()
    node.get_logger().warning(
        f"a {peer} of {topic} has an incompatible {name} policy, so no message passes between us; "
        f"compare with `ros2 topic info -v {topic}` and set qos_overrides.{topic}"
    )

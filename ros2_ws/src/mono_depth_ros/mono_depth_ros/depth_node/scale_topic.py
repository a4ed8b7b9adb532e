"""The state of the metric scale as a message: in the diagnostics, and latched on its own topic."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node

from mono_depth.data import PlannerUse, ScaleStatus
from mono_depth_ros.rclpy_support.qos import latched_qos

_LEVELS = {
    "valid": DiagnosticStatus.OK,
    "lost": DiagnosticStatus.ERROR,
}


def full_name(node: Node) -> str:
    """Return the name of a node with its namespace, which tells apart those of two robots."""
    return str(node.get_fully_qualified_name()).lstrip("/")


def scale_values(scale: ScaleStatus) -> dict[str, str]:
    """Return what is known of the scale, by key."""
    return {
        "scale_source": scale.source,
        "scale_state": scale.state,
        "planner_use": scale.planner_use.value,
        "scale_reason": scale.reason,
        "scale": f"{scale.scale:.5g}",
        "scale_shift": f"{scale.shift:.5g}",
        "scale_sigma_rel": f"{scale.sigma_rel:.4f}",
        "scale_age_s": f"{scale.age_s:.2f}",
        "scale_inliers": str(scale.inliers),
        "scale_last_reject": scale.last_reject,
        "scale_conflict": scale.conflict,
    }


class ScaleReporter:
    """Publishes the state of the scale on `~/scale` whenever it changes; late joiners get it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticStatus, "~/scale", latched_qos())
        self._last: tuple[str, str, str, PlannerUse] | None = None

    def report(self, scale: ScaleStatus) -> None:
        """Publish the state if it is another one than before."""
        key = scale.source, scale.state, scale.conflict, scale.planner_use
        if key == self._last:
            return
        self._last = key
        values = [KeyValue(key=name, value=value) for name, value in scale_values(scale).items()]
        message = DiagnosticStatus(
            level=_LEVELS.get(scale.state, DiagnosticStatus.WARN),
            name=f"{full_name(self._node)}: scale",
            message=f"{scale.source}: {scale.state}"
            + (f", {scale.reason}" if scale.reason else ""),
            hardware_id="none",
            values=values,
        )
        self._publisher.publish(message)

    def destroy(self) -> None:
        """Remove the publisher from the node."""
        self._node.destroy_publisher(self._publisher)

r"""Tells an autopilot what the scan sees: 72 sectors of 5 degrees, as MAVLink, to PX4, to mavros.

    ros2 run mono_depth_ros obstacle_distance --ros-args -r scan:=/mono_depth/scan \
        -p mavlink.host:=192.168.1.10 -p mavlink.port:=14550

When the scan falls silent, so does this node: the autopilot then knows that it sees nothing.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.time import Time
from sensor_msgs.msg import LaserScan

from mono_depth.config import Param, check_limits
from mono_depth.errors import ConfigError
from mono_depth.outputs.obstacle_distance import (
    SECTOR_DEG,
    ObstacleDistance,
    ScanRays,
    mavros_ranges,
    obstacle_distance,
)
from mono_depth_ros.autopilot.mavlink_link import MavlinkLink
from mono_depth_ros.autopilot.pace import Pace
from mono_depth_ros.autopilot.px4_link import Px4Link
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.qos import input_qos, output_qos
from mono_depth_ros.rclpy_support.run_nodes import run_until_finished

_BEAT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class MavlinkConfig:
    """Where MAVLink goes."""

    host: Annotated[str, Param("Autopilot, router or simulation that listens.")] = "127.0.0.1"
    port: Annotated[int, Param("Its UDP port.", 1, 65535)] = 14550
    system_id: Annotated[
        int, Param("MAVLink system of the vehicle (MAV_SYS_ID, SYSID_THISMAV).", 1, 255)
    ] = 1

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class ObstacleDistanceConfig:
    """The parameters of the node."""

    protocol: Annotated[
        str,
        Param(
            "How the autopilot is told: mavlink = over UDP; px4 = over uXRCE-DDS, with px4_msgs; "
            "none = by the topic scan_frd alone, for mavros.",
            choices=("mavlink", "px4", "none"),
        ),
    ] = "mavlink"
    yaw_deg: Annotated[
        float,
        Param(
            "Heading of the scan's frame in the vehicle, counter-clockwise [deg]; 0 = ahead.",
            -180.0,
            180.0,
        ),
    ] = 0.0
    min_rate_hz: Annotated[
        float, Param("The newest scan is sent again to keep this rate [Hz].", 1.0, 50.0)
    ] = 10.0
    max_rate_hz: Annotated[float, Param("No more messages than this [Hz].", 1.0, 100.0)] = 30.0
    max_age_s: Annotated[
        float,
        Param("A scan whose stamp is older, or as far in the future, is not sent [s].", 0.05, 2.0),
    ] = 0.4
    odom_frame_id: Annotated[
        str, Param("With protocol px4: frame of the poses on the topic odom.")
    ] = "odom"
    body_frame_id: Annotated[
        str, Param("With protocol px4: frame of the vehicle, x forward, z up.")
    ] = "base_link"
    mavlink: MavlinkConfig = field(default_factory=MavlinkConfig)

    def __post_init__(self) -> None:
        check_limits(self)
        if self.max_rate_hz < self.min_rate_hz:
            raise ConfigError(
                f"max_rate_hz = {self.max_rate_hz} must not be below "
                f"min_rate_hz = {self.min_rate_hz}"
            )


class Link(Protocol):
    """A way to an autopilot."""

    problem: str  # why the newest message did not get out, "" = it did

    def send(self, message: ObstacleDistance) -> None:
        """Send the distances."""

    def beat(self) -> None:
        """Say that this computer is there; called once a second."""

    def close(self) -> None:
        """Free everything."""


class ObstacleDistanceNode(GuardedNode):
    """Hears `scan`, sends sectors, and publishes them as `scan_frd` in the order of mavros."""

    @destroyed_on_error
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("obstacle_distance", **kwargs)
        parameters = NodeParameters(
            self, ObstacleDistanceConfig(), is_fixed=lambda: True, on_change=lambda _: None
        )
        self.config = config = parameters.config
        self.problem = ""
        self.finished = threading.Event()
        self._pace = Pace(
            min_rate_hz=config.min_rate_hz,
            max_rate_hz=config.max_rate_hz,
            max_age_s=config.max_age_s,
        )
        self._newest: ObstacleDistance | None = None
        self._is_silent = True
        self.sent = self.refused = 0
        self._link = self._make_link()
        self._frd = self.create_publisher(LaserScan, "scan_frd", output_qos())
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(LaserScan, "scan", self._on_scan, input_qos())
        self.create_timer(0.5 / config.min_rate_hz, self._keep_rate)
        self.create_timer(_BEAT_S, self._beat)

    def close(self) -> None:
        """Close the way to the autopilot and free everything."""
        if self._link is not None:
            self._link.close()
        self.destroy_node()

    def _make_link(self) -> Link | None:
        config = self.config
        if config.protocol == "mavlink":
            to = config.mavlink
            return MavlinkLink(to.host, to.port, to.system_id)
        if config.protocol == "px4":
            return Px4Link(self, config.odom_frame_id, config.body_frame_id)
        return None

    def _on_scan(self, scan: LaserScan) -> None:
        rays = ScanRays.of_scan(
            scan.ranges,
            angle_min_rad=scan.angle_min,
            angle_step_rad=scan.angle_increment,
            range_min_m=scan.range_min,
            range_max_m=scan.range_max,
            stamp_ns=stamp_ns(scan.header),
            yaw_rad=math.radians(self.config.yaw_deg),
        )
        self._newest = obstacle_distance(rays)
        if self._pace.is_fresh(rays.stamp_ns * 1e-9, self._now_s()):
            self._send_if_due(is_new=True)
        else:
            self.refused += 1

    def _keep_rate(self) -> None:
        self._send_if_due(is_new=False)
        newest = self._newest
        is_silent = newest is None or not self._pace.is_fresh(newest.stamp_ns * 1e-9, self._now_s())
        if is_silent and not self._is_silent:
            self.get_logger().warning(f"nothing is sent: {self._why_silent()}")
        elif self._is_silent and not is_silent:
            self.get_logger().info("the scan is there: obstacle distances are sent")
        self._is_silent = is_silent

    def _send_if_due(self, *, is_new: bool) -> None:
        newest = self._newest
        if newest is None or not self._pace.is_due(
            newest.stamp_ns * 1e-9, self._now_s(), is_new=is_new
        ):
            return
        self.sent += 1
        if self._link is not None:
            self._link.send(newest)
        if self._frd.get_subscription_count():
            self._frd.publish(scan_for_mavros(newest, self.config.body_frame_id))

    def _beat(self) -> None:
        if self._link is not None:
            self._link.beat()
        self._tell()

    def _tell(self) -> None:
        link_problem = "" if self._link is None else self._link.problem
        words = self._why_silent() if self._is_silent else link_problem
        level = DiagnosticStatus.ERROR if self._is_silent else DiagnosticStatus.WARN
        status = DiagnosticStatus(
            name=f"{self.get_name()}: autopilot",
            level=level if words else DiagnosticStatus.OK,
            message=words or "obstacle distances are sent",
            values=[
                KeyValue(key="protocol", value=self.config.protocol),
                KeyValue(key="sent", value=str(self.sent)),
                KeyValue(key="scans_too_old", value=str(self.refused)),
            ],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _why_silent(self) -> str:
        topic = self.resolve_topic_name("scan")
        if self._newest is None:
            return f"no scan on {topic} yet"
        age_s = self._now_s() - self._newest.stamp_ns * 1e-9
        if age_s < 0.0:
            return f"the scan on {topic} is stamped {-age_s:.1f} s in the future: clocks differ"
        return f"the newest scan on {topic} is {age_s:.1f} s old"

    def _now_s(self) -> float:
        return float(self.get_clock().now().nanoseconds) * 1e-9


def scan_for_mavros(message: ObstacleDistance, frame_id: str) -> LaserScan:
    """Return the sectors as mavros' plugin expects them: clockwise, which REP 103 is not."""
    ranges, range_min_m, range_max_m = mavros_ranges(message)
    step_rad = math.radians(SECTOR_DEG)
    scan = LaserScan(
        angle_min=0.0,
        angle_max=step_rad * (len(ranges) - 1),
        angle_increment=step_rad,
        range_min=range_min_m,
        range_max=range_max_m,
        ranges=ranges.tolist(),
    )
    scan.header.frame_id = f"{frame_id}_frd"
    scan.header.stamp = Time(nanoseconds=message.stamp_ns).to_msg()
    return scan


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run_until_finished(ObstacleDistanceNode, args)


if __name__ == "__main__":
    main()

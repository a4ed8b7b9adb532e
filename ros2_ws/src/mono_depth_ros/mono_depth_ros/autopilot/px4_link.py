"""PX4 over uXRCE-DDS: distances to the vehicle, and its odometry from it.

Needs the messages of `px4_msgs`, of the branch of the firmware, built in the workspace. Times are
those of ROS: the uXRCE-DDS client converts them (PX4 parameter UXRCE_DDS_SYNCT, on by default).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.time import Time

from mono_depth.camera.aerospace import body_from_frd, odom_from_local, odom_orientation
from mono_depth.errors import ConfigError, FrameError
from mono_depth.outputs.obstacle_distance import ObstacleDistance
from mono_depth_ros.rclpy_support.qos import input_qos, output_qos

_BODY_FRD = 12  # MAV_FRAME_BODY_FRD, the same number in px4_msgs
_POSE_NED, _POSE_FRD = 1, 2  # px4_msgs/VehicleOdometry.POSE_FRAME_*
_VELOCITY_BODY = 3  # px4_msgs/VehicleOdometry.VELOCITY_FRAME_BODY_FRD
_UNKNOWN_SENSOR = 4  # MAV_DISTANCE_SENSOR_UNKNOWN


class Px4Link:
    """Publishes to /fmu/in and hears /fmu/out, under the namespace of the node."""

    def __init__(self, node: Node, odom_frame_id: str, body_frame_id: str) -> None:
        """Make publishers and subscriptions on `node`.

        Raises:
            ConfigError: px4_msgs cannot be imported.
        """
        try:
            from px4_msgs.msg import ObstacleDistance as Px4Distance
            from px4_msgs.msg import VehicleOdometry
        except ImportError as error:
            raise ConfigError(
                f"protocol px4 needs px4_msgs ({error}): build "
                "https://github.com/PX4/px4_msgs, the branch of your firmware, in this workspace; "
                "or use protocol mavlink"
            ) from error
        self.problem = ""
        self._message = Px4Distance
        self._frames = odom_frame_id, body_frame_id
        self._out = node.create_publisher(Px4Distance, "fmu/in/obstacle_distance", output_qos())
        self._odom = node.create_publisher(Odometry, "odom", output_qos())
        node.create_subscription(
            VehicleOdometry, "fmu/out/vehicle_odometry", self._on_odometry, input_qos(depth=10)
        )

    def send(self, message: ObstacleDistance) -> None:
        """Publish the distances."""
        self._out.publish(filled(self._message(), message))

    def beat(self) -> None:
        """Do nothing: DDS knows who is there."""

    def close(self) -> None:
        """Do nothing: publishers end with their node."""

    def _on_odometry(self, message: Any) -> None:  # noqa: ANN401 - px4_msgs may be missing
        self._odom.publish(odometry_from_px4(message, *self._frames))


def filled(px4: Any, message: ObstacleDistance) -> Any:  # noqa: ANN401 - px4_msgs may be missing
    """Return a px4_msgs/ObstacleDistance with the distances in it."""
    px4.timestamp = message.stamp_ns // 1000
    px4.frame = _BODY_FRD
    px4.sensor_type = _UNKNOWN_SENSOR
    px4.distances = message.distances_cm
    px4.increment = message.increment_deg
    px4.min_distance, px4.max_distance = message.min_cm, message.max_cm
    px4.angle_offset = message.angle_offset_deg
    return px4


def odometry_from_px4(px4: Any, odom_frame_id: str, body_frame_id: str) -> Odometry:  # noqa: ANN401
    """Return a px4_msgs/VehicleOdometry as nav_msgs/Odometry (REP 103, REP 105).

    Raises:
        FrameError: it has no frame, or numbers that are none.
    """
    is_north = px4.pose_frame == _POSE_NED
    if not is_north and px4.pose_frame != _POSE_FRD:
        raise FrameError(f"vehicle_odometry has pose_frame {px4.pose_frame}, neither NED nor FRD")
    orientation = odom_orientation(px4.q, is_north_aligned=is_north)
    position = odom_from_local(px4.position, is_north_aligned=is_north)
    if orientation is None or not np.isfinite(position).all():
        raise FrameError("vehicle_odometry has no pose yet: its numbers are not finite")
    odometry = Odometry(child_frame_id=body_frame_id)
    odometry.header.frame_id = odom_frame_id
    odometry.header.stamp = Time(nanoseconds=int(px4.timestamp_sample) * 1000).to_msg()
    place, turned = odometry.pose.pose.position, odometry.pose.pose.orientation
    place.x, place.y, place.z = map(float, position)
    turned.w, turned.x, turned.y, turned.z = orientation
    twist = odometry.twist.twist
    turn_rate = body_from_frd(px4.angular_velocity)
    if np.isfinite(turn_rate).all():
        twist.angular.x, twist.angular.y, twist.angular.z = map(float, turn_rate)
    if px4.velocity_frame == _VELOCITY_BODY and np.isfinite(px4.velocity).all():
        velocity = body_from_frd(px4.velocity)
        twist.linear.x, twist.linear.y, twist.linear.z = map(float, velocity)
    return odometry

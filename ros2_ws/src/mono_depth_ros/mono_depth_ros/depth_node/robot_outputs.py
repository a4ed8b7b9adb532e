"""What a robot steers by: scan, obstacles and free space of a frame, or silence and its reason.

A planner takes a message that says nothing for a free way. So where a frame does not suffice
there is no message, and time-outs of the planner stop the robot.
"""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import LaserScan, PointCloud2
from std_msgs.msg import Header

from mono_depth.camera.level import Rotation
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.obstacle_points import ObstaclePoints
from mono_depth.outputs.robot_view import NOTHING_SURE, RobotView, RobotViews
from mono_depth_ros.codec.encode import encode_heights
from mono_depth_ros.codec.scan import encode_scan
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node.level_frame import level_frame_name, level_transform
from mono_depth_ros.rclpy_support.qos import tf_qos

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # there is no wheel of it
    TFMessage = None

ROBOT_TOPICS: dict[str, type] = {
    "level_frame": TransformStamped,
    "scan": LaserScan,
    "points_obstacles": PointCloud2,
    "points_clearing": PointCloud2,
}

_LONGEST_SCAN_S = 1.0  # between two scans: a longer time is a pause


class RobotOutputs:
    """Makes the messages of `ROBOT_TOPICS`; publishes the level frame of the scan on /tf."""

    def __init__(self, node: LifecycleNode) -> None:
        self._views = RobotViews()
        self._newest: tuple[DepthResult, RobotView | None] | None = None
        self._scanned_ns = 0
        self.silence = ""  # why an output of the newest frame is missing, "" = none is
        self._tf = None
        if TFMessage is not None:
            self._tf = node.create_publisher(TFMessage, "/tf", tf_qos(static=False))

    def reset(self) -> None:
        """Forget earlier frames."""
        self._views.reset()

    def level_frame(
        self, result: DepthResult, header: Header, config: NodeConfig
    ) -> TransformStamped | None:
        """Return the pose of the level frame in that of the images."""
        view = self._view(result, config)
        if view is None:
            return None
        return level_transform(header, view.seen.view.R_level_camera, config.frames.optical_frame)

    def scan(self, result: DepthResult, header: Header, config: NodeConfig) -> LaserScan | None:
        """Return the scan, whose frame is sent on /tf before it."""
        view = self._view(result, config)
        if view is None:
            return None
        if view.scan is None:
            self.silence = NOTHING_SURE
            return None
        optical_frame = config.frames.optical_frame
        self._send_tf(header, view.seen.view.R_level_camera, optical_frame)
        now_ns, before_ns = stamp_ns(header), self._scanned_ns
        self._scanned_ns = now_ns
        scan_time_s = (now_ns - before_ns) * 1e-9
        return encode_scan(
            view.scan,
            Header(stamp=header.stamp, frame_id=level_frame_name(header.frame_id, optical_frame)),
            scan_time_s=scan_time_s if 0.0 < scan_time_s < _LONGEST_SCAN_S else 0.0,
        )

    def obstacles(
        self, result: DepthResult, header: Header, config: NodeConfig
    ) -> PointCloud2 | None:
        """Return what is in the way, in the frame of the images."""
        view = self._view(result, config)
        if view is None:
            return None
        if view.obstacles is None:
            self.silence = NOTHING_SURE
            return None
        return _cloud(view.obstacles, header)

    def clearing(
        self, result: DepthResult, header: Header, config: NodeConfig
    ) -> PointCloud2 | None:
        """Return what is seen to be free, in the frame of the images."""
        view = self._view(result, config)
        return None if view is None or view.clearing is None else _cloud(view.clearing, header)

    def destroy(self, node: LifecycleNode) -> None:
        """Remove the publisher of /tf from the node."""
        if self._tf is not None:
            node.destroy_publisher(self._tf)

    def _view(self, result: DepthResult, config: NodeConfig) -> RobotView | None:
        """Return what there is to say of a frame, judged once; None = nothing may be said."""
        if self._newest is None or self._newest[0] is not result:
            view = self._views.of(result, config.scan)
            self.silence = view if isinstance(view, str) else view.silence
            self._newest = result, None if isinstance(view, str) or self.silence else view
        return self._newest[1]

    def _send_tf(self, header: Header, R_level_camera: Rotation, optical_frame: str) -> None:
        if self._tf is not None:
            transform = level_transform(header, R_level_camera, optical_frame)
            self._tf.publish(TFMessage(transforms=[transform]))


def _cloud(found: ObstaclePoints, header: Header) -> PointCloud2:
    return encode_heights(np.ascontiguousarray(found.points.cpu().numpy()), header)

"""Metric points from LiDAR, VIO or SLAM, brought to the camera at the stamp of an image."""

from __future__ import annotations

import threading
import time

import numpy as np
from sensor_msgs.msg import PointCloud2

from mono_depth.messages.point_cloud import Points, read_points
from mono_depth.stream.clock_watch import ClockChange
from mono_depth.stream.timeline import Timeline
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.camera_poses import CameraPoses

_ALIVE_S = 2.0  # points that came within this time should be used


class PointsBuffer:
    """Keeps the newest cloud. Filled by the executor thread, asked by the worker."""

    def __init__(self, poses: CameraPoses) -> None:
        self._poses = poses
        self._lock = threading.Lock()
        self._line: Timeline[tuple[str, Points]] = Timeline(max_items=1)
        self._heard_s = float("-inf")
        self.problem = ""  # why the newest image has none, "" = it has, or none come in

    def on_cloud(self, msg: PointCloud2) -> None:
        """Take in a cloud.

        Raises:
            FrameError: it is malformed.
        """
        entry = msg.header.frame_id.lstrip("/"), read_points(msg)
        with self._lock:
            self._line.add(stamp_ns(msg.header), entry)
            self._heard_s = time.monotonic()

    def follow(self, change: ClockChange) -> None:
        """Do as another input that shows a jump of the clock."""
        with self._lock:
            self._line.follow(change)

    def at(self, at_ns: int, camera_frame: str, max_age_s: float) -> Points | None:
        """Return (N, 3) points in the optical frame at a stamp, None if there are none for it.

        With poses the camera's motion since the cloud is taken into account.
        """
        with self._lock:
            newest = self._line.items[-1] if self._line.items else None
        apart_s = 0.0 if newest is None else (at_ns - newest[0]) * 1e-9
        self.problem = ""
        is_apart = abs(apart_s) > max_age_s
        if is_apart and time.monotonic() - self._heard_s < _ALIVE_S:
            side = "before" if apart_s > 0.0 else "after"
            self.problem = (
                f"no sparse_points at the stamp of the image: the newest lie {abs(apart_s):.3f} s "
                f"{side} it, odometry.points_max_age_s is {max_age_s:g}"
            )
        if newest is None or is_apart:
            return None
        cloud_ns, (cloud_frame, points) = newest
        T_camera_cloud = np.eye(4)
        if cloud_frame != camera_frame:
            found = self._poses.tree.lookup(camera_frame, cloud_frame, cloud_ns)
            if found is None:
                return None
            T_camera_cloud = found
        then = self._poses.at(cloud_ns, camera_frame)
        now = self._poses.at(at_ns, camera_frame)
        if then is not None and now is not None:
            T_camera_cloud = np.linalg.inv(now) @ then @ T_camera_cloud
        R, t = T_camera_cloud[:3, :3], T_camera_cloud[:3, 3]
        return np.asarray(points @ R.T + t, np.float32)

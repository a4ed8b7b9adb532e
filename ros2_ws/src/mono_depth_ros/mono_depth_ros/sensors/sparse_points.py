"""Metric points from LiDAR, VIO or SLAM, brought to the camera at the stamp of an image."""

from __future__ import annotations

import threading

import numpy as np
from sensor_msgs.msg import PointCloud2

from mono_depth.messages.point_cloud import Points, read_points
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.camera_poses import CameraPoses


class PointsBuffer:
    """Keeps the newest cloud. Filled by the executor thread, asked by the worker."""

    def __init__(self, poses: CameraPoses) -> None:
        self._poses = poses
        self._lock = threading.Lock()
        self._newest: tuple[int, str, Points] | None = None

    def on_cloud(self, msg: PointCloud2) -> None:
        """Take in a cloud.

        Raises:
            FrameError: it is malformed.
        """
        entry = stamp_ns(msg.header), msg.header.frame_id.lstrip("/"), read_points(msg)
        with self._lock:
            self._newest = entry

    def at(self, at_ns: int, camera_frame: str, max_age_s: float) -> Points | None:
        """Return (N, 3) points in the optical frame at a stamp, None if there are none for it.

        With poses the camera's motion since the cloud is taken into account.
        """
        with self._lock:
            newest = self._newest
        if newest is None or abs(at_ns - newest[0]) > max_age_s * 1e9:
            return None
        cloud_ns, cloud_frame, points = newest
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

"""Metric points from LiDAR, VIO or SLAM, brought to the camera at the stamp of an image."""

from __future__ import annotations

import threading

import numpy as np
from sensor_msgs.msg import PointCloud2

from mono_depth.camera.poses import Pose
from mono_depth.errors import FrameError
from mono_depth.messages.frame_names import frame_name
from mono_depth.messages.point_cloud import Points, read_points
from mono_depth.stream.clock_watch import ClockChange
from mono_depth.stream.timeline import Timeline
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.camera_poses import CameraPoses
from mono_depth_ros.sensors.tally import Tally, apart


class PointsBuffer:
    """Keeps the newest cloud. Filled by the executor thread, asked by the worker."""

    def __init__(self, poses: CameraPoses) -> None:
        self._poses = poses
        self._lock = threading.Lock()
        self._line: Timeline[tuple[str, Points]] = Timeline(max_items=1)
        self.tally = Tally("sparse_points")
        self.problem = ""  # why the newest image has no points, "" = it has

    @property
    def frame(self) -> str:
        """Frame of the newest cloud, "" = there was none, or it names none."""
        newest = self._newest()
        return "" if newest is None else newest[1][0]

    def on_cloud(self, msg: PointCloud2) -> None:
        """Take in a cloud.

        Raises:
            FrameError: it is malformed.
        """
        try:
            at_ns, points = stamp_ns(msg.header), read_points(msg)
        except FrameError as error:
            self.tally.refuse(f"sparse_points skipped: {error}")
            raise
        self.tally.hear(at_ns)
        with self._lock:
            self._line.add(at_ns, (frame_name(msg.header.frame_id), points))

    def follow(self, change: ClockChange) -> None:
        """Do as another input that shows a jump of the clock."""
        with self._lock:
            self._line.follow(change)

    def at(self, at_ns: int, camera_frame: str, max_age_s: float) -> Points | None:
        """Return (N, 3) points in the optical frame at a stamp; None: `problem` tells why.

        With poses the camera's motion since the cloud is taken into account.
        """
        newest = self._newest()
        if newest is None:
            self.problem = self.tally.silence
            return None
        cloud_ns, (cloud_frame, points) = newest
        if abs(at_ns - cloud_ns) > max_age_s * 1e9:
            self.problem = (
                f"sparse_points: the newest cloud is {apart(cloud_ns, at_ns)}, "
                f"odometry.points_max_age_s is {max_age_s:g}"
            )
            return None
        T_camera_cloud = self._seen_from(camera_frame, cloud_frame, cloud_ns)
        if T_camera_cloud is None:
            return None
        self.problem = ""
        then = self._poses.find(cloud_ns, camera_frame)
        now = self._poses.find(at_ns, camera_frame)
        if then is not None and now is not None:
            T_camera_cloud = np.linalg.inv(now) @ then @ T_camera_cloud
        R, t = T_camera_cloud[:3, :3], T_camera_cloud[:3, 3]
        return np.asarray(points @ R.T + t, np.float32)

    def _newest(self) -> tuple[int, tuple[str, Points]] | None:
        with self._lock:
            return self._line.items[-1] if self._line.items else None

    def _seen_from(self, camera_frame: str, cloud_frame: str, cloud_ns: int) -> Pose | None:
        if cloud_frame == camera_frame:
            return np.eye(4)
        if not cloud_frame:
            self.problem = "sparse_points: the frame_id is empty, so nobody can tell where they are"
            return None
        T_camera_cloud = self._poses.tree.lookup(camera_frame, cloud_frame, cloud_ns)
        if T_camera_cloud is None:
            why = self._poses.tree.why(camera_frame, cloud_frame, cloud_ns)
            self.problem = f"sparse_points: {why}"
        return T_camera_cloud

"""Metric points from LiDAR, VIO or SLAM, brought to the camera at the stamp of an image."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import PointCloud2, PointField

from mono_depth.errors import FrameError
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.camera_poses import CameraPoses

_TYPES = {PointField.FLOAT32: "f4", PointField.FLOAT64: "f8"}
_MAX_POINTS = 20_000

Points = npt.NDArray[np.float32]  # (N, 3)


def read_points(msg: PointCloud2) -> Points:
    """Return the finite x, y, z of a cloud as (N, 3) float32, at most 20 000 of them.

    Raises:
        FrameError: the cloud has no such fields, or less data than it says.
    """
    fields = {item.name: item for item in msg.fields}
    missing = [name for name in "xyz" if name not in fields or fields[name].datatype not in _TYPES]
    if missing:
        raise FrameError(f"the cloud has no float field {', '.join(missing)}")
    count = msg.width * msg.height
    row_bytes = msg.width * msg.point_step
    if msg.row_step < row_bytes or len(msg.data) < msg.row_step * msg.height:
        raise FrameError(
            f"cloud of {msg.width}x{msg.height} points with {len(msg.data)} bytes, "
            f"expected {max(msg.row_step, row_bytes) * msg.height}"
        )
    order = ">" if msg.is_bigendian else "<"
    layout = np.dtype(
        {
            "names": ["x", "y", "z"],
            "formats": [order + _TYPES[fields[name].datatype] for name in "xyz"],
            "offsets": [fields[name].offset for name in "xyz"],
            "itemsize": msg.point_step,
        }
    )
    rows = np.frombuffer(msg.data, np.uint8, msg.row_step * msg.height).reshape(msg.height, -1)
    records = np.ascontiguousarray(rows[:, :row_bytes]).reshape(-1).view(layout)
    records = records[:: max(1, -(-count // _MAX_POINTS))]
    points = np.stack([records[name].astype(np.float32) for name in "xyz"], axis=1)
    return points[np.isfinite(points).all(axis=1)]


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

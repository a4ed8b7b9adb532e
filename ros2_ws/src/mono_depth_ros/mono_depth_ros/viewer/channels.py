"""Messages of the depth node as what a browser gets; made only when one asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.messages.decode import decode_rgb
from mono_depth.messages.decode_image import decode_depth
from mono_depth.web.live.live_bytes import (
    depth_npy_mm,
    depth_points_npy,
    image_jpeg,
    points_npy,
    scan_json,
    status_json,
)
from mono_depth_ros.codec import cv_bridge_conversions

# x ahead, y left, z up, of a level camera whose frame is optical.
_AHEAD_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_LEVELS = {
    DiagnosticStatus.OK: "OK",
    DiagnosticStatus.WARN: "WARNING",
    DiagnosticStatus.ERROR: "ERROR",
    DiagnosticStatus.STALE: "STALE",
}
_SHOWN = (  # of the status of the stream
    "output_fps",
    "latency_p50_ms",
    "received",
    "published",
    "dropped",
    "skipped",
    "scale_source",
    "scale_state",
    "scale_sigma_rel",
    "planner_use",
    "scale_conflict",
    "temporal_mode",
    "motion",
    "robot_silence",
    "image_doubt",
    "last_error",
)


def camera_bytes(message: Image | CompressedImage, most_px: int) -> bytes:
    """Return the image of a camera as JPEG; see `image_jpeg`.

    Raises:
        FrameError: it cannot be decoded.
    """
    return image_jpeg(decode_rgb(message, fallback=cv_bridge_conversions), most_px)


def depth_bytes(message: Image, most_px: int) -> bytes:
    """Return a depth image of REP 118; see `depth_npy_mm`.

    Raises:
        FrameError: it is none.
    """
    return depth_npy_mm(decode_depth(message), most_px)


def depth_cloud_bytes(
    message: Image, info: CameraInfo, most: int, level: TransformStamped | None
) -> bytes:
    """Return the points of a depth image, x ahead, y left and z up; see `points_npy`.

    The depth node need not make a cloud for this.

    Args:
        message: of REP 118.
        info: camera of its pixels.
        most: points.
        level: pose of the level frame in that of the image, None = the camera is about level.

    Raises:
        FrameError: the message is no depth image, or the camera has no focal length.
    """
    depth_m = decode_depth(message)
    fx, fy = info.k[0], info.k[4]
    if not (fx > 0.0 and fy > 0.0):
        raise FrameError("a camera_info without a focal length")
    camera = Intrinsics(
        width=depth_m.shape[1], height=depth_m.shape[0], fx=fx, fy=fy, cx=info.k[2], cy=info.k[5]
    )
    R_level_ahead = np.eye(3)
    if level is not None:
        R_parent_level = _rotation(level)
        # Left of the camera is -x of an optical frame and y of a body's, however it is pitched.
        is_body = abs(R_parent_level[1, 1]) > abs(R_parent_level[0, 1])
        R_parent_ahead = np.eye(3) if is_body else _AHEAD_OPTICAL.T
        R_level_ahead = R_parent_level.T @ R_parent_ahead
    return depth_points_npy(depth_m, camera, most, R_level_ahead)


def cloud_bytes(message: PointCloud2, most: int, level: TransformStamped | None) -> bytes:
    """Return points of a cloud, x ahead, y left and z up; see `points_npy`.

    Args:
        message: with x, y, z in float32 first.
        most: points.
        level: pose of the level frame in that of the cloud, None = the cloud is in the optical
            frame of a camera that is about level.

    Raises:
        FrameError: it is another kind of cloud.
    """
    names = [item.name for item in message.fields[:3]]
    offsets = [item.offset for item in message.fields[:3]]
    step = message.point_step
    if names != ["x", "y", "z"] or offsets != [0, 4, 8] or step % 4 or message.is_bigendian:
        raise FrameError("a cloud without x, y and z as float32 at the begin of each point")
    rows = np.frombuffer(message.data, "<f4").reshape(-1, step // 4)
    every = max(1, len(rows) // (4 * most))  # most of an image's points are looked at by nobody
    points = np.asarray(rows[::every, :3], np.float64)
    R_level_cloud = _AHEAD_OPTICAL if level is None else _rotation(level).T
    return points_npy(np.asarray(points @ R_level_cloud.T, np.float32), most)


def scan_bytes(message: LaserScan) -> bytes:
    """Return a scan in its level frame; see `scan_json`."""
    return scan_json(
        np.asarray(message.ranges, np.float32),
        start_rad=message.angle_min,
        step_rad=message.angle_increment,
        most_m=message.range_max,
    )


def status_bytes(message: DiagnosticArray, node_name: str) -> bytes | None:
    """Return what the depth node says of itself, None = the message is of others."""
    rows: dict[str, Any] = {}
    for status in message.status:
        owner, _, what = status.name.rpartition(": ")
        if owner.strip("/").rpartition("/")[2] != node_name.strip("/").rpartition("/")[2]:
            continue
        rows[what] = f"{_LEVELS.get(status.level, '?')}: {status.message}"
        told = {pair.key: pair.value for pair in status.values}
        if what == "stream":
            rows |= {key.replace("_", " "): told[key] for key in _SHOWN if told.get(key)}
    return status_json(rows) if rows else None


def _rotation(level: TransformStamped) -> npt.NDArray[np.float64]:
    """Return R_parent_level of a transform. Source: Shepperd's quaternion to matrix, 1978."""
    turn = level.transform.rotation
    x, y, z, w = turn.x, turn.y, turn.z, turn.w
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )

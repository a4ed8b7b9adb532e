"""Gravity from an IMU, in the frame of the camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sensor_msgs.msg import Imu

from mono_depth.gravity import STANDARD_GRAVITY_MPS2, DirectionBuffer, GravityFilter, Vector
from mono_depth.temporal.poses import pose_from
from mono_depth_ros.stamps import stamp_ns
from mono_depth_ros.transforms import FrameTree, Rotation

_UNKNOWN = -1.0  # first covariance of what a driver does not give, sensor_msgs/Imu
_MAX_CONTRADICTION_DEG = 15.0


class ImuGravity:
    """Tells which way is down at the stamp of an image. Filled and asked by different threads.

    The orientation of the message is taken if it gives one that its acceleration does not
    contradict, else the acceleration itself.

    Source: REP 145: the acceleration has gravity in it, +9.81 m/s^2 up at rest; the orientation
    is that of the IMU in a frame whose z points up.
    """

    def __init__(self, tree: FrameTree, camera_in_imu: Rotation | None) -> None:
        """Start without samples.

        Args:
            tree: tells how IMU and camera are turned against one another.
            camera_in_imu: (3, 3) rotation of the optical frame in that of the IMU, instead of
                the tree.
        """
        self._tree, self._camera_in_imu = tree, camera_in_imu
        self._filter = GravityFilter()
        self._oriented = DirectionBuffer()
        self._frame: str | None = None
        self.source = ""  # of the newest answer: "orientation", "acceleration", "" = there was none
        self.problem = "no message received on imu"

    def on_imu(self, msg: Imu) -> None:
        """Take in one message; one with an impossible stamp is left out."""
        if msg.header.stamp.sec < 0:
            return
        at_ns = stamp_ns(msg.header)
        self._frame = msg.header.frame_id.lstrip("/")
        if msg.linear_acceleration_covariance[0] != _UNKNOWN:
            has_turn = msg.angular_velocity_covariance[0] != _UNKNOWN
            turn = _vector(msg.angular_velocity) if has_turn else None
            self._filter.add(at_ns, _vector(msg.linear_acceleration), turn)
        q = msg.orientation
        if msg.orientation_covariance[0] == _UNKNOWN:
            return
        T_world_imu = pose_from((0.0, 0.0, 0.0), (q.x, q.y, q.z, q.w))
        if T_world_imu is None:  # all zero: what drivers without orientation leave
            return
        self._oriented.add(at_ns, -T_world_imu[2, :3])

    def at(self, at_ns: int, camera_frame: str) -> Vector | None:
        """Return (3,) gravity in the optical frame; None where unknown, `problem` tells why."""
        self.source = ""
        if self._frame is None:
            return None
        R_camera_imu = self._rotation(camera_frame, at_ns)
        if R_camera_imu is None:
            self.problem = (
                f"nothing tells how the imu ({self._frame}) is turned against {camera_frame}: "
                "publish it on /tf_static or set imu.camera_in_imu"
            )
            return None
        down_imu = self._down(at_ns)
        return None if down_imu is None else np.asarray(R_camera_imu @ down_imu)

    def _rotation(self, camera_frame: str, at_ns: int) -> Rotation | None:
        if self._camera_in_imu is not None:
            return self._camera_in_imu.T
        T_camera_imu = self._tree.lookup(camera_frame, self._frame or "", at_ns)
        return None if T_camera_imu is None else T_camera_imu[:3, :3]

    def _down(self, at_ns: int) -> Vector | None:
        felt, oriented = self._filter.directions.at(at_ns), self._oriented.at(at_ns)
        self.problem = ""
        if felt is not None and oriented is not None:
            apart_deg = math.degrees(math.acos(min(1.0, max(-1.0, float(felt @ oriented)))))
            if apart_deg > _MAX_CONTRADICTION_DEG:
                self.problem = (
                    f"the orientation of the imu is {apart_deg:.0f} degrees off its acceleration, "
                    "and is not used"
                )
                oriented = None
        if oriented is not None:
            self.source = "orientation"
            return oriented
        if felt is not None:
            self.source = "acceleration"
            return felt
        if not self._filter.directions.reaches(at_ns):
            self.problem = "no message of the imu is near the stamp of the image"
        else:
            self.problem = (
                "the acceleration of the imu was not that of gravity alone for some time: it is "
                f"{self._filter.force_mps2:.2f} m/s^2, expected {STANDARD_GRAVITY_MPS2:.2f}"
            )
        return None


def _vector(message: Any) -> Vector:  # noqa: ANN401 - geometry_msgs is untyped
    return np.array((message.x, message.y, message.z))

"""Gravity from an IMU, in the frame of the camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sensor_msgs.msg import Imu

from mono_depth.camera.gravity import STANDARD_GRAVITY_MPS2, DirectionBuffer, GravityFilter, Vector
from mono_depth.camera.poses import pose_from
from mono_depth.messages.frame_names import frame_name
from mono_depth.stream.clock_watch import ClockChange
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.camera_poses import FrameTree, Rotation
from mono_depth_ros.sensors.tally import Alternation, Tally, apart

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
        self._frame_id, self._frame_ids = "", Alternation()  # as the messages have it
        self._says_down = False  # the newest message has an orientation or an acceleration
        self.tally = Tally("imu")
        self._told = "", "no message received on imu"

    @property
    def source(self) -> str:
        """What the newest answer is from: orientation or acceleration, "" = there was none."""
        return self._told[0]

    @property
    def problem(self) -> str:
        """Why the newest answer is none, or not from the orientation; "" = all is well."""
        return self._told[1]

    def on_imu(self, msg: Imu) -> None:
        """Take in one message; one with an impossible stamp is left out."""
        if msg.header.stamp.sec < 0:
            self.tally.refuse("the stamp of the imu is negative")
            return
        at_ns = stamp_ns(msg.header)
        self.tally.hear(at_ns)
        if msg.header.frame_id != self._frame_id or self._frame is None:
            self._name_frame(msg.header.frame_id)
        has_force = msg.linear_acceleration_covariance[0] != _UNKNOWN
        if has_force:
            has_turn = msg.angular_velocity_covariance[0] != _UNKNOWN
            turn = _vector(msg.angular_velocity) if has_turn else None
            self._filter.add(at_ns, _vector(msg.linear_acceleration), turn)
        q = msg.orientation
        is_default = q.x == q.y == q.z == 0.0  # what drivers without orientation leave
        T_world_imu = pose_from((0.0, 0.0, 0.0), (q.x, q.y, q.z, q.w))
        is_none = msg.orientation_covariance[0] == _UNKNOWN or is_default or T_world_imu is None
        if not is_none and T_world_imu is not None:
            self._oriented.add(at_ns, -T_world_imu[2, :3])
        self._says_down = has_force or not is_none

    def _name_frame(self, frame_id: str) -> None:
        if self._frame is not None:
            self._frame_ids.changed(self._frame_id, frame_id)
        self._frame_id, self._frame = frame_id, frame_name(frame_id)

    @property
    def is_mount_stated(self) -> bool:
        """Tell whether the rotation of the camera is a parameter, and not asked of the tree."""
        return self._camera_in_imu is not None

    def follow(self, change: ClockChange) -> None:
        """Do as another input that shows a jump of the clock."""
        self._filter.follow(change)
        self._oriented.follow(change)

    def at(self, at_ns: int, camera_frame: str) -> Vector | None:
        """Return (3,) gravity in the optical frame; None where unknown, `problem` tells why."""
        if self._frame is None:
            self._told = "", self.tally.silence
            return None
        R_camera_imu = self._rotation(camera_frame, at_ns)
        if R_camera_imu is None:
            self._told = "", self._why_not_turned(camera_frame)
            return None
        names = self._frame_ids.names
        if names is not None:
            self._told = "", f"two frame_ids take turns on imu: {' and '.join(names)}"
            return None
        down_imu, source, problem = self._down(at_ns)
        self._told = source, problem
        return None if down_imu is None else np.asarray(R_camera_imu @ down_imu)

    def _why_not_turned(self, camera_frame: str) -> str:
        if not self._frame:
            return "the frame_id of the imu is empty: name it, or set imu.camera_in_imu"
        advice = "publish it on /tf_static or set imu.camera_in_imu"
        if not self._tree.is_static_heard:
            advice = "set imu.camera_in_imu (tf2_msgs is not installed, so TF is not heard)"
        return (
            f"nothing tells how the imu ({self._frame}) is turned against {camera_frame}: {advice}"
        )

    def _rotation(self, camera_frame: str, at_ns: int) -> Rotation | None:
        if self._camera_in_imu is not None:
            return self._camera_in_imu.T
        T_camera_imu = self._tree.lookup(camera_frame, self._frame or "", at_ns)
        return None if T_camera_imu is None else T_camera_imu[:3, :3]

    def _down(self, at_ns: int) -> tuple[Vector | None, str, str]:
        """Return gravity in the frame of the IMU, its source, and what is wrong."""
        felt, oriented = self._filter.directions.at(at_ns), self._oriented.at(at_ns)
        if oriented is not None and felt is not None:
            apart_deg = math.degrees(math.acos(min(1.0, max(-1.0, float(felt @ oriented)))))
            if apart_deg > _MAX_CONTRADICTION_DEG:
                problem = f"the orientation of the imu is {apart_deg:.0f} degrees off its"
                return felt, "acceleration", f"{problem} acceleration, and is not used"
        if oriented is not None:
            return oriented, "orientation", ""
        if felt is not None:
            return felt, "acceleration", ""
        if not self._says_down:
            problem = "the messages of the imu have neither an orientation nor an acceleration"
            return None, "", problem
        if not self._filter.directions.reaches(at_ns):
            return (
                None,
                "",
                f"{self._clock(at_ns)}no message of the imu is near the stamp of the image",
            )
        problem = (
            "the acceleration of the imu was not that of gravity alone for some time: it is "
            f"{self._filter.force_mps2:.2f} m/s^2, expected {STANDARD_GRAVITY_MPS2:.2f}"
        )
        return None, "", problem

    def _clock(self, at_ns: int) -> str:
        newest_ns = self.tally.newest_ns
        return "" if newest_ns is None else f"the imu is {apart(newest_ns, at_ns)}; "


def _vector(message: Any) -> Vector:  # noqa: ANN401 - geometry_msgs is untyped
    return np.array((message.x, message.y, message.z))

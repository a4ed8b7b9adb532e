"""Where the camera is: from odometry, from TF, or from both.

tf2_ros has no Python wheel and a full listener on a busy /tf is expensive in Python, so this
keeps the few transforms that lead to one camera and interpolates them at the image stamps.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry

from mono_depth.camera.poses import Pose, PoseBuffer, pose_from, rotation
from mono_depth.errors import ConfigError
from mono_depth.messages.transforms import pose_of, transform_of
from mono_depth.stream.clock_watch import ClockChange
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.pose_wait import PoseWait

Rotation = npt.NDArray[np.float64]  # (3, 3)

_MAX_LINKS = 50  # a longer chain of frames is a loop


def parse_pose(text: str) -> Pose | None:
    """Return the pose of "x y z roll pitch yaw" [m, rad], None for an empty text.

    Raises:
        ConfigError: the text is not six numbers.

    Source: REP 103, fixed-axis roll, pitch, yaw.
    """
    if not text.strip():
        return None
    try:
        x, y, z, roll, pitch, yaw = (float(part) for part in text.split())
    except ValueError:
        raise ConfigError(
            f"odometry.camera_in_body = {text!r} is not 'x y z roll pitch yaw'"
        ) from None
    T = np.eye(4)
    turns = (rotation(np.array(axis, float)) for axis in ((0, 0, yaw), (0, pitch, 0), (roll, 0, 0)))
    for turn in turns:
        T[:3, :3] = T[:3, :3] @ turn
    T[:3, 3] = x, y, z
    return T


def parse_rotation(text: str) -> Rotation | None:
    """Return the rotation of "roll pitch yaw" [rad] or "x y z w", None for an empty text.

    Raises:
        ConfigError: the text is neither.
    """
    if not text.strip():
        return None
    T: Pose | None = None
    try:
        numbers = [float(part) for part in text.split()]
        if len(numbers) == 3:
            T = parse_pose(f"0 0 0 {text}")
        elif len(numbers) == 4:
            x, y, z, w = numbers
            T = pose_from((0.0, 0.0, 0.0), (x, y, z, w))
    except ValueError:
        pass
    if T is None or not np.isfinite(T).all():
        raise ConfigError(f"imu.camera_in_imu = {text!r} is not 'roll pitch yaw' or 'x y z w'")
    return T[:3, :3]


class FrameTree:
    """Transforms between frames at a stamp. Filled by one thread, asked by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parent: dict[str, str] = {}
        self._static: dict[str, Pose] = {}
        self._moving: dict[str, PoseBuffer] = {}

    def add(self, child: str, parent: str, at_ns: int, T_parent_child: Pose | None) -> bool:
        """Take in a transform that moves. Returns False if it is unusable."""
        if T_parent_child is None or not child or not parent:
            return False
        with self._lock:
            if self._parent.get(child) != parent:
                self._parent[child] = parent
                self._moving[child] = PoseBuffer()
            buffer = self._moving.setdefault(child, PoseBuffer())
        return buffer.add(at_ns, T_parent_child)

    def add_static(self, child: str, parent: str, T_parent_child: Pose | None) -> None:
        """Take in a transform that holds for ever."""
        if T_parent_child is None or not child or not parent:
            return
        with self._lock:
            self._parent[child] = parent
            self._static[child] = T_parent_child
            self._moving.pop(child, None)

    def follow(self, change: ClockChange) -> None:
        """Do with all that moves as an input that shows a jump of the clock."""
        with self._lock:
            buffers = list(self._moving.values())
        for buffer in buffers:
            buffer.follow(change)

    def reach_ns(self, target: str, source: str) -> int | None:
        """Return the last stamp that `lookup` answers, as far as that is known; None = none."""
        up_source, up_target = self._chain(source), self._chain(target)
        links = [frame for frame in up_source if frame not in up_target]
        links += [frame for frame in up_target if frame not in up_source]
        with self._lock:
            buffers = [self._moving[link] for link in links if link in self._moving]
        reaches = [buffer.reach_ns for buffer in buffers]
        known = [reach for reach in reaches if reach is not None]
        return min(known) if known and len(known) == len(reaches) else None

    def lookup(self, target: str, source: str, at_ns: int) -> Pose | None:
        """Return T_target_source at a stamp, None where the tree does not tell."""
        up_source, up_target = self._chain(source), self._chain(target)
        common = next((frame for frame in up_source if frame in up_target), None)
        if common is None:
            return None
        T_common_source = self._down(up_source[: up_source.index(common)], at_ns)
        T_common_target = self._down(up_target[: up_target.index(common)], at_ns)
        if T_common_source is None or T_common_target is None:
            return None
        return np.asarray(np.linalg.inv(T_common_target) @ T_common_source)

    def _chain(self, frame: str) -> list[str]:
        """Return the frame and its ancestors."""
        chain = [frame]
        with self._lock:
            while chain[-1] in self._parent and len(chain) < _MAX_LINKS:
                chain.append(self._parent[chain[-1]])
        return chain

    def _down(self, links: list[str], at_ns: int) -> Pose | None:
        """Return the product of the transforms of `links`, each to its parent."""
        T: Pose = np.eye(4)
        for child in links:
            with self._lock:
                static, buffer = self._static.get(child), self._moving.get(child)
            step = static if buffer is None else buffer.at(at_ns)
            if step is None:
                return None
            T = step @ T
        return T


class CameraPoses:
    """Answers where the camera was, from whatever of odometry and TF there is."""

    def __init__(
        self, *, fixed_frame: str, camera_in_body: Pose | None, ground_frame: str = ""
    ) -> None:
        """Start without poses.

        Args:
            fixed_frame: in which poses are wanted when they come from TF; odometry names its own.
            camera_in_body: pose of the optical frame in the body that odometry is about; None =
                TF tells, or odometry is about the camera itself.
            ground_frame: frame on the ground under the robot, z up; "" = there is none.
        """
        self.tree = FrameTree()
        self._fixed_frame, self._camera_in_body = fixed_frame, camera_in_body
        self._body, self._ground_frame = "", ground_frame
        self._camera_frame = ""  # of the newest image
        self._wait = PoseWait(self._reach_ns)
        self.problem = "no odometry received"

    def on_odometry(self, msg: Odometry) -> None:
        """Take in one odometry message; one with an impossible stamp is left out."""
        if msg.header.stamp.sec < 0:
            return
        self._fixed_frame, self._body = msg.header.frame_id, msg.child_frame_id
        T_odom_body = pose_of(msg.pose.pose)
        self.tree.add(msg.child_frame_id, msg.header.frame_id, stamp_ns(msg.header), T_odom_body)
        self._wait.on_odometry()

    def on_transforms(self, transforms: Iterable[TransformStamped], *, static: bool) -> None:
        """Take in the transforms of one message of /tf or /tf_static."""
        for item in transforms:
            T = transform_of(item.transform)
            child, parent = item.child_frame_id.lstrip("/"), item.header.frame_id.lstrip("/")
            if static:
                self.tree.add_static(child, parent, T)
            elif item.header.stamp.sec >= 0:
                self.tree.add(child, parent, stamp_ns(item.header), T)
        if not static and not self._body:
            self._wait.on_odometry()

    def follow(self, change: ClockChange) -> None:
        """Do as an input that shows a jump of the clock."""
        self.tree.follow(change)

    def wait_for(self, at_ns: int, camera_frame: str, max_wait_s: float) -> None:
        """Return when the pose at a stamp is known, or is not to be expected in time."""
        self._camera_frame = camera_frame
        self._wait.wait_for(at_ns, max_wait_s)

    def _reach_ns(self) -> int | None:
        is_mounted = self._camera_in_body is not None and bool(self._body)
        place = self._body if is_mounted else self._camera_frame
        return self.tree.reach_ns(self._fixed_frame, place)

    def at(self, at_ns: int, camera_frame: str) -> Pose | None:
        """Return T_odom_camera at a stamp; None where it is unknown, then `problem` tells why."""
        if self._camera_in_body is not None and self._body:
            T_odom_body = self.tree.lookup(self._fixed_frame, self._body, at_ns)
            T = None if T_odom_body is None else T_odom_body @ self._camera_in_body
        else:
            T = self.tree.lookup(self._fixed_frame, camera_frame, at_ns)
        self.problem = "" if T is not None else self._why(camera_frame)
        return T

    def over_ground(self, at_ns: int, camera_frame: str) -> tuple[float, Pose] | None:
        """Return the camera's height over the ground frame [m], and that frame as it sees it.

        None where TF does not link the two.
        """
        if not self._ground_frame:
            return None
        T_ground_camera = self.tree.lookup(self._ground_frame, camera_frame, at_ns)
        if T_ground_camera is None or T_ground_camera[2, 3] <= 0.0:
            return None
        return float(T_ground_camera[2, 3]), T_ground_camera

    def _why(self, camera_frame: str) -> str:
        if not self._body:
            return "no odometry received"
        linked = self._camera_in_body is not None or self._body in self.tree._chain(camera_frame)
        if linked:
            problem = "odometry does not reach the stamp of the image"
            behind_s = self._wait.behind_s
            return problem if not math.isfinite(behind_s) else f"{problem}: {behind_s:.3f} s short"
        return (
            f"odometry is about {self._body}, and nothing tells where {camera_frame} is in it: "
            "publish it on /tf_static or set odometry.camera_in_body"
        )

"""Where the camera is: from odometry, from TF, or from both.

tf2_ros has no Python wheel and a full listener on a busy /tf is expensive in Python, so this
keeps the few transforms that lead to one camera and interpolates them at the image stamps.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry

from mono_depth.camera.poses import Pose, PoseBuffer, pose_from, rotation
from mono_depth.errors import ConfigError
from mono_depth.messages.frame_names import frame_name
from mono_depth.messages.transforms import pose_of, transform_of
from mono_depth.stream.clock_watch import ClockChange
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.sensors.pose_wait import PoseWait
from mono_depth_ros.sensors.tally import Alternation, Tally, apart

Rotation = npt.NDArray[np.float64]  # (3, 3)

_MAX_LINKS = 50  # a longer chain of frames is a loop
# Stand for frames that odometry does not name; no frame of TF is called so.
_UNNAMED_BODY, _UNNAMED_WORLD = "/child_frame_id", "/frame_id"


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
        self._parents: dict[str, Alternation] = {}  # of frames whose parent changed
        self.is_static_heard = True  # False: tf2_msgs is missing, so nobody can tell by /tf_static

    def add(self, child: str, parent: str, at_ns: int, T_parent_child: Pose | None) -> bool:
        """Take in a transform that moves. Returns False if it is unusable."""
        if T_parent_child is None or not child or not parent:
            return False
        with self._lock:
            before = self._parent.get(child)
            if before != parent:
                if before is not None:
                    self._parents.setdefault(child, Alternation()).changed(before, parent)
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

    def root(self, frame: str) -> str:
        """Return the topmost ancestor of a frame, itself if it has none."""
        return self._chain(frame)[-1]

    def has(self, frame: str) -> bool:
        """Tell whether a transform from or to a frame was taken in."""
        with self._lock:
            return frame in self._parent or frame in self._parent.values()

    def roots(self) -> list[str]:
        """Return the frames that have no parent, sorted."""
        with self._lock:
            return sorted(set(self._parent.values()) - set(self._parent))

    def links(self, target: str, source: str) -> bool:
        """Tell whether a chain of transforms joins two frames, at whatever stamp."""
        return self.root(target) == self.root(source)

    def why(self, target: str, source: str, at_ns: int) -> str:
        """Return why `lookup` told nothing."""
        for frame in (source, target):
            if not self.has(frame):
                return f"no transform from {source} to {target}: none names {frame}"
        if not self.links(target, source):
            return (
                f"no transform from {source} to {target}: one hangs under {self.root(source)}, "
                f"the other under {self.root(target)}"
            )
        for child in [*self._chain(source), *self._chain(target)]:
            with self._lock:
                parent, buffer = self._parent.get(child, ""), self._moving.get(child)
                parents = self._parents.get(child)
            if parents is not None and parents.names is not None:
                return f"{child} has two parents that take turns: {' and '.join(parents.names)}"
            if buffer is not None and buffer.at(at_ns) is None:
                return f"the transform from {child} to {parent} {_why_not_at(buffer, at_ns)}"
        return f"no transform from {source} to {target} at the stamp of the image"

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


def _why_not_at(buffer: PoseBuffer, at_ns: int) -> str:
    span_ns = buffer.span_ns
    if span_ns is None:
        return "has no usable pose"
    oldest_ns, newest_ns = span_ns
    if not oldest_ns <= at_ns <= newest_ns:
        return f"is {apart(newest_ns, at_ns)}"
    return "has a gap at the stamp of the image"


class CameraPoses:
    """Answers where the camera was, from whatever of odometry and TF there is."""

    def __init__(
        self,
        *,
        fixed_frame: str,
        camera_in_body: Pose | None,
        ground_frame: str = "",
        source: str = "odom",
    ) -> None:
        """Start without poses.

        Args:
            fixed_frame: in which poses are wanted when they come from TF; odometry names its own.
            camera_in_body: pose of the optical frame in the body that odometry is about; None =
                TF tells, or odometry is about the camera itself.
            ground_frame: frame on the ground under the robot, z up; "" = there is none.
            source: odometry.source.
        """
        self.tree = FrameTree()
        self.odom, self.tf = Tally("odom"), Tally("tf")
        self._source = source
        self._fixed_frame, self._camera_in_body = frame_name(fixed_frame), camera_in_body
        self._body, self._ground_frame = "", frame_name(ground_frame)
        self._frames: tuple[str, str] | None = None  # of odometry, as the newest message says
        self._pairs = Alternation()
        self._camera_frame = ""  # of the newest image
        self._wait = PoseWait(self._reach_ns)
        self.problem = "" if source == "none" else self._why_nothing_came()

    @property
    def tally(self) -> Tally:
        """Of the input that poses come from."""
        return self.tf if self._source == "tf" else self.odom

    @property
    def is_wanted(self) -> bool:
        """Tell whether poses were asked for."""
        return self._source != "none"

    @property
    def is_mount_stated(self) -> bool:
        """Tell whether the place of the camera is a parameter, and not asked of the tree."""
        return self._camera_in_body is not None and bool(self._body)

    def on_odometry(self, msg: Odometry) -> None:
        """Take in one odometry message; one with an impossible stamp is left out."""
        if msg.header.stamp.sec < 0:
            self.odom.refuse("the stamp of odometry is negative")
            return
        at_ns = stamp_ns(msg.header)
        self.odom.hear(at_ns)
        frames = msg.header.frame_id, msg.child_frame_id
        if frames != self._frames:
            self._name_frames(*frames)
        T_odom_body = pose_of(msg.pose.pose)
        if T_odom_body is None:
            self.odom.refuse("the position or orientation of odometry is no pose")
        elif not self.tree.add(self._body, self._fixed_frame, at_ns, T_odom_body):
            self.odom.refuse("the stamps of odometry do not advance")
        self._wait.on_odometry()

    def _name_frames(self, frame_id: str, child_frame_id: str) -> None:
        if self._frames is not None:
            before, now = (" to ".join(pair) for pair in (self._frames, (frame_id, child_frame_id)))
            self._pairs.changed(before, now)
        self._frames = frame_id, child_frame_id
        self._fixed_frame = frame_name(frame_id) or _UNNAMED_WORLD
        self._body = frame_name(child_frame_id) or _UNNAMED_BODY
        if self._body == self._fixed_frame:  # a driver that fills in one name twice
            self._fixed_frame = _UNNAMED_WORLD

    def on_transforms(self, transforms: Iterable[TransformStamped], *, static: bool) -> None:
        """Take in the transforms of one message of /tf or /tf_static."""
        self.tf.hear(0)
        for item in transforms:
            T = transform_of(item.transform)
            child, parent = frame_name(item.child_frame_id), frame_name(item.header.frame_id)
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
        place = self._body if self.is_mount_stated else self._camera_frame
        return self.tree.reach_ns(self._fixed_frame, place)

    def at(self, at_ns: int, camera_frame: str) -> Pose | None:
        """Return T_odom_camera at a stamp; None where it is unknown, then `problem` tells why."""
        T = self.find(at_ns, camera_frame)
        self.problem = "" if T is not None else self._why(camera_frame, at_ns)
        return T

    def find(self, at_ns: int, camera_frame: str) -> Pose | None:
        """Return what `at` does, without a word on why it is None."""
        if self._camera_in_body is None or not self._body:
            return self.tree.lookup(self._fixed_frame, camera_frame, at_ns)
        T_odom_body = self.tree.lookup(self._fixed_frame, self._body, at_ns)
        return None if T_odom_body is None else T_odom_body @ self._camera_in_body

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

    def _why(self, camera_frame: str, at_ns: int) -> str:
        if self._source == "none":
            return ""
        if not self.tally.received:
            return self._why_nothing_came()
        if self._source == "tf":
            return self._with_parameter(self.tree.why(self._fixed_frame, camera_frame, at_ns))
        return self._why_odometry(camera_frame, at_ns)

    def _why_nothing_came(self) -> str:
        if self.odom.refusal:
            return self.odom.refusal
        if self._source == "odom":
            return f"no odometry received on {self.odom.topic}"
        if not self.tree.is_static_heard:
            return "odometry.source is tf, but tf2_msgs is not installed: /tf is not heard"
        return "no transform received on /tf and /tf_static"

    def _with_parameter(self, problem: str) -> str:
        if self.tree.has(self._fixed_frame):
            return problem
        return f"{problem} (odometry.fixed_frame; frames come from {self._roots()})"

    def _roots(self) -> str:
        return ", ".join(self.tree.roots()) or "nowhere"

    def _why_odometry(self, camera_frame: str, at_ns: int) -> str:
        pairs = self._pairs.names
        if pairs is not None:
            return f"odometry has two pairs of frames that take turns: {' and '.join(pairs)}"
        if not self.tree.has(self._body):
            return self.odom.refusal
        if self._camera_in_body is not None or self.tree.links(self._body, camera_frame):
            why = self.tree.why(self._fixed_frame, self._body, at_ns)
            return f"odometry does not reach the stamp of the image: {why}"
        if self._body == _UNNAMED_BODY:
            return (
                "the child_frame_id of odometry is empty, so nothing tells where "
                f"{camera_frame} is in it: name it, or set odometry.camera_in_body"
            )
        return (
            f"odometry is about {self._body}, and nothing tells where {camera_frame} is in it: "
            f"{self._mount_advice()}"
        )

    def _mount_advice(self) -> str:
        """Say how to tell where the camera is; a joint told as rigid gives wrong poses."""
        if not self.tree.is_static_heard:
            return (
                "set odometry.camera_in_body if the camera is rigidly mounted "
                "(tf2_msgs is not installed, so TF is not heard)"
            )
        return (
            "publish it on /tf_static or set odometry.camera_in_body if the camera is rigidly "
            "mounted; if a joint of the mount moves, it is on /tf: set odometry.source to tf"
        )

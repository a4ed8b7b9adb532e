"""What a bag knows at the stamp of an image: pose, gravity, height, points, sensor depth."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mono_depth.camera.gravity import DirectionBuffer, GravityFilter, Vector
from mono_depth.camera.poses import Pose, pose_from
from mono_depth.camera.rectify import Rectifier
from mono_depth.camera.trajectory import Trajectory
from mono_depth.data import DepthImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.messages.decode import read_any_depth
from mono_depth.messages.frame_names import frame_name
from mono_depth.messages.point_cloud import Points, read_points
from mono_depth.recordings.bag_poses import read_poses_of_bag, static_transform
from mono_depth.recordings.bag_reader import BagReader, Place, StoredMessage, Topic

_POINTS_MAX_AGE_NS = 200_000_000  # as odometry.points_max_age_s of the node
_DEPTH_MAX_APART_NS = 20_000_000
_MAX_DEPTH_M = 100.0
_MAX_STRETCH = 0.01  # relative difference of width / height that rounding may explain
_IMU_AHEAD_NS = 100_000_000  # samples after an image that are read before it is answered
_UNKNOWN = -1.0  # first covariance of what a driver does not give, sensor_msgs/Imu
_MAX_CONTRADICTION = np.cos(np.radians(15.0))
_AT_ZENITH = np.cos(np.radians(25.0))


@dataclass(frozen=True, kw_only=True)
class BagTopics:
    """Which topics of a bag are read; "" = as each field says."""

    image: str = ""  # the first of images without depth in its name
    odom: str = ""  # the first of nav_msgs/Odometry
    imu: str = ""  # the first of sensor_msgs/Imu
    points: str = ""  # none: a cloud in a bag may be anything
    sensor_depth: str = ""  # none: depth in a bag may be that of a network
    ground_frame: str = "base_footprint"  # on the floor under the robot, z up


@dataclass(frozen=True, kw_only=True)
class Known:
    """The fields of `Frame` that a bag fills beside the image; None = it does not tell."""

    T_odom_camera: Pose | None = None
    gravity_camera: Vector | None = None
    camera_height_m: float | None = None
    sparse_points_m: Points | None = None
    sensor_depth_m: DepthImage | None = None


class BagSensors:
    """Answers for images in the order of their stamps."""

    def __init__(self, path: Path, bag: BagReader, frame_id: str, topics: BagTopics) -> None:
        """Read what is small, and list what is large.

        Args:
            path: of the bag; the IMU is read beside the images, by a reader of its own.
            bag: the same, opened.
            frame_id: the optical frame.
            topics: what is read.

        Raises:
            ConfigError: a topic that is named is not there, or two frames are not linked.
        """
        self.camera_frame = frame_name(frame_id)
        self.notes: list[str] = []
        self._poses = read_poses_of_bag(bag, frame_id, topics.odom)
        T_ground_camera = static_transform(bag, topics.ground_frame, frame_id)
        self._T_ground_camera = T_ground_camera
        self._imu = _Imu.of(path, frame_id, topics.imu)
        self._points = _Clouds.of(bag, frame_id, topics.points, self._poses)
        self._depth = _Depths.of(bag, topics.sensor_depth)

    def at(self, at_ns: int, *, size: tuple[int, int], rectifier: Rectifier | None) -> Known:
        """Return what is known at the stamp of an image of a size (width, height)."""
        T_odom_camera, ground = self._poses.at(at_ns), self._T_ground_camera
        by_imu = None if self._imu is None else self._imu.at(at_ns)
        by_ground = None if ground is None else -ground[2, :3]
        by_odom = None if T_odom_camera is None else -T_odom_camera[2, :3]
        gravity = next((down for down in (by_imu, by_ground, by_odom) if down is not None), None)
        depth_m = None if self._depth is None else self._depth.at(at_ns, size, rectifier, self.note)
        if gravity is not None and -gravity[2] > _AT_ZENITH:
            self.note(
                f"seen through frame {self.camera_frame} the camera looks at the zenith: it is "
                "that of a body, not an optical frame (REP 103), and what comes through it is "
                "not used"
            )
            return Known(sensor_depth_m=depth_m)
        height_m = None if ground is None or ground[2, 3] <= 0.0 else float(ground[2, 3])
        points = None if self._points is None else self._points.at(at_ns, T_odom_camera)
        return Known(
            T_odom_camera=T_odom_camera,
            gravity_camera=gravity,
            camera_height_m=height_m,
            sparse_points_m=points,
            sensor_depth_m=depth_m,
        )

    def note(self, text: str) -> None:
        """Keep what people should know, once."""
        if text not in self.notes:
            self.notes.append(text)


class _Imu:
    """Gravity from an IMU. Source: REP 145."""

    def __init__(self, messages: Iterator[StoredMessage], R_camera_imu: Vector) -> None:
        self._messages, self._R_camera_imu = messages, R_camera_imu
        self._read_ns = -(2**63)
        self._felt, self._oriented = GravityFilter(), DirectionBuffer()

    @classmethod
    def of(cls, path: Path, frame_id: str, name: str) -> _Imu | None:
        bag = BagReader(path)  # stays open as long as its messages are read
        for topic in bag.named_topics("sensor_msgs/msg/Imu", name):
            first = next(bag.messages(topic), None)
            if first is None:
                continue
            imu_frame = first.content.header.frame_id
            T_camera_imu = static_transform(bag, frame_id, imu_frame)
            if T_camera_imu is not None:
                return cls(_kept_open(bag, topic), T_camera_imu[:3, :3])
            if name:
                raise ConfigError(f"{path}: no static transform from {imu_frame} to {frame_id}")
        return None

    def at(self, at_ns: int) -> Vector | None:
        """Return (3,) gravity in the optical frame, None where it is unknown."""
        while self._read_ns < at_ns + _IMU_AHEAD_NS:
            stored = next(self._messages, None)
            if stored is None:
                break
            self._read_ns = stored.stamp_ns
            self._take(stored.stamp_ns, stored.content)
        felt, oriented = self._felt.directions.at(at_ns), self._oriented.at(at_ns)
        if felt is not None and oriented is not None and felt @ oriented < _MAX_CONTRADICTION:
            oriented = None
        down = felt if oriented is None else oriented
        return None if down is None else np.asarray(self._R_camera_imu @ down)

    def _take(self, at_ns: int, msg: Any) -> None:  # noqa: ANN401 - a type made by rosbags
        if msg.linear_acceleration_covariance[0] != _UNKNOWN:
            has_turn = msg.angular_velocity_covariance[0] != _UNKNOWN
            turn = _vector(msg.angular_velocity) if has_turn else None
            self._felt.add(at_ns, _vector(msg.linear_acceleration), turn)
        q = msg.orientation
        T_world_imu = pose_from((0.0, 0.0, 0.0), (q.x, q.y, q.z, q.w))
        is_default = q.x == q.y == q.z == 0.0  # what drivers without orientation leave
        if msg.orientation_covariance[0] != _UNKNOWN and T_world_imu is not None and not is_default:
            self._oriented.add(at_ns, -T_world_imu[2, :3])


class _Clouds:
    """Metric points, moved with the camera from their stamp to that of an image."""

    def __init__(
        self, bag: BagReader, topic: Topic, T_camera_cloud: Pose, poses: Trajectory
    ) -> None:
        self._bag, self._topic, self._poses = bag, topic, poses
        self._T_camera_cloud = T_camera_cloud
        self._index = _index(bag, topic)

    @classmethod
    def of(cls, bag: BagReader, frame_id: str, name: str, poses: Trajectory) -> _Clouds | None:
        if not name:
            return None
        (topic,) = bag.named_topics("sensor_msgs/msg/PointCloud2", name)
        first = next(bag.messages(topic), None)
        cloud_frame = frame_id if first is None else first.content.header.frame_id
        T_camera_cloud = static_transform(bag, frame_id, cloud_frame)
        if T_camera_cloud is None:
            raise ConfigError(f"{bag.path}: no static transform from {cloud_frame} to {frame_id}")
        return cls(bag, topic, T_camera_cloud, poses)

    def at(self, at_ns: int, now: Pose | None) -> Points | None:
        """Return (N, 3) points in the optical frame: of the newest cloud, as a robot has it."""
        found = bisect.bisect_right(self._index, (at_ns, (2**63, 0))) - 1
        if found < 0 or at_ns - self._index[found][0] > _POINTS_MAX_AGE_NS:
            return None
        cloud_ns, place = self._index[found]
        T, then = self._T_camera_cloud, self._poses.at(cloud_ns)
        if then is not None and now is not None:
            T = np.linalg.inv(now) @ then @ T
        points = read_points(self._bag.message(self._topic, place))
        return np.asarray(points @ T[:3, :3].T + T[:3, 3], np.float32)


class _Depths:
    """Depth of a depth camera on the pixels of the images."""

    def __init__(self, bag: BagReader, topic: Topic) -> None:
        self._bag, self._topic = bag, topic
        self._index = _index(bag, topic)

    @classmethod
    def of(cls, bag: BagReader, name: str) -> _Depths | None:
        return cls(bag, bag.image_topic(name)) if name else None

    def at(
        self,
        at_ns: int,
        size: tuple[int, int],
        rectifier: Rectifier | None,
        note: Any,  # noqa: ANN401
    ) -> DepthImage | None:
        """Return the depth nearest to a stamp, None where there is none."""
        if not self._index:
            return None
        depth_ns, place = min(self._index, key=lambda item: abs(item[0] - at_ns))
        if abs(depth_ns - at_ns) > _DEPTH_MAX_APART_NS:
            return None
        try:
            reading = read_any_depth(
                self._bag.message(self._topic, place), max_depth_m=_MAX_DEPTH_M
            )
        except FrameError as error:
            note(f"depth of {self._topic.name} is left out: {error}")
            return None
        depth_m, (width, height) = reading.depth_m, size
        if abs(depth_m.shape[1] * height - depth_m.shape[0] * width) > _MAX_STRETCH * (
            depth_m.shape[1] * height
        ):
            note(f"{self._topic.name} is not the view of the images: align it to them first")
            return None
        if rectifier is None:
            return depth_m
        if depth_m.shape != (height, width):
            resized = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
            depth_m = np.asarray(resized, np.float32)
        return rectifier.apply_to_depth(depth_m)


def _index(bag: BagReader, topic: Topic) -> list[tuple[int, Place]]:
    """Return stamps and places of the messages of a topic, by stamp."""
    return sorted((stored.stamp_ns, stored.place) for stored in bag.messages(topic))


def _kept_open(bag: BagReader, topic: Topic) -> Iterator[StoredMessage]:
    yield from bag.messages(topic)


def _vector(message: Any) -> Vector:  # noqa: ANN401 - a type made by rosbags
    return np.array((message.x, message.y, message.z))

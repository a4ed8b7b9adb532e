"""Recorded bags, read without a ROS installation: MCAP, SQLite or ROS 1."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mono_depth.camera.poses import Pose, PoseBuffer
from mono_depth.errors import ConfigError
from mono_depth.recordings.bag_messages import (
    rectifier_of,
    rigid_transform,
    stored_depth,
    stored_rgb,
)
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame

_LOG = logging.getLogger(__name__)
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_SAME_MOMENT_NS = 20_000_000
_KEEP_ALL_S = 1e8


def open_bag(path: Path, image_topic: str = "", depth_topic: str = "") -> FrameSequence:
    """Open the colour images of a bag that also holds depth on the same pixels.

    Images are rectified by their camera_info, unless `rect` is in their topic. Poses come from
    the first topic of nav_msgs/Odometry and, where that tells the pose of another frame than the
    camera's, /tf_static.

    Args:
        path: folder of rosbag2, or a .mcap, .db3 or .bag file.
        image_topic: "" = the first topic of images without depth in its name.
        depth_topic: "" = the first topic of images with depth in its name.

    Raises:
        ConfigError: the package rosbags is missing, or the bag or a topic of it.
    """
    bag = _Bag(path)
    colour = bag.topic(image_topic, _IMAGE_TYPES, lambda name: "depth" not in name)
    depth = bag.topic(depth_topic, _IMAGE_TYPES[:1], lambda name: "depth" in name)
    info = bag.first(f"{colour.topic.removesuffix('/compressed').rpartition('/')[0]}/camera_info")
    frame_id, images, depths = "", [], list(bag.stamps(depth))
    for stamp_ns, written_ns, message in bag.messages(colour):
        frame_id = frame_id or message.header.frame_id
        images.append((stamp_ns, written_ns))
    pairs = _pairs(images, [(stamp_ns, written_ns) for stamp_ns, written_ns in depths])
    if not pairs:
        raise ConfigError(f"{path}: no image of {colour.topic} has depth of {depth.topic} with it")
    poses, rectifier = _poses(bag, frame_id), rectifier_of(info)
    needs_rectifying = "rect" not in colour.topic

    def load(index: int) -> SequenceFrame:
        stamp_ns, image_at, depth_at = pairs[index]
        rgb = stored_rgb(bag.message(colour, image_at))
        depth_m = stored_depth(bag.message(depth, depth_at))
        if rgb.shape[:2] != depth_m.shape:
            raise ConfigError(
                f"{colour.topic} is {rgb.shape[1]}x{rgb.shape[0]}, {depth.topic} is "
                f"{depth_m.shape[1]}x{depth_m.shape[0]}: depth must lie on the colour pixels"
            )
        if needs_rectifying:
            rgb, depth_m = rectifier.apply(rgb), rectifier.apply_to_depth(depth_m)
        return SequenceFrame(
            rgb=rgb,
            depth_m=depth_m,
            intrinsics=rectifier.intrinsics,
            stamp_ns=stamp_ns,
            T_odom_camera=poses.at(stamp_ns),
        )

    return FrameSequence(name=path.resolve().stem, indices=range(len(pairs)), load=load)


class _Bag:
    """A bag that stays open."""

    def __init__(self, path: Path) -> None:
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise ConfigError(
                f"{path} is a bag; reading it needs rosbags: pip install 'mono_depth_ros[bag]'"
            ) from None
        self.path = path
        place = path.parent if path.suffix == ".db3" else path
        store = get_typestore(Stores.ROS2_JAZZY)
        try:
            self._reader: Any = AnyReader([place], default_typestore=store)
            self._reader.open()
        except (AnyReaderError, OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as a bag: {error}") from error

    def of_type(self, *types: str) -> list[Any]:
        return [c for c in self._reader.connections if c.msgtype in types]

    def topic(self, name: str, types: tuple[str, ...], fits: Any) -> Any:  # noqa: ANN401
        known = self.of_type(*types)
        for connection in known:
            if connection.topic == name or (not name and fits(connection.topic)):
                return connection
        listed = ", ".join(sorted(c.topic for c in known)) or "none"
        raise ConfigError(f"{self.path} has no topic {name or 'that fits'}; of images: {listed}")

    def first(self, topic: str) -> Any:  # noqa: ANN401 - a type made by rosbags
        for connection in self._reader.connections:
            if connection.topic == topic:
                for _, _, message in self.messages(connection):
                    return message
        raise ConfigError(f"{self.path} has no {topic}, which tells the camera")

    def messages(self, connection: Any) -> Iterator[tuple[int, int, Any]]:  # noqa: ANN401
        """Yield stamp of the header, time of writing, and message."""
        for _, written_ns, data in self._reader.messages(connections=[connection]):
            message = self._reader.deserialize(data, connection.msgtype)
            header = getattr(message, "header", None)
            stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec if header else written_ns
            yield stamp_ns, written_ns, message

    def stamps(self, connection: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401
        return ((stamp_ns, written_ns) for stamp_ns, written_ns, _ in self.messages(connection))

    def message(self, connection: Any, written_ns: int) -> Any:  # noqa: ANN401
        found = self._reader.messages(
            connections=[connection], start=written_ns, stop=written_ns + 1
        )
        _, _, data = next(iter(found))
        return self._reader.deserialize(data, connection.msgtype)


def _pairs(
    images: list[tuple[int, int]], depths: list[tuple[int, int]]
) -> list[tuple[int, int, int]]:
    """Return stamp, time of writing of the image and of the depth nearest to it."""
    stamps_ns = np.array([stamp_ns for stamp_ns, _ in depths])
    pairs = []
    for stamp_ns, written_ns in images if depths else ():
        nearest = int(np.abs(stamps_ns - stamp_ns).argmin())
        if abs(depths[nearest][0] - stamp_ns) <= _SAME_MOMENT_NS:
            pairs.append((stamp_ns, written_ns, depths[nearest][1]))
    return pairs


def _poses(bag: _Bag, camera_frame: str) -> PoseBuffer:
    """Return the poses of the camera; an empty buffer if the bag does not tell them."""
    poses = PoseBuffer(keep_s=_KEEP_ALL_S)
    for connection in bag.of_type("nav_msgs/msg/Odometry")[:1]:
        mounts: dict[str, Pose | None] = {}
        for stamp_ns, _, message in bag.messages(connection):
            body = message.child_frame_id
            if body not in mounts:
                mounts[body] = _mount(bag, body, camera_frame)
            mount, pose = mounts[body], rigid_transform(message.pose.pose)
            if mount is not None and pose is not None:
                poses.add(stamp_ns, pose @ mount)
    return poses


def _mount(bag: _Bag, body: str, camera: str) -> Pose | None:
    """Return T_body_camera from the static transforms of the bag."""
    edges: dict[str, list[tuple[str, Pose]]] = {}
    for connection in bag.of_type("tf2_msgs/msg/TFMessage"):
        if connection.topic != "/tf_static":
            continue
        for _, _, message in bag.messages(connection):
            for stamped in message.transforms:
                T_parent_child = rigid_transform(stamped.transform)
                if T_parent_child is None:
                    continue
                parent, child = stamped.header.frame_id, stamped.child_frame_id
                edges.setdefault(parent, []).append((child, T_parent_child))
                T_child_parent: Pose = np.linalg.inv(T_parent_child).astype(np.float64)
                edges.setdefault(child, []).append((parent, T_child_parent))
    known: dict[str, Pose] = {body: np.eye(4)}
    waiting = [body]
    while waiting:
        place = waiting.pop()
        for other, T_place_other in edges.get(place, ()):
            if other not in known:
                known[other] = known[place] @ T_place_other
                waiting.append(other)
    if camera not in known:
        _LOG.warning("%s: no static transform from %s to %s, so no poses", bag.path, body, camera)
    return known.get(camera)

"""Bags of a few messages, written with the package rosbags."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

SECOND_NS = 10**9

# name of the topic, type of its messages, and each message with the time that it is written at
Written = tuple[str, str, Iterable[tuple[int, Any]]]


class Messages:
    """Makes messages as ROS 1 or 2 defines them; a type without package is one of sensor_msgs."""

    def __init__(self, *, ros1: bool = False) -> None:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        self.is_ros1 = ros1
        self.store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_JAZZY)
        if ros1:  # rosbags does not bring this one
            text = "geometry_msgs/TransformStamped[] transforms"
            self.store.register(get_types_from_msg(text, "tf2_msgs/msg/TFMessage"))

    def __call__(self, kind: str, **values: Any) -> Any:
        return self.store.types[kind](**values)

    def header(self, stamp_ns: int, frame_id: str = "eye") -> Any:
        sec, nanosec = divmod(stamp_ns, SECOND_NS)
        stamp = self("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
        first = {"seq": 0} if self.is_ros1 else {}
        return self("std_msgs/msg/Header", **first, stamp=stamp, frame_id=frame_id)

    def image(self, stamp_ns: int, encoding: str, rows: np.ndarray, padding: int = 0) -> Any:
        """Make an image of (H, W) or (H, W, C) samples."""
        height, width = rows.shape[:2]
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
        data = np.pad(data, ((0, 0), (0, padding)))
        fields = {"height": height, "width": width, "step": data.shape[1], "data": data.ravel()}
        return self.image_of(stamp_ns, {"encoding": encoding, "is_bigendian": 0, **fields})

    def image_of(self, stamp_ns: int, fields: dict[str, Any]) -> Any:
        """Make an image of all its fields but the header."""
        data = np.frombuffer(bytes(fields["data"]), np.uint8)
        return self(
            "sensor_msgs/msg/Image", **{**fields, "header": self.header(stamp_ns), "data": data}
        )

    def compressed(self, stamp_ns: int, form: str, data: bytes) -> Any:
        return self(
            "sensor_msgs/msg/CompressedImage",
            header=self.header(stamp_ns),
            format=form,
            data=np.frombuffer(data, np.uint8),
        )

    def info(self, width: int = 6, height: int = 4, **changes: Any) -> Any:
        """Make the calibration of a camera without distortion, but for the fields given."""
        cx, cy = (width - 1) / 2, (height - 1) / 2
        roi = self(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )
        fields: dict[str, Any] = {
            "header": self.header(0),
            "height": height,
            "width": width,
            "distortion_model": "plumb_bob",
            "d": [0.0] * 5,
            "k": [5.0, 0, cx, 0, 5, cy, 0, 0, 1],
            "r": np.eye(3).ravel(),
            "p": [5.0, 0, cx, 0, 0, 5, cy, 0, 0, 0, 1, 0],
            "binning_x": 0,
            "binning_y": 0,
            "roi": roi,
        } | changes
        for name in "dkrp":
            matrix = np.asarray(fields.pop(name), np.float64)
            fields[name.upper() if self.is_ros1 else name] = matrix
        return self("sensor_msgs/msg/CameraInfo", **fields)

    def xyz(self, kind: str, x: float) -> Any:
        return self(f"geometry_msgs/msg/{kind}", x=x, y=0.0, z=0.0)

    def upright(self) -> Any:
        return self("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)

    def odometry(self, stamp_ns: int, x: float) -> Any:
        """Make odometry of a robot at (x, 0, 0) that looks along x of odom."""
        pose = self(
            "geometry_msgs/msg/Pose", position=self.xyz("Point", x), orientation=self.upright()
        )
        still = self(
            "geometry_msgs/msg/Twist",
            linear=self.xyz("Vector3", 0.0),
            angular=self.xyz("Vector3", 0.0),
        )
        unknown = np.zeros(36)
        return self(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp_ns, "odom"),
            child_frame_id="base",
            pose=self("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=unknown),
            twist=self("geometry_msgs/msg/TwistWithCovariance", twist=still, covariance=unknown),
        )

    def mount(self, parent: str, child: str, x: float) -> Any:
        """Make the transform of a child at (x, 0, 0) of its parent."""
        move = self(
            "geometry_msgs/msg/Transform",
            translation=self.xyz("Vector3", x),
            rotation=self.upright(),
        )
        return self(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(0, parent),
            child_frame_id=child,
            transform=move,
        )

    def transforms(self, *transforms: Any) -> Any:
        return self("tf2_msgs/msg/TFMessage", transforms=list(transforms))

    def write(
        self, path: Path, topics: Iterable[Written], *, storage: str = "mcap", zstd: str = "none"
    ) -> Path:
        """Write a bag: a .bag file of ROS 1, or a folder of rosbag2.

        Args:
            path: of the bag, without .bag.
            topics: what it holds.
            storage: sqlite3 or mcap.
            zstd: what rosbag2 compresses: none, file, message, or storage of mcap.
        """
        if self.is_ros1:
            return self._write_ros1(path.with_suffix(".bag"), topics)
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        writer.set_compression(CompressionMode[zstd.upper()], CompressionFormat.ZSTD)
        with writer:
            for name, kind, messages in topics:
                connection = writer.add_connection(name, kind, typestore=self.store)
                for written_ns, message in messages:
                    writer.write(connection, written_ns, self.store.serialize_cdr(message, kind))
        return path

    def _write_ros1(self, path: Path, topics: Iterable[Written]) -> Path:
        from rosbags.rosbag1 import Writer

        with Writer(path) as writer:
            for index, (name, kind, messages) in enumerate(topics):
                connection = writer.add_connection(
                    name, kind, typestore=self.store, callerid=f"/publisher_{index}"
                )
                for written_ns, message in messages:
                    writer.write(connection, written_ns, self.store.serialize_ros1(message, kind))
        return path

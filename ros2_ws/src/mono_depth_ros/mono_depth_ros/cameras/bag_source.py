"""Images of a recorded bag, read without a ROS installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mono_depth.data import RgbImage
from mono_depth_ros.cameras.source_types import SourceError
from mono_depth_ros.codec.decode_image import decode_compressed, decode_image

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_INFO_TYPE = "sensor_msgs/msg/CameraInfo"


class BagSource:
    """One image topic of a rosbag2 folder (MCAP or SQLite), an .mcap, .db3 or ROS 1 .bag file."""

    def __init__(self, path: Path, topic: str = "") -> None:
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise SourceError(f"{path} is a bag; playing it needs `pip install rosbags`") from None
        folder = path.parent if path.suffix == ".db3" else path
        self._path = path
        self._reader: Any = AnyReader([folder], default_typestore=get_typestore(Stores.ROS2_JAZZY))
        try:
            self._reader.open()
        except (AnyReaderError, OSError, ValueError) as error:
            raise SourceError(f"{path} cannot be read as a bag: {error}") from error
        images = [c for c in self._reader.connections if c.msgtype in _IMAGE_TYPES]
        chosen = [c for c in images if topic in ("", c.topic)]
        if not chosen:
            known = ", ".join(sorted({c.topic for c in images})) or "none"
            raise SourceError(f"{path} has no image topic {topic!r}; its image topics: {known}")
        self._connection: Any = chosen[0]
        self.info = self._find_info()
        self.rate_hz: float | None = self._median_rate_hz()

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield every image with the stamp of its header."""
        for _, _, data in self._reader.messages(connections=[self._connection]):
            message = self._reader.deserialize(data, self._connection.msgtype)
            stamp = message.header.stamp
            yield _decode(message, self._connection.msgtype), stamp.sec * 10**9 + stamp.nanosec

    def _find_info(self) -> CameraInfo | None:
        """Return the first calibration beside the images, in /camera for /camera/image_raw."""
        space = self._connection.topic.removesuffix("/compressed").rpartition("/")[0]
        found = [
            c
            for c in self._reader.connections
            if c.msgtype == _INFO_TYPE and c.topic == f"{space}/camera_info"
        ]
        for connection, _, data in self._reader.messages(connections=found) if found else ():
            stored = self._reader.deserialize(data, connection.msgtype)
            return _camera_info(stored)
        return None

    def _median_rate_hz(self) -> float:
        times_ns = [t for _, t, _ in self._reader.messages(connections=[self._connection])]
        gap_ns = float(np.median(np.diff(times_ns))) if len(times_ns) > 1 else 0.0
        return 1e9 / gap_ns if gap_ns > 0.0 else 15.0


def _decode(stored: Any, kind: str) -> RgbImage:  # noqa: ANN401 - a type made by rosbags
    if kind == _IMAGE_TYPES[0]:
        image = Image(
            height=stored.height,
            width=stored.width,
            encoding=stored.encoding,
            is_bigendian=stored.is_bigendian,
            step=stored.step,
        )
        image.data.frombytes(stored.data.tobytes())
        return decode_image(image)
    compressed = CompressedImage(format=stored.format)
    compressed.data.frombytes(stored.data.tobytes())
    return decode_compressed(compressed)


def _camera_info(stored: Any) -> CameraInfo:  # noqa: ANN401 - a type made by rosbags
    names = "dkrp" if hasattr(stored, "k") else "DKRP"  # ROS 1
    d, k, r, p = ([float(value) for value in getattr(stored, name)] for name in names)
    info = CameraInfo(
        height=stored.height,
        width=stored.width,
        distortion_model=stored.distortion_model,
        d=d,
        k=k,
        r=r,
        p=p,
        binning_x=stored.binning_x,
        binning_y=stored.binning_y,
    )
    for name in ("x_offset", "y_offset", "height", "width", "do_rectify"):
        setattr(info.roi, name, getattr(stored.roi, name))
    return info

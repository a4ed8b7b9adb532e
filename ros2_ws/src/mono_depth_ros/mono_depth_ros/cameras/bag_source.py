"""Images of a recorded bag, read without a ROS installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sensor_msgs.msg import CameraInfo

from mono_depth.data import RgbImage
from mono_depth.messages.decode import decode_rgb
from mono_depth.recordings.bag_reader import BagReader
from mono_depth_ros.codec import cv_bridge_conversions
from mono_depth_ros.codec.camera_info import camera_info_like

_USUAL_RATE_HZ = 15.0


class BagSource:
    """One image topic of a bag."""

    def __init__(self, path: Path, topic: str = "") -> None:
        """Open what `BagReader` opens; an empty topic is the first one of images.

        Raises:
            ConfigError: there is no such bag or topic.
        """
        self._bag = BagReader(path)
        self._images = self._bag.image_topic(topic)
        stored = self._bag.camera_info(self._images)
        self.info: CameraInfo | None = None if stored is None else camera_info_like(stored)
        self.rate_hz: float | None = self._bag.rate_hz(self._images) or _USUAL_RATE_HZ

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield every image with the stamp of its header."""
        for stored in self._bag.messages(self._images):
            yield decode_rgb(stored.content, fallback=cv_bridge_conversions), stored.stamp_ns

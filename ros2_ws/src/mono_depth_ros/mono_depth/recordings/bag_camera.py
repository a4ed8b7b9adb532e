"""The colour camera of a bag."""

from __future__ import annotations

import numpy as np

from mono_depth.data import RgbImage
from mono_depth.messages.camera_info import Calibration, calibration_from_info
from mono_depth.messages.decode import decode_rgb
from mono_depth.messages.protocols import CompressedImageMessage, ImageMessage
from mono_depth.recordings.bag_reader import BagReader


class BagCamera:
    """A topic of colour images, and the camera_info beside it."""

    def __init__(self, bag: BagReader, image_topic: str = "") -> None:
        """Choose a topic.

        Args:
            bag: where it is.
            image_topic: "" = the first topic of images without depth in its name.

        Raises:
            ConfigError: there is none.
        """
        self.images = bag.image_topic(image_topic, fits=_is_color, what="colour images")
        self.info = bag.camera_info(self.images)

    def decode(self, message: ImageMessage | CompressedImageMessage) -> RgbImage:
        """Return the (H, W, 3) image of a message of the topic, in memory of its own.

        Raises:
            FrameError: it cannot be decoded.
        """
        return np.require(decode_rgb(message), requirements="W")  # a bag's messages are read-only

    def calibration_of(self, rgb: RgbImage) -> Calibration | None:
        """Return the camera of an image of the topic, with what rectifies it.

        Images with `rect` in the name of their topic are rectified already. None where the bag
        has no camera_info, or that of an uncalibrated camera.

        Raises:
            FrameError: the camera_info is not one of this image.
        """
        if self.info is None:
            return None
        height, width = rgb.shape[:2]
        is_rectified = "rect" in self.images.name
        return calibration_from_info(self.info, width, height, rectify=not is_rectified)


def _is_color(topic_name: str) -> bool:
    return "depth" not in topic_name.lower()

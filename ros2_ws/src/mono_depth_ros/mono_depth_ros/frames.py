"""From an image message and the newest camera_info to the library's `Frame`."""

from __future__ import annotations

from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth_ros.calibration import calibration_from_info
from mono_depth_ros.decode import decode_compressed, decode_image


def stamp_ns(header: Header) -> int:
    """Return the stamp in nanoseconds.

    Raises:
        FrameError: it lies before the epoch, which rclpy has no time for.
    """
    if header.stamp.sec < 0:
        raise FrameError(f"the stamp is negative: {header.stamp.sec} s")
    return int(Time.from_msg(header.stamp).nanoseconds)


class FrameReader:
    """Decodes image messages and gives them the calibration of their camera."""

    def __init__(self, *, rectify: bool) -> None:
        self._rectify = rectify
        self._info: CameraInfo | None = None

    def set_info(self, info: CameraInfo) -> None:
        """Keep the newest calibration message."""
        self._info = info

    def read(self, msg: Image | CompressedImage, *, max_pixels: int) -> Frame:
        """Return the frame of one image message.

        Raises:
            FrameError: the message or the calibration cannot be used.
        """
        if not msg.header.frame_id:
            raise FrameError("header.frame_id is empty: nobody could tell where the depth is")
        decode = decode_compressed if isinstance(msg, CompressedImage) else decode_image
        rgb = decode(msg, max_pixels=max_pixels)
        info, calibration = self._info, None
        if info is not None:
            height, width = rgb.shape[:2]
            calibration = calibration_from_info(info, width, height, rectify=self._rectify)
        if calibration is None and self._rectify:
            raise FrameError("rectify is on, but there is no calibration on camera_info")
        is_visible = None
        if calibration is not None and calibration.rectifier is not None:
            rgb = calibration.rectifier.apply(rgb)
            is_visible = calibration.rectifier.is_visible
        return Frame(
            rgb=rgb,
            stamp_ns=stamp_ns(msg.header),
            frame_id=msg.header.frame_id,
            intrinsics=None if calibration is None else calibration.intrinsics,
            is_visible=is_visible,
        )

"""From an image message and the newest camera_info to the library's `Frame`."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth.messages.camera_info import calibration_from_info
from mono_depth.messages.camera_info_doubts import calibration_doubt
from mono_depth.messages.decode import decode_rgb
from mono_depth.messages.frame_names import frame_name
from mono_depth.messages.image_watch import ImageWatch
from mono_depth_ros.codec import cv_bridge_conversions
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.sensors.camera_geometry import CameraGeometry
from mono_depth_ros.sensors.sensor_depth import SensorDepth
from mono_depth_ros.sensors.tally import Alternation, Tally


class FrameReader:
    """Decodes image messages and joins to them what else is known at their stamp."""

    def __init__(
        self,
        *,
        rectify: bool,
        image_topic: str,
        geometry: CameraGeometry,
        sensor_depth: SensorDepth,
    ) -> None:
        self._rectify, self._geometry, self._sensor_depth = rectify, geometry, sensor_depth
        self._info: CameraInfo | None = None
        self._image_topic, self._judged, self._calibration_doubt = image_topic, b"", ""
        self._image_watch = ImageWatch()
        self._frame_id, self._frame_ids = "", Alternation()
        self._reset_reason = ""
        self.images, self.infos = Tally("image"), Tally("camera_info")

    @property
    def doubt(self) -> str:
        """Why the depth may be wrong although the images can be read, "" = no reason is seen."""
        return self._calibration_doubt or self._image_watch.doubt

    @property
    def unended_jpegs(self) -> int:
        """Images that were whole but for the marker of their end."""
        return self._image_watch.unended

    def take_reset_reason(self) -> str:
        """Return, once, why the frame just read has nothing to do with those before it."""
        reason, self._reset_reason = self._reset_reason, ""
        return reason

    def set_info(self, info: CameraInfo, received_s: float) -> None:
        """Keep the newest calibration message, which came at a time; what is new is judged."""
        numbers = b"".join(bytes(values) for values in (info.d, info.k, info.p))
        if numbers != self._judged:
            self._judged = numbers
            self._calibration_doubt = calibration_doubt(
                info, rectify=self._rectify, image_topic=self._image_topic
            )
        self._info = info
        self.infos.hear(0, received_s)

    def read(self, msg: Image | CompressedImage, config: NodeConfig) -> Frame:
        """Return the frame of one image message.

        Raises:
            FrameError: the message or the calibration cannot be used.
        """
        image_frame = frame_name(msg.header.frame_id)
        if not image_frame:
            raise FrameError("header.frame_id is empty: nobody could tell where the depth is")
        self._note_frame(msg.header.frame_id)
        rgb = decode_rgb(
            msg,
            max_pixels=config.max_pixels,
            significant_bits=config.image.significant_bits or 16,
            fallback=cv_bridge_conversions,
            watch=self._image_watch,
        )
        height, width = rgb.shape[:2]
        info, calibration = self._info, None
        if info is not None:
            calibration = calibration_from_info(info, width, height, rectify=self._rectify)
        if calibration is None and self._rectify:
            raise FrameError("rectify is on, but there is no calibration on camera_info")
        self.infos.join("" if calibration is not None else self._why_uncalibrated())
        rectifier = None if calibration is None else calibration.rectifier
        if rectifier is not None:
            rgb = rectifier.apply(rgb)
        at_ns = stamp_ns(msg.header)
        known = self._geometry.at(at_ns, image_frame, config.odometry.points_max_age_s)
        sensor_depth_m = self._sensor_depth.at(
            msg.header,
            width,
            height,
            rectifier=rectifier,
            max_pixels=config.max_pixels,
            max_depth_m=config.max_depth_m,
            config=config.sensor_depth,
        )
        return Frame(
            rgb=rgb,
            stamp_ns=at_ns,
            frame_id=msg.header.frame_id,
            intrinsics=None if calibration is None else calibration.intrinsics,
            is_visible=None if rectifier is None else rectifier.is_visible,
            T_odom_camera=known.T_odom_camera,
            gravity_camera=known.gravity_camera,
            camera_height_m=known.camera_height_m,
            sparse_points_m=known.sparse_points_m,
            sensor_depth_m=sensor_depth_m,
        )

    def _note_frame(self, frame_id: str) -> None:
        before, self._frame_id = self._frame_id, frame_id
        if before and before != frame_id:
            self._frame_ids.changed(before, frame_id)
            self._reset_reason = f"frame_id of the image changed from {before} to {frame_id}"
        names = self._frame_ids.names
        problem = f"two frame_ids take turns on {self.images.topic}: " + " and ".join(names or ())
        self.images.join(problem if names else "")

    def _why_uncalibrated(self) -> str:
        if self._info is None:
            return f"no message on {self.infos.topic}"
        return f"K is 0 on {self.infos.topic}: the camera is uncalibrated"

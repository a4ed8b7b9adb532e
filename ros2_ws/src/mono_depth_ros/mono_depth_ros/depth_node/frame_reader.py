"""From an image message and the newest camera_info to the library's `Frame`."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth.messages.camera_info import calibration_from_info
from mono_depth.messages.camera_info_doubts import calibration_doubt
from mono_depth.messages.decode import decode_rgb
from mono_depth.messages.image_watch import ImageWatch
from mono_depth_ros.codec import cv_bridge_conversions
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.sensors.camera_poses import CameraPoses
from mono_depth_ros.sensors.imu_gravity import ImuGravity
from mono_depth_ros.sensors.sensor_depth import SensorDepth
from mono_depth_ros.sensors.sparse_points import PointsBuffer


class FrameReader:
    """Decodes image messages and joins to them what else is known at their stamp."""

    def __init__(
        self,
        *,
        rectify: bool,
        image_topic: str,
        poses: CameraPoses,
        gravity: ImuGravity | None,
        points: PointsBuffer,
        sensor_depth: SensorDepth,
    ) -> None:
        self._rectify, self._poses, self._points = rectify, poses, points
        self._gravity, self._sensor_depth = gravity, sensor_depth
        self._info: CameraInfo | None = None
        self._image_topic, self._judged, self._calibration_doubt = image_topic, b"", ""
        self.images = ImageWatch()

    @property
    def doubt(self) -> str:
        """Why the depth may be wrong although the images can be read, "" = no reason is seen."""
        return self._calibration_doubt or self.images.doubt

    def set_info(self, info: CameraInfo) -> None:
        """Keep the newest calibration message; what is new is judged."""
        numbers = b"".join(bytes(values) for values in (info.d, info.k, info.p))
        if numbers != self._judged:
            self._judged = numbers
            self._calibration_doubt = calibration_doubt(
                info, rectify=self._rectify, image_topic=self._image_topic
            )
        self._info = info

    def read(self, msg: Image | CompressedImage, config: NodeConfig) -> Frame:
        """Return the frame of one image message.

        Raises:
            FrameError: the message or the calibration cannot be used.
        """
        if not msg.header.frame_id:
            raise FrameError("header.frame_id is empty: nobody could tell where the depth is")
        rgb = decode_rgb(
            msg,
            max_pixels=config.max_pixels,
            significant_bits=config.image.significant_bits or 16,
            fallback=cv_bridge_conversions,
            watch=self.images,
        )
        height, width = rgb.shape[:2]
        info, calibration = self._info, None
        if info is not None:
            calibration = calibration_from_info(info, width, height, rectify=self._rectify)
        if calibration is None and self._rectify:
            raise FrameError("rectify is on, but there is no calibration on camera_info")
        rectifier = None if calibration is None else calibration.rectifier
        if rectifier is not None:
            rgb = rectifier.apply(rgb)
        at_ns, camera_frame = stamp_ns(msg.header), msg.header.frame_id
        T_odom_camera = self._poses.at(at_ns, camera_frame)
        over_ground = self._poses.over_ground(at_ns, camera_frame)
        gravity_camera = None if self._gravity is None else self._gravity.at(at_ns, camera_frame)
        T_level_camera = T_odom_camera if over_ground is None else over_ground[1]
        if gravity_camera is None and T_level_camera is not None:
            # z of either frame points up (REP 103), so its third row is up as the camera sees it.
            gravity_camera = -T_level_camera[2, :3]
        return Frame(
            rgb=rgb,
            stamp_ns=at_ns,
            frame_id=camera_frame,
            intrinsics=None if calibration is None else calibration.intrinsics,
            is_visible=None if rectifier is None else rectifier.is_visible,
            T_odom_camera=T_odom_camera,
            gravity_camera=gravity_camera,
            camera_height_m=None if over_ground is None else over_ground[0],
            sparse_points_m=self._points.at(at_ns, camera_frame, config.odometry.points_max_age_s),
            sensor_depth_m=self._sensor_depth.at(
                msg.header,
                width,
                height,
                rectifier=rectifier,
                max_pixels=config.max_pixels,
                max_depth_m=config.max_depth_m,
                config=config.sensor_depth,
            ),
        )

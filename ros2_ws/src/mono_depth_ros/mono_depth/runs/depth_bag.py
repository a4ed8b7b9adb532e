"""Depth, points and images as a rosbag2 with MCAP, for Foxglove, RViz and `ros2 bag play`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Frame, Intrinsics, RgbImage
from mono_depth.errors import ConfigError

ODOM_FRAME = "odom"
_JPEG_QUALITY = 90
_FLOAT32 = 7  # of sensor_msgs/PointField
# Topics as the node names them, so that its RViz file and its Foxglove layout fit.
_TOPICS = {
    "/depth_node/depth/image": "sensor_msgs/msg/Image",
    "/depth_node/depth/camera_info": "sensor_msgs/msg/CameraInfo",
    "/depth_node/points": "sensor_msgs/msg/PointCloud2",
    "/image/compressed": "sensor_msgs/msg/CompressedImage",
    "/tf": "tf2_msgs/msg/TFMessage",
}


class DepthBag:
    """A bag that is written frame by frame; messages are written at the stamps of the images."""

    def __init__(self, path: Path) -> None:
        """Begin a bag.

        Args:
            path: of the folder that becomes the bag; it must not be there.

        Raises:
            ConfigError: the package rosbags is missing.
        """
        try:
            from rosbags.rosbag2 import StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError:
            raise ConfigError("mcap needs rosbags: pip install 'mono_depth_ros[bag]'") from None
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._is_open = True
        self._connections = {
            name: self._writer.add_connection(name, kind, typestore=self._store)
            for name, kind in _TOPICS.items()
        }

    def add(
        self,
        frame: Frame,
        depth_m: DepthImage | None,
        points: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]] | None,
        rgb: RgbImage,
    ) -> None:
        """Write a frame.

        Args:
            frame: stamp, optical frame, camera and pose.
            depth_m: (H, W) metres, NaN = unknown; None = there are none.
            points: (N, 3) metres and (N, 3) colours, None = there are none.
            rgb: (H, W, 3).
        """
        at_ns, header = frame.stamp_ns, self._header(frame.stamp_ns, frame.frame_id)
        if depth_m is not None:
            self._write("/depth_node/depth/image", at_ns, self._depth(header, depth_m))
        if frame.intrinsics is not None:
            self._write(
                "/depth_node/depth/camera_info", at_ns, self._info(header, frame.intrinsics)
            )
        if points is not None:
            self._write("/depth_node/points", at_ns, self._cloud(header, *points))
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        image = self._new(
            "sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=jpeg.ravel()
        )
        self._write("/image/compressed", at_ns, image)
        if frame.T_odom_camera is not None:
            self._write("/tf", at_ns, self._transform(frame))

    def close(self) -> None:
        """Finish the bag; once is enough."""
        if self._is_open:
            self._is_open = False
            self._writer.close()

    def _write(self, topic: str, at_ns: int, message: Any) -> None:  # noqa: ANN401
        data = self._store.serialize_cdr(message, _TOPICS[topic])
        self._writer.write(self._connections[topic], at_ns, data)

    def _new(self, kind: str, **fields: Any) -> Any:  # noqa: ANN401 - types made by rosbags
        return self._store.types[kind](**fields)

    def _header(self, at_ns: int, frame_id: str) -> Any:  # noqa: ANN401
        sec, nanosec = divmod(at_ns, 10**9)
        stamp = self._new("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
        return self._new("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def _depth(self, header: Any, depth_m: DepthImage) -> Any:  # noqa: ANN401
        """Return depth as REP 118 has it: metres, NaN = unknown."""
        height, width = depth_m.shape
        data = np.ascontiguousarray(depth_m, "<f4").view(np.uint8).ravel()
        return self._new(
            "sensor_msgs/msg/Image",
            header=header,
            height=height,
            width=width,
            encoding="32FC1",
            is_bigendian=0,
            step=4 * width,
            data=data,
        )

    def _info(self, header: Any, camera: Intrinsics) -> Any:  # noqa: ANN401
        K = camera.matrix()
        roi = self._new(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )
        return self._new(
            "sensor_msgs/msg/CameraInfo",
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=K.ravel(),
            r=np.eye(3).ravel(),
            p=np.hstack((K, np.zeros((3, 1)))).ravel(),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    def _cloud(
        self,
        header: Any,  # noqa: ANN401
        points_m: npt.NDArray[np.float32],
        rgb: npt.NDArray[np.uint8],
    ) -> Any:  # noqa: ANN401
        """Return a cloud without order; PCL reads `rgb` as 0x00RRGGBB in the bits of a float."""
        red, green, blue = rgb.astype(np.uint32).T
        packed = ((red << 16) | (green << 8) | blue).astype("<u4").view("<f4")
        data = np.column_stack((points_m, packed)).astype("<f4")
        fields = [
            self._new(
                "sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=_FLOAT32, count=1
            )
            for i, name in enumerate(("x", "y", "z", "rgb"))
        ]
        return self._new(
            "sensor_msgs/msg/PointCloud2",
            header=header,
            height=1,
            width=len(data),
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(data),
            data=data.view(np.uint8).ravel(),
            is_dense=True,
        )

    def _transform(self, frame: Frame) -> Any:  # noqa: ANN401
        """Return the pose of the camera as TF, from odom to its optical frame."""
        T = frame.T_odom_camera
        if T is None:
            raise ValueError("a frame without a pose has no transform")
        x, y, z, w = quaternion_of(T[:3, :3])
        rotation = self._new("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
        place = (float(value) for value in T[:3, 3])
        shift = self._new("geometry_msgs/msg/Vector3", **dict(zip("xyz", place, strict=True)))
        stamped = self._new(
            "geometry_msgs/msg/TransformStamped",
            header=self._header(frame.stamp_ns, ODOM_FRAME),
            child_frame_id=frame.frame_id,
            transform=self._new(
                "geometry_msgs/msg/Transform", translation=shift, rotation=rotation
            ),
        )
        return self._new("tf2_msgs/msg/TFMessage", transforms=[stamped])


def quaternion_of(R: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a 3x3 rotation, w >= 0.

    Source: Bar-Itzhack, "New Method for Extracting the Quaternion from a Rotation Matrix", 2000.
    """
    xx, xy, xz, yx, yy, yz, zx, zy, zz = R.ravel()
    K = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    x, y, z, w = np.linalg.eigh(K / 3.0)[1][:, -1]
    sign = 1.0 if w >= 0.0 else -1.0
    return float(sign * x), float(sign * y), float(sign * z), float(sign * w)

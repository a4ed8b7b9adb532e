"""What is read of ROS messages; those of rclpy and of rosbags have it.

Source: sensor_msgs/msg; names and order of the fields as there.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = "array[int] | npt.NDArray[np.uint8]"  # of rclpy, of rosbags


class ImageMessage(Protocol):
    """sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int  # bytes from one row to the next
    data: Bytes


class CompressedImageMessage(Protocol):
    """sensor_msgs/CompressedImage."""

    format: str
    data: Bytes


class RegionOfInterestMessage(Protocol):
    """sensor_msgs/RegionOfInterest."""

    x_offset: int
    y_offset: int
    height: int
    width: int
    do_rectify: bool


class _CameraInfoHead(Protocol):
    height: int
    width: int
    distortion_model: str
    binning_x: int
    binning_y: int
    roi: RegionOfInterestMessage


class Ros2CameraInfoMessage(_CameraInfoHead, Protocol):
    """sensor_msgs/CameraInfo of ROS 2."""

    d: Sequence[float]
    k: Sequence[float]
    r: Sequence[float]
    p: Sequence[float]


class Ros1CameraInfoMessage(_CameraInfoHead, Protocol):
    """sensor_msgs/CameraInfo of ROS 1."""

    D: Sequence[float]
    K: Sequence[float]
    R: Sequence[float]
    P: Sequence[float]


CameraInfoMessage: TypeAlias = Ros2CameraInfoMessage | Ros1CameraInfoMessage


class PointFieldMessage(Protocol):
    """sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int


class PointCloud2Message(Protocol):
    """sensor_msgs/PointCloud2."""

    height: int
    width: int
    fields: Sequence[PointFieldMessage]
    is_bigendian: bool
    point_step: int  # bytes from one point to the next
    row_step: int  # bytes from one row to the next
    data: Bytes


class _Xyz(Protocol):
    x: float
    y: float
    z: float


class _Quaternion(_Xyz, Protocol):
    w: float


class PoseMessage(Protocol):
    """geometry_msgs/Pose."""

    position: _Xyz
    orientation: _Quaternion


class TransformMessage(Protocol):
    """geometry_msgs/Transform."""

    translation: _Xyz
    rotation: _Quaternion

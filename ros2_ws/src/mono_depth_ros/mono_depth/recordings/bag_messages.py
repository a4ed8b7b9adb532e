"""What evaluation needs of the messages in a bag, as plain arrays.

Takes the message objects that rosbags makes, which have the fields of the ROS messages.

Source: sensor_msgs/msg/Image, CompressedImage and CameraInfo; REP 118 for depth images.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, pose_from
from mono_depth.camera.rectify import IDENTITY, Lens, LensModel, Rectifier
from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import FrameError

# encoding -> bytes of a pixel and the channels that are red, green and blue
_COLOURS: dict[str, tuple[int, tuple[int, int, int]]] = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}
_DEPTHS: dict[str, tuple[str, float]] = {  # type and units per metre
    "32FC1": ("f4", 1.0),
    "16UC1": ("u2", 1000.0),
    "mono16": ("u2", 1000.0),
}
_LENSES = {
    "": LensModel.POLYNOMIAL,
    "plumb_bob": LensModel.POLYNOMIAL,
    "rational_polynomial": LensModel.POLYNOMIAL,
    "equidistant": LensModel.FISHEYE,
}


def stored_rgb(message: Any) -> RgbImage:  # noqa: ANN401 - a type made by rosbags
    """Return the (H, W, 3) image of an Image or CompressedImage.

    Raises:
        FrameError: the encoding is not known, or the data is damaged.
    """
    if not hasattr(message, "encoding"):
        image = cv2.imdecode(np.asarray(message.data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise FrameError(f"a compressed image of format {message.format!r} does not decode")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    if message.encoding not in _COLOURS:
        raise FrameError(f"encoding {message.encoding!r} is not one of {', '.join(_COLOURS)}")
    size, channels = _COLOURS[message.encoding]
    pixels = _rows(message, size).reshape(message.height, message.width, size)
    return np.ascontiguousarray(pixels[..., channels])


def stored_depth(message: Any) -> DepthImage:  # noqa: ANN401 - a type made by rosbags
    """Return the (H, W) metres of an Image of depth, NaN = unknown.

    Raises:
        FrameError: it is no image of depth, or the data is damaged.
    """
    if message.encoding not in _DEPTHS:
        raise FrameError(f"encoding {message.encoding!r} is not one of {', '.join(_DEPTHS)}")
    kind, units_per_m = _DEPTHS[message.encoding]
    order = ">" if message.is_bigendian else "<"
    kind = order + kind
    values = np.ascontiguousarray(_rows(message, np.dtype(kind).itemsize)).view(kind)
    depth_m: DepthImage = values.astype(np.float32) / np.float32(units_per_m)
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0.0))] = np.nan
    return depth_m


def rectifier_of(info: Any) -> Rectifier:  # noqa: ANN401 - a type made by rosbags
    """Return what rectifies the images of a CameraInfo, to its own projection matrix.

    Raises:
        FrameError: the camera is not calibrated, or its model of distortion not known.
    """
    names = "dkrp" if hasattr(info, "k") else "DKRP"  # ROS 2, ROS 1
    d, k, r, p = (np.asarray(getattr(info, name), np.float64) for name in names)
    model = info.distortion_model
    if model not in _LENSES:
        raise FrameError(f"distortion model {model!r} is not one of {', '.join(_LENSES)}")
    lens_model = _LENSES[model]
    coefficients = tuple(d.tolist()) or (0.0,) * lens_model.value[0]
    width, height = int(info.width), int(info.height)
    projection = p.reshape(3, 4)[:, :3] if p.any() else k.reshape(3, 3)
    return Rectifier(
        raw=_camera(k.reshape(3, 3), width, height),
        lens=Lens(model=lens_model, coefficients=coefficients),
        rectified=_camera(projection, width, height),
        rotation=tuple(r.tolist()) if r.any() else IDENTITY,
    )


def rigid_transform(message: Any) -> Pose | None:  # noqa: ANN401 - a type made by rosbags
    """Return the 4x4 matrix of a Pose or Transform, None if it is none."""
    if hasattr(message, "position"):
        place, turn = message.position, message.orientation
    else:
        place, turn = message.translation, message.rotation
    return pose_from((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))


def _rows(message: Any, pixel_bytes: int) -> npt.NDArray[np.uint8]:  # noqa: ANN401
    """Return the (H, W * bytes) rows without their padding."""
    height, width, step = message.height, message.width, message.step
    data = np.asarray(message.data, np.uint8)
    if width * pixel_bytes > step or data.size < height * step:
        raise FrameError(
            f"{width}x{height} {message.encoding} image with step {step} and {data.size} bytes"
        )
    return data[: height * step].reshape(height, step)[:, : width * pixel_bytes]


def _camera(K: npt.NDArray[np.float64], width: int, height: int) -> Intrinsics:
    return Intrinsics(width=width, height=height, fx=K[0, 0], fy=K[1, 1], cx=K[0, 2], cy=K[1, 2])

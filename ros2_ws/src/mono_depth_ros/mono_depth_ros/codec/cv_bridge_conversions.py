"""Conversions borrowed from the installed cv_bridge, where there is one that can be trusted.

This module is a `PixelConverter` for encodings that the library does not know.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image

from mono_depth.data import RgbImage

# What cv_bridge raises for an encoding it does not know depends on its version; CvBridgeError is
# a TypeError.
_FAILURES = (TypeError, KeyError, ValueError, AttributeError, RuntimeError, cv2.error)


def pixel_format(encoding: str) -> tuple[np.dtype[Any], int] | None:
    """Return the numpy type and the channels of `encoding`, None where cv_bridge does not know."""
    bridge = _bridge()
    if bridge is None:
        return None
    try:
        dtype, channels = bridge.encoding_to_dtype_with_channels(encoding)
        return np.dtype(dtype), int(channels)
    except _FAILURES:
        return None


def to_rgb(pixels: npt.NDArray[Any], encoding: str) -> RgbImage | None:
    """Convert pixels to RGB with cv_bridge.

    Args:
        pixels: (H, W) or (H, W, C) in any byte order, rows may be padded. cv_bridge sees a
            tight copy in native order: it ignores `step`, and NumPy 2 broke its byte swapping.
        encoding: a name of sensor_msgs/image_encodings.hpp.

    Returns:
        (H, W, 3) uint8, or None where cv_bridge is missing or cannot do it.
    """
    bridge = _bridge()
    if bridge is None:
        return None
    tight = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    msg = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    msg.step = tight.strides[0]
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.data.frombytes(tight.reshape(-1).view(np.uint8).data)
    try:
        rgb = np.asarray(bridge.imgmsg_to_cv2(msg, "rgb8"))
    except _FAILURES:
        return None
    is_rgb = rgb.shape == (*pixels.shape[:2], 3) and rgb.dtype == np.uint8
    return np.ascontiguousarray(rgb) if is_rgb else None


@cache
def _bridge() -> Any:  # noqa: ANN401  cv_bridge ships no types, and may be missing
    spec = importlib.util.find_spec("cv_bridge")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    is_compiled = any(list(Path(f, "boost").glob("cv_bridge_boost*.so")) for f in folders)
    if not folders or (is_compiled and int(np.__version__.split(".")[0]) >= 2):
        # A cv_bridge built for NumPy 1 ends the process under NumPy 2 and cannot be asked first:
        # https://github.com/ros-perception/vision_opencv/issues/535
        return None
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except (ImportError, *_FAILURES):
        return None

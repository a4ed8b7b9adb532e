"""What makes a calibration unlikely to be that of its image, though it can be read."""

from __future__ import annotations

import re

import numpy as np

from mono_depth.messages.camera_info import d_k_r_p
from mono_depth.messages.protocols import CameraInfoMessage

_RECTIFIED_NAME = re.compile(r"(?:^|[/_])(?:rect|undist)")  # image_rect, image_rect_color, ...
_SAME = 0.01  # relative difference of K and P that rounding may explain
_OTHER_SIZE = (0.7, 1.4)  # twice the principal point, divided by the size of the image
_SAME_SHAPE = 1.5  # the two ratios of width and height may differ by this factor
_SHORTEST = 0.01  # focal length, divided by the width: a view of 179 degrees


def calibration_doubt(msg: CameraInfoMessage, *, rectify: bool, image_topic: str) -> str:
    """Say why the metres of an image may be wrong by its calibration, "" = nothing is unusual.

    Args:
        msg: the calibration.
        rectify: the image is undistorted with it.
        image_topic: where the image comes from; its name may say that it is rectified.
    """
    d, k, _, p = (np.asarray(numbers, float) for numbers in d_k_r_p(msg))
    name, matrix = ("P", p.reshape(3, 4)) if p[0] > 0.0 else ("K", k.reshape(3, 3))
    if not np.isfinite([*k, *p]).all() or matrix[0, 0] <= 0.0:
        return ""
    if name == "P" and rectify and k[0] > 0.0:
        other = _size_doubt(msg, "K", k.reshape(3, 3))
        if other:
            return other
    is_raw = not rectify and not _RECTIFIED_NAME.search(image_topic)
    if is_raw and name == "P" and k[0] > 0.0 and d.any() and not _same_camera(k, p):
        return (
            f"{image_topic} may be distorted: camera_info has a distortion, and P (focal length "
            f"{p[0]:.4g}) is of another image than K ({k[0]:.4g}); set rectify: true, or take the "
            "topic of the rectified image (image_rect)"
        )
    return _size_doubt(msg, name, matrix)


def _same_camera(k: np.ndarray, p: np.ndarray) -> bool:
    """Compare focal lengths and principal points."""
    return bool(np.allclose(k[[0, 4, 2, 5]], p[[0, 5, 2, 6]], rtol=_SAME, atol=1.0))


def _size_doubt(msg: CameraInfoMessage, name: str, matrix: np.ndarray) -> str:
    """Compare a calibration of the whole sensor with the size that it is said to be for."""
    width, height = msg.width, msg.height
    if not width or not height:
        return ""
    fx, cx, cy = matrix[0, 0], matrix[0, 2], matrix[1, 2]
    size = 2.0 * cx + 1.0, 2.0 * cy + 1.0
    ratio_x, ratio_y = size[0] / width, size[1] / height
    low, high = _OTHER_SIZE
    is_outside = not (0.0 < cx < width and 0.0 < cy < height)
    is_scaled = (ratio_x < low and ratio_y < low) or (ratio_x > high and ratio_y > high)
    if is_scaled and 1.0 / _SAME_SHAPE < ratio_x / ratio_y < _SAME_SHAPE:
        return (
            f"{name} of camera_info looks like that of {size[0]:.0f}x{size[1]:.0f} pixels, but "
            f"the image has {width}x{height}: its principal point is {cx:.1f}, {cy:.1f}; "
            "calibrate this resolution, or scale the calibration to it"
        )
    if is_outside:
        return (
            f"the principal point of {name} of camera_info, {cx:.1f}, {cy:.1f}, lies outside the "
            f"image of {width}x{height}: it is of another resolution or wrong"
        )
    if fx < _SHORTEST * width:
        return (
            f"{name} of camera_info has a focal length of {fx:.4g} px for an image of "
            f"{width}x{height}: no camera sees that wide; it is of another resolution or wrong"
        )
    return ""

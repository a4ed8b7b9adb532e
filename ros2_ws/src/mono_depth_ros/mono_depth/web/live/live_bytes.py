"""What a browser gets of images, depth and points: small, and quick to make."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics, RgbImage

_JPEG_QUALITY = 80
_MM_PER_M = 1000.0
UNKNOWN_MM, BEYOND_MM = 0, 65535


def image_jpeg(rgb: RgbImage, most_px: int) -> bytes:
    """Return an image as JPEG, its longer side at most `most_px`."""
    height, width = rgb.shape[:2]
    factor = min(1.0, most_px / max(height, width))
    if factor < 1.0:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def depth_npy_mm(depth_m: DepthImage, most_px: int) -> bytes:
    """Return depth in whole millimetres as a NumPy file; pixels are picked, never mixed.

    Args:
        depth_m: (H, W), NaN = unknown, Inf = beyond the range.
        most_px: of the longer side.

    Returns:
        uint16; 0 = unknown, 65535 = beyond the range or 65.534 m.
    """
    step = max(1, math.ceil(max(depth_m.shape) / most_px))
    small = depth_m[step // 2 :: step, step // 2 :: step]
    with np.errstate(invalid="ignore"):
        scaled = np.clip(np.rint(small * _MM_PER_M), 1.0, BEYOND_MM)
        stored = np.where(small > 0.0, np.nan_to_num(scaled, nan=0.0), UNKNOWN_MM)
    return _npy(stored.astype("<u2"))


def points_npy(points_m: npt.NDArray[np.float32], most: int) -> bytes:
    """Return points as a NumPy file.

    Args:
        points_m: (..., 3) x, y, z, NaN = none; x ahead, y left, z up.
        most: points; of more every n-th is taken.

    Returns:
        (N, 3) float32.
    """
    rows = points_m.reshape(-1, 3)
    rows = rows[np.isfinite(rows).all(axis=1)]
    step = max(1, math.ceil(len(rows) / most))
    return _npy(np.ascontiguousarray(rows[::step], "<f4"))


def depth_points_npy(
    depth_m: DepthImage,
    camera: Intrinsics,
    most: int,
    R_level_ahead: npt.NDArray[np.float64] | None = None,
) -> bytes:
    """Return the points of a depth image; see `points_npy`.

    Args:
        depth_m: (H, W) metres along z, NaN = unknown.
        camera: of its pixels.
        most: points.
        R_level_ahead: (3, 3) from x along the optical axis, y left, z up of the image, to level
            axes; None = the camera is about level.
    """
    step = max(1, math.ceil(math.sqrt(depth_m.size / most)))
    z = np.asarray(depth_m[::step, ::step], np.float32)
    rows, columns = np.mgrid[: depth_m.shape[0] : step, : depth_m.shape[1] : step]
    left = -(columns - camera.cx) / camera.fx * z
    up = -(rows - camera.cy) / camera.fy * z
    points_m = np.stack((z, left, up), axis=-1)
    if R_level_ahead is not None:
        points_m = points_m @ R_level_ahead.T
    return points_npy(points_m.astype(np.float32), most)


def scan_json(
    ranges_m: npt.NDArray[np.float32], *, start_rad: float, step_rad: float, most_m: float
) -> bytes:
    """Return a scan as JSON: distances by bearing, counter-clockwise; null = nothing is known.

    What is clear to the end of the range is `most_m`, and listed in `clear`.
    """
    is_hit = np.isfinite(ranges_m)
    is_clear = np.isposinf(ranges_m)
    values = [
        round(float(value), 3) if hit else None for value, hit in zip(ranges_m, is_hit, strict=True)
    ]
    table = {
        "start_rad": start_rad,
        "step_rad": step_rad,
        "range_max_m": most_m,
        "ranges_m": values,
        "clear": np.flatnonzero(is_clear).tolist(),
    }
    return json.dumps(table, allow_nan=False).encode()


def status_json(status: dict[str, Any]) -> bytes:
    """Return what is said about the state, as JSON."""
    return json.dumps(status).encode()


def _npy(array: npt.NDArray[Any]) -> bytes:
    stored = io.BytesIO()
    np.save(stored, array, allow_pickle=False)
    return stored.getvalue()

"""Scale from points of known depth: LiDAR, visual odometry, SLAM landmarks, time of flight.

Where there are none, pixels of a depth camera take their place.
"""

from __future__ import annotations

import numpy as np

from mono_depth.data import DepthImage, Frame, Intrinsics, Prediction
from mono_depth.scale.fit import Points
from mono_depth.scale.grid import points_at
from mono_depth.scale.scale_shift import Floats

_SIGMA = 0.02  # relative deviation of a point's depth
_MIN_Z_M = 1e-3
_SAMPLES = 400  # pixels of sensor depth, about
_MAX_SPREAD = 0.05  # within 3x3 pixels of sensor depth: more is an edge, or noise


def has_any(frame: Frame) -> bool:
    """Tell whether a frame brings points or sensor depth."""
    return frame.sparse_points_m is not None or frame.sensor_depth_m is not None


def collect(frame: Frame, intrinsics: Intrinsics, prediction: Prediction) -> Points:
    """Look up what the network says at the points of `frame`, or at pixels of its sensor depth."""
    points = frame.sparse_points_m
    if frame.sensor_depth_m is not None and (points is None or not len(points)):
        columns, rows, depth_m = sampled(frame.sensor_depth_m, *reversed(frame.rgb.shape[:2]))
    else:
        columns, rows, depth_m = _projected(np.asarray(points, np.float64), intrinsics)
    sigma = np.full(len(depth_m), _SIGMA)
    return points_at(columns, rows, depth_m, sigma, frame=frame, of=prediction)


def sampled(sensor_depth_m: DepthImage, width: int, height: int) -> tuple[Floats, Floats, Floats]:
    """Pick pixels of a depth image from everywhere but its holes and edges.

    Args:
        sensor_depth_m: (h, w), NaN = hole.
        width: of the image of the same view, in pixels.
        height: of the image of the same view, in pixels.

    Returns:
        Columns and rows in pixels of the image, depth in metres; (N,) each.
    """
    own_height, own_width = sensor_depth_m.shape
    step = max(1, round((own_width * own_height / _SAMPLES) ** 0.5))
    rows, columns = np.mgrid[step // 2 : own_height : step, step // 2 : own_width : step]
    rows, columns = rows.reshape(-1), columns.reshape(-1)
    by = np.array((-1, 0, 1))
    near_rows = (rows[:, None, None] + by[:, None]).clip(0, own_height - 1)
    near_columns = (columns[:, None, None] + by).clip(0, own_width - 1)
    near = sensor_depth_m[near_rows, near_columns].astype(np.float64).reshape(-1, 9)
    lowest, highest = near.min(axis=1), near.max(axis=1)  # NaN where one is a hole
    with np.errstate(invalid="ignore"):
        smooth = (lowest > _MIN_Z_M) & (highest <= (1.0 + _MAX_SPREAD) * lowest)
    return (
        (columns[smooth] + 0.5) * width / own_width - 0.5,
        (rows[smooth] + 0.5) * height / own_height - 0.5,
        np.median(near[smooth], axis=1),
    )


def _projected(points: Floats, camera: Intrinsics) -> tuple[Floats, Floats, Floats]:
    """Return columns, rows and depth of points in front of the camera."""
    points = points.reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[points[:, 2] > _MIN_Z_M]
    columns = camera.fx * points[:, 0] / points[:, 2] + camera.cx
    rows = camera.fy * points[:, 1] / points[:, 2] + camera.cy
    return columns, rows, points[:, 2]

"""Scale from points of known depth: LiDAR, visual odometry, SLAM landmarks, time of flight."""

from __future__ import annotations

import numpy as np

from mono_depth.data import Frame, Intrinsics, Prediction
from mono_depth.scale.fit import Points
from mono_depth.scale.grid import points_at

_SIGMA = 0.02  # relative deviation of a point's depth
_MIN_Z_M = 1e-3


def collect(frame: Frame, intrinsics: Intrinsics, prediction: Prediction) -> Points:
    """Project `frame.sparse_points_m` into the image and look up what the network says there."""
    points = np.asarray(frame.sparse_points_m, np.float64).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[points[:, 2] > _MIN_Z_M]
    columns = intrinsics.fx * points[:, 0] / points[:, 2] + intrinsics.cx
    rows = intrinsics.fy * points[:, 1] / points[:, 2] + intrinsics.cy
    sigma = np.full(len(points), _SIGMA)
    return points_at(columns, rows, points[:, 2], sigma, frame=frame, of=prediction)

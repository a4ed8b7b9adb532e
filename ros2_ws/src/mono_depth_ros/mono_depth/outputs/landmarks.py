"""Points of the camera's motion as points in space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics, MotionPoints


def landmark_rows(motion: MotionPoints, camera: Intrinsics) -> npt.NDArray[np.float32]:
    """Return (N, 4) float32 x, y, z and deviation of z in metres, in the optical frame.

    Args:
        motion: points of an image.
        camera: of that image.
    """
    columns, rows = motion.pixels.T
    z = motion.depth_m
    x, y = (columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z
    return np.stack((x, y, z, motion.sigma_rel * z), axis=1).astype(np.float32)

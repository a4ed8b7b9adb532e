"""The level frame of a camera: x ahead, y left, z up against gravity (REP 103)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.camera.gravity import Vector

Rotation = npt.NDArray[np.float64]  # (3, 3), R_a_b turns directions of frame b into frame a

_STEEPEST = 0.97  # of the optical axis along gravity, 76 degrees: where ahead is cannot be told


def level_rotation(gravity_camera: Vector | None) -> Rotation | None:
    """Return R_level_camera; None where gravity is unknown or the camera looks along it.

    Args:
        gravity_camera: (3,) gravity in the optical frame (x right, y down, z forward).

    Returns:
        (3, 3) float64. The level frame has the origin of the camera and its heading.
    """
    if gravity_camera is None or not np.isfinite(gravity_camera).all():
        return None
    length = float(np.linalg.norm(gravity_camera))
    if length < 1e-6:
        return None
    up = -np.asarray(gravity_camera, np.float64) / length
    ahead = np.array((0.0, 0.0, 1.0)) - up[2] * up
    if abs(up[2]) > _STEEPEST:
        return None
    ahead /= np.linalg.norm(ahead)
    return np.stack((ahead, np.cross(up, ahead), up))

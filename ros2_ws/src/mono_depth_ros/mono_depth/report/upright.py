"""Which way is up, by floors, tables, ceilings and walls."""

from __future__ import annotations

import numpy as np

from mono_depth.report.surface import F64, Surface

LEVEL_COS = np.cos(np.radians(20.0))  # a surface is level if its normal is within this of up
_START_COS = np.cos(np.radians(40.0))  # a camera that is held is hardly more tilted
_WALL_SIN = np.sin(np.radians(20.0))
_ROUNDS = 6
_CAMERA_UP = np.array([0.0, -1.0, 0.0])  # of an optical frame


def up_of(surface: Surface, gravity: F64 | None = None) -> F64:
    """Return (3,) up as the frame of a surface has it.

    Args:
        surface: what is seen.
        gravity: (3,) unit vector of gravity, None = it is told by what is level and what upright:
            up has the largest cosine with the first, and the smallest with the second.
    """
    if gravity is not None:
        return np.asarray(-gravity / np.linalg.norm(gravity))
    normals, up, reach = surface.normals, _CAMERA_UP, _START_COS
    for _ in range(_ROUNDS):
        cosine = normals @ up
        level, wall = normals[np.abs(cosine) > reach], normals[np.abs(cosine) < _WALL_SIN]
        if not len(level):
            return up
        votes = level.T @ level / len(level)
        if len(wall):
            votes = votes - wall.T @ wall / len(wall)
        axis = np.linalg.eigh(votes)[1][:, -1]
        up, reach = axis * np.sign(axis @ _CAMERA_UP or 1.0), LEVEL_COS
    return np.asarray(up)

"""The ground in the depth of a sensor: where down is, and how high the camera is over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.camera.gravity import Vector
from mono_depth.camera.level import Rotation, level_rotation
from mono_depth.data import DepthImage, Intrinsics

_TRIALS = 400
_SAMPLES = 4000
_FLATTEST = np.cos(np.radians(50.0))  # of the normal to the camera's own down
_NEAR = 0.015  # of the depth: noise of a sensor
_LEAST_SHARE = 0.08  # of the samples
_MAX_BELOW = 0.02  # of the samples may lie under it: it is the lowest plane


@dataclass(frozen=True, kw_only=True)
class SensorGround:
    """The camera over the ground."""

    gravity_camera: Vector  # (3,) in the optical frame
    R_level_camera: Rotation  # (3, 3)
    camera_height_m: float


def sensor_ground(depth_m: DepthImage, intrinsics: Intrinsics) -> SensorGround | None:
    """Return the ground that a sensor sees, None where there is none.

    The widest plane that faces up and has next to nothing beneath it.

    Args:
        depth_m: (H, W) of a sensor, NaN = hole.
        intrinsics: of its pixels.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero((depth_m > 0.2) & (depth_m < 6.0))
    if len(rows) < 100:
        return None
    some = rng.integers(0, len(rows), _SAMPLES)
    z = depth_m[rows[some], columns[some]].astype(np.float64)
    x = (columns[some] - intrinsics.cx) / intrinsics.fx
    y = (rows[some] - intrinsics.cy) / intrinsics.fy
    points = np.stack((x * z, y * z, z), axis=1)
    planes = _planes(points, rng)
    if not len(planes):
        return None
    off = points @ planes.T - 1.0  # relative to the distance of the plane
    noise = _NEAR * points[:, 2:] * np.linalg.norm(planes, axis=1)
    share = (np.abs(off) < noise).mean(axis=0)
    below = (off > 3.0 * noise).mean(axis=0)
    share[below > _MAX_BELOW] = 0.0
    best = int(np.argmax(share))
    if share[best] < _LEAST_SHARE:
        return None
    inliers = points[np.abs(off[:, best]) < noise[:, best]]
    plane = np.linalg.lstsq(inliers, np.ones(len(inliers)), rcond=None)[0]
    length = float(np.linalg.norm(plane))
    R_level_camera = level_rotation(plane)
    if R_level_camera is None:
        return None
    return SensorGround(
        gravity_camera=np.asarray(plane / length),
        R_level_camera=R_level_camera,
        camera_height_m=1.0 / length,
    )


def _planes(points: Vector, rng: np.random.Generator) -> Vector:
    """Return (n, 3) m of planes m @ P = 1 through three points that lie under the camera."""
    triples = points[rng.integers(0, len(points), (_TRIALS, 3))]
    solvable = np.abs(np.linalg.det(triples)) > 1e-6
    planes = np.linalg.solve(triples[solvable], np.ones((int(solvable.sum()), 3, 1)))[..., 0]
    return np.asarray(planes[planes[:, 1] > _FLATTEST * np.linalg.norm(planes, axis=1)])

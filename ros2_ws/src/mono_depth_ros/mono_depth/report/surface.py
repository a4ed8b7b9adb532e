"""Points of a depth image and which way their surface looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, Intrinsics
from mono_depth.errors import FrameError

F64 = npt.NDArray[np.float64]

_GRID_PX = 160  # pixels of a row that are looked at
_REACH = 2  # pixels of the grid, from a point to those that its normal is made of
_MAX_JUMP = 0.25  # share by which depth changes over that reach; more is an edge
_LEAST_POINTS = 200
_MAX_M = 60.0


@dataclass(frozen=True, kw_only=True)
class Surface:
    """n points in one frame, optical for a single view: x right, y down, z forward (REP 103)."""

    points_m: F64  # (n, 3)
    normals: F64  # (n, 3) unit vectors towards the camera
    area_m2: F64  # (n,) of the part of a plane that faces the camera, which each stands for

    def __len__(self) -> int:
        return len(self.points_m)

    def moved(self, T: F64) -> Surface:
        """Return it in another frame, T_other_this."""
        return Surface(
            points_m=self.points_m @ T[:3, :3].T + T[:3, 3],
            normals=self.normals @ T[:3, :3].T,
            area_m2=self.area_m2,
        )


def surface_of(depth_m: DepthImage, camera: Intrinsics) -> Surface:
    """Return the surface that a depth image shows, at some 160 points of a row.

    Args:
        depth_m: (H, W) metres along z, NaN = unknown.
        camera: of its pixels.

    Raises:
        FrameError: hardly anything is known.
    """
    step = max(1, round(depth_m.shape[1] / _GRID_PX))
    z = np.asarray(depth_m[::step, ::step], np.float64)
    z = np.where((z > 0.0) & (z < _MAX_M), z, np.nan)
    columns = (np.arange(z.shape[1]) * step - camera.cx) / camera.fx
    rows = (np.arange(z.shape[0]) * step - camera.cy) / camera.fy
    points = np.stack((columns[None, :] * z, rows[:, None] * z, z), axis=-1)
    r = _REACH
    core = points[r:-r, r:-r]
    right = points[r:-r, 2 * r :] - points[r:-r, : -2 * r]
    down = points[2 * r :, r:-r] - points[: -2 * r, r:-r]
    normal = np.cross(down, right)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal *= np.where((normal * core).sum(-1, keepdims=True) > 0.0, -1.0, 1.0)
    jump = np.maximum(np.abs(right[..., 2]), np.abs(down[..., 2])) / core[..., 2]
    known = np.isfinite(normal).all(-1) & (jump < _MAX_JUMP)
    if np.count_nonzero(known) < _LEAST_POINTS:
        raise FrameError("the depth shows hardly any surface")
    pixel = step**2 / (camera.fx * camera.fy)
    return Surface(
        points_m=core[known], normals=normal[known], area_m2=pixel * core[known][:, 2] ** 2
    )


def joined(parts: list[Surface]) -> Surface:
    """Return several surfaces of one frame as one."""
    return Surface(
        points_m=np.concatenate([part.points_m for part in parts]),
        normals=np.concatenate([part.normals for part in parts]),
        area_m2=np.concatenate([part.area_m2 for part in parts]),
    )

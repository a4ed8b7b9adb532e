"""Which pixels of two frames see the same point, from true depth and true poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics

Maps = npt.NDArray[np.floating]  # (n, h, w) or (h, w)
Masks = npt.NDArray[np.bool_]

_SAME_SURFACE = 0.03  # of log depth: what hides behind an edge is farther than this from it


@dataclass(frozen=True, kw_only=True)
class TrueScene:
    """What is known about n frames."""

    depth_m: Maps  # (n, h, w) float32, NaN = unknown
    intrinsics: Intrinsics  # of these maps
    T_odom_camera: Sequence[Pose | None]  # of the optical frame; None = unknown
    mover: Masks  # (n, h, w) belongs to something that moves

    def __len__(self) -> int:
        return len(self.depth_m)

    def T_last_now(self, index: int) -> Pose | None:
        """Return the pose of camera `index` >= 1 in the one before, None if not known."""
        last, now = self.T_odom_camera[index - 1], self.T_odom_camera[index]
        if last is None or now is None:
            return None
        return np.asarray(np.linalg.inv(last) @ now)


@dataclass(frozen=True, kw_only=True)
class Track:
    """Pixels of a frame and where the frame before saw the same points."""

    now: npt.NDArray[np.int64]  # (m,) index into the flattened map of this frame
    last: npt.NDArray[np.int64]  # (m,) ... of the frame before


def tracks(scene: TrueScene) -> list[Track | None]:
    """Return the tracks that end in each frame; None where poses are unknown.

    Static points only, to the nearest pixel; what is hidden in the frame before is left out.
    """
    return [None, *(_track(scene, index) for index in range(1, len(scene)))]


def _track(scene: TrueScene, index: int) -> Track | None:
    T_last_now = scene.T_last_now(index)
    if T_last_now is None:
        return None
    static = np.where(scene.mover[index], np.nan, scene.depth_m[index])
    target, z = projected(static, scene.intrinsics, T_last_now)
    now = np.flatnonzero(target >= 0)
    last = target[now]
    with np.errstate(invalid="ignore"):
        seen = np.abs(np.log(scene.depth_m[index - 1].ravel()[last] / z[now])) < _SAME_SURFACE
    seen &= ~scene.mover[index - 1].ravel()[last]
    return Track(now=now[seen], last=last[seen])


def projected(
    depth_m: Maps, intrinsics: Intrinsics, T_other_camera: Pose
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return where another camera of the same kind sees the points of a depth map.

    Args:
        depth_m: (h, w), NaN = unknown.
        intrinsics: of both cameras.
        T_other_camera: turns points of this camera into the other's.

    Returns:
        (h * w,) nearest pixel as an index into the other's flattened map, -1 = not seen; and
        (h * w,) depth in the other camera.
    """
    K, T = intrinsics, T_other_camera
    z = np.where(depth_m > 0.0, depth_m, np.nan).astype(np.float64)
    x = z * ((np.arange(K.width) - K.cx) / K.fx)
    y = z * ((np.arange(K.height) - K.cy) / K.fy)[:, None]
    moved_x, moved_y, moved_z = (
        (T[axis, 0] * x + T[axis, 1] * y + T[axis, 2] * z + T[axis, 3]).ravel() for axis in range(3)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        column = np.rint(moved_x / moved_z * K.fx + K.cx)
        row = np.rint(moved_y / moved_z * K.fy + K.cy)
        seen = (moved_z > 0) & (column >= 0) & (column < K.width) & (row >= 0) & (row < K.height)
    index = np.full(moved_z.size, -1, np.int64)
    index[seen] = (row[seen] * K.width + column[seen]).astype(np.int64)
    return index, moved_z

"""What is kept of each corner that is followed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.motion.inverse_depth import Array, triangulated
from mono_depth.motion.tracker import Pixels

_MOST_VIEWS = 30
_FRESH_RHO, _FRESH_VARIANCE = 0.5, 25.0  # inverse depth of a corner that was seen once [1/m]
_MAX_MISFIT = 3.0  # of a track in its views, in deviations: it is not of a resting point
_CROWDED = 0.3  # of the median step: a view that adds so little goes first


class TrackTable:
    """Corners with their rays in the key views, newest last, and their inverse depth there.

    Every corner was seen in the newest key view: that is where new ones are taken in.
    """

    def __init__(self, camera: Intrinsics, pixels: Pixels, T_map_camera: Pose) -> None:
        self.camera = camera
        self.T_map_view = T_map_camera[None].copy()  # (V, 4, 4) of the key views
        self.count_at_key = 0
        self.pixels = np.empty((0, 2), np.float32)  # (N, 2) now
        self.history = np.empty((0, 1, 2))  # (N, V, 2) x/z and y/z in the key views, NaN = unseen
        self.rho, self.variance = np.empty(0), np.empty(0)  # (N,) in the newest key view
        self.views = np.empty(0, np.intp)  # (N,) key views that saw it, beside the newest
        self.depth_m, self.sigma_rel = np.empty(0), np.empty(0)  # (N,) now, NaN = not known
        self._add(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def key_rays(self) -> Array:
        """(N, 3) rays of unit depth in the newest key view."""
        return homogeneous(self.history[:, -1])

    def rays(self, pixels: Pixels | None = None) -> Array:
        """Return (N, 2) x/z and y/z of pixels, those of now by default."""
        seen, K = self.pixels if pixels is None else pixels, self.camera
        x = (seen[:, 0] - K.cx) / K.fx
        return np.stack((x, (seen[:, 1] - K.cy) / K.fy), axis=1).astype(np.float64)

    def points(self) -> Array:
        """Return (N, 3) where the corners are in the present view [m], NaN = not known."""
        return np.asarray(homogeneous(self.rays()) * self.depth_m[:, None])

    def keep(self, kept: npt.NDArray[np.intp]) -> None:
        """Leave only some."""
        self.pixels, self.history = self.pixels[kept], self.history[kept]
        self.rho, self.variance = self.rho[kept], self.variance[kept]
        self.views, self.depth_m = self.views[kept], self.depth_m[kept]
        self.sigma_rel = self.sigma_rel[kept]

    def add_view(self, T_key_now: Pose, covariance: Array, deviation: float) -> None:
        """Make the present view the newest key view, and measure all inverse depths there.

        Args:
            T_key_now: turns points of now into those of the newest key view so far.
            covariance: (6, 6) of shift and turn of the present view.
            deviation: of x/z and y/z.
        """
        T_map_now, rays = self.T_map_view[-1] @ T_key_now, self.rays()
        T_view_now = np.linalg.inv(self.T_map_view) @ T_map_now
        found = triangulated(rays, self.history, T_view_now, deviation)
        by_pose = np.einsum("na,ab,nb->n", found.by_pose, covariance, found.by_pose)
        variance = found.variance + by_pose
        self.rho = np.where(variance < _FRESH_VARIANCE, found.rho, _FRESH_RHO)
        self.variance = np.minimum(variance, _FRESH_VARIANCE)
        self.views = found.views
        self.history = np.concatenate((self.history, rays[:, None]), axis=1)
        self.T_map_view = np.concatenate((self.T_map_view, T_map_now[None]))
        if len(self.T_map_view) > _MOST_VIEWS:
            gone = self._least_telling()
            self.history = np.delete(self.history, gone, axis=1)
            self.T_map_view = np.delete(self.T_map_view, gone, axis=0)
        self.keep(np.flatnonzero((found.misfit < _MAX_MISFIT) | (found.views < 2)))

    def replenish(self, pixels: Pixels) -> None:
        """Take in corners that were found in the newest key view."""
        self._add(pixels)

    def _least_telling(self) -> int:
        """Return the view without which the least is lost: turns show no depth, and old go."""
        steps_m = np.linalg.norm(np.diff(self.T_map_view[:-1, :3, 3], axis=0), axis=1)
        if steps_m.min() < _CROWDED * np.median(steps_m):
            return int(steps_m.argmin()) + 1
        return 0

    def _add(self, pixels: Pixels) -> None:
        count = len(pixels)
        past = np.full((count, len(self.T_map_view), 2), np.nan)
        past[:, -1] = self.rays(pixels)
        self.history = np.concatenate((self.history, past))
        self.pixels = np.concatenate((self.pixels, pixels))
        self.rho = np.append(self.rho, np.full(count, _FRESH_RHO))
        self.variance = np.append(self.variance, np.full(count, _FRESH_VARIANCE))
        self.views = np.append(self.views, np.zeros(count, np.intp))
        self.depth_m = np.append(self.depth_m, np.full(count, np.nan))
        self.sigma_rel = np.append(self.sigma_rel, np.full(count, np.nan))
        self.count_at_key = len(self.pixels)


def homogeneous(rays: Array) -> Array:
    """Return (N, 3) rays of unit depth of (N, 2) x/z and y/z."""
    return np.concatenate((rays, np.ones((len(rays), 1))), axis=1)

"""Points that outlive the tracks that measured them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.motion.inverse_depth import Array
from mono_depth.motion.tracker import Grey

_MOST = 1500
_MOST_SEEN = 100  # of which the patches are compared in one image
_MAX_AGE_S = 30.0
_RADIUS_PX = 5  # of a patch
_SHIFTS_PX = (-3, 0, 3)  # where a patch is looked for, to the sides and up and down
_ALIKE = 0.8  # correlation of a patch that is visible
_MAX_MISSES = 4  # in a row, in images that should show it
_MAX_GROWTH = 1.6  # of its distance, or of its inverse, at which a patch still looks alike
_MIN_CONTRAST = 3.0  # deviation of brightness within a patch, of 255
_DRIFT_PER_M = 0.02  # deviation of position by the way since the track was lost
_NEAR_PX = 14.0  # a track this near tells the depth itself
_CONTRADICTION = 3.0  # deviations

Patches = npt.NDArray[np.float32]  # (N, P) brightness, mean 0 and length 1


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Landmarks that are visible in an image."""

    pixels: Array  # (N, 2) column and row
    depth_m: Array  # (N,)
    sigma_rel: Array  # (N,)
    views: npt.NDArray[np.intp]  # (N,) that measured each
    age_s: Array  # (N,) since the track was lost


class LandmarkMap:
    """Keeps the points of lost tracks in a frame at rest, for some seconds."""

    def __init__(self) -> None:
        self.clear()

    def __len__(self) -> int:
        return len(self._points)

    def clear(self) -> None:
        """Forget all."""
        self._points = np.empty((0, 3))
        self._sigma_rel, self._depth_m, self._way_m = np.empty(0), np.empty(0), np.empty(0)
        self._stamp_ns, self._views = np.empty(0, np.int64), np.empty(0, np.intp)
        self._misses = np.empty(0, np.intp)
        self._patches = np.empty((0, (2 * _RADIUS_PX + 1) ** 2), np.float32)

    def add(
        self,
        grey: Grey,
        pixels: npt.NDArray[np.float32],
        points: Array,
        depth_m: Array,
        sigma_rel: Array,
        views: npt.NDArray[np.intp],
        *,
        stamp_ns: int,
        way_m: float,
    ) -> None:
        """Take over points whose tracks were lost; the oldest make place for them.

        Args:
            grey: (h, w) the last image that showed them.
            pixels: (N, 2) where.
            points: (N, 3) in the frame at rest.
            depth_m: (N,) in that image.
            sigma_rel: (N,) relative deviation of the depth.
            views: (N,) that measured each.
            stamp_ns: of the image.
            way_m: that the camera has gone so far.
        """
        patches, contrast = patches_at(grey, np.rint(pixels).astype(np.intp))
        good = contrast > _MIN_CONTRAST
        count = int(good.sum())
        self._points = np.concatenate((self._points, points[good]))[-_MOST:]
        self._sigma_rel = np.concatenate((self._sigma_rel, sigma_rel[good]))[-_MOST:]
        self._depth_m = np.concatenate((self._depth_m, depth_m[good]))[-_MOST:]
        self._views = np.concatenate((self._views, views[good]))[-_MOST:]
        self._stamp_ns = np.append(self._stamp_ns, np.full(count, stamp_ns))[-_MOST:]
        self._way_m = np.append(self._way_m, np.full(count, way_m))[-_MOST:]
        self._misses = np.append(self._misses, np.zeros(count, np.intp))[-_MOST:]
        self._patches = np.concatenate((self._patches, patches[good]))[-_MOST:]

    def seen(
        self,
        grey: Grey,
        camera: Intrinsics,
        T_map_camera: Pose,
        tracked: Array,
        tracked_depth_m: Array,
        *,
        stamp_ns: int,
        way_m: float,
    ) -> Seen:
        """Return the landmarks that the image shows, and drop those that it contradicts.

        Args:
            grey: (h, w) the image.
            camera: of the image.
            T_map_camera: its pose in the frame at rest.
            tracked: (M, 2) pixels whose depth tracks tell, NaN depth = not known.
            tracked_depth_m: (M,) that depth.
            stamp_ns: of the image.
            way_m: that the camera has gone so far.
        """
        self._keep((stamp_ns - self._stamp_ns) * 1e-9 < _MAX_AGE_S)
        inverse = np.linalg.inv(T_map_camera)
        points = self._points @ inverse[:3, :3].T + inverse[:3, 3]
        z = np.maximum(points[:, 2], 1e-6)
        pixels = np.stack(
            (camera.fx * points[:, 0] / z + camera.cx, camera.fy * points[:, 1] / z + camera.cy), 1
        )
        edge = _RADIUS_PX + max(_SHIFTS_PX) + 1
        grown = np.abs(np.log(z / np.maximum(self._depth_m, 1e-6)))
        inside = (points[:, 2] > 0.05) & (grown < np.log(_MAX_GROWTH))
        inside &= (pixels > edge).all(1) & (pixels[:, 0] < camera.width - 1 - edge)
        inside &= pixels[:, 1] < camera.height - 1 - edge
        index = np.flatnonzero(inside)
        index = index[np.argsort(-self._stamp_ns[index], kind="stable")[:_MOST_SEEN]]
        best, place = self._matched(grey, index, pixels[index])
        sigma = np.hypot(
            self._sigma_rel[index], _DRIFT_PER_M * (way_m - self._way_m[index]) / z[index]
        )
        is_seen = best > _ALIKE
        near_m = _nearest_depth(pixels[index], tracked, tracked_depth_m)
        apart = np.abs(np.log(z[index] / near_m))
        contradicted = is_seen & (apart > _CONTRADICTION * np.hypot(sigma, 0.05))
        self._misses[index] = np.where(is_seen, 0, self._misses[index] + 1)
        self._misses[index[contradicted]] = _MAX_MISSES + 1
        chosen = is_seen & ~np.isfinite(near_m)
        found = Seen(
            pixels=place[chosen],
            depth_m=z[index][chosen],
            sigma_rel=sigma[chosen],
            views=self._views[index][chosen],
            age_s=np.asarray((stamp_ns - self._stamp_ns[index][chosen]) * 1e-9, np.float64),
        )
        self._keep(self._misses <= _MAX_MISSES)
        return found

    def _matched(
        self, grey: Grey, index: npt.NDArray[np.intp], pixels: Array
    ) -> tuple[Array, Array]:
        """Return (N,) the best correlation of each patch and (N, 2) where it is."""
        if not len(index):
            return np.empty(0), np.empty((0, 2))
        shifts = np.array([(x, y) for y in _SHIFTS_PX for x in _SHIFTS_PX])
        places = np.rint(pixels).astype(np.intp)[:, None] + shifts
        patches, _ = patches_at(grey, places.reshape(-1, 2))
        alike = np.einsum(
            "nsp,np->ns", patches.reshape(len(index), len(shifts), -1), self._patches[index]
        )
        best = alike.argmax(1)
        rows = np.arange(len(index))
        return alike[rows, best].astype(np.float64), places[rows, best].astype(np.float64)

    def _keep(self, good: npt.NDArray[np.bool_]) -> None:
        if good.all():
            return
        self._points, self._sigma_rel = self._points[good], self._sigma_rel[good]
        self._depth_m, self._way_m = self._depth_m[good], self._way_m[good]
        self._stamp_ns, self._views = self._stamp_ns[good], self._views[good]
        self._misses, self._patches = self._misses[good], self._patches[good]


def patches_at(grey: Grey, places: npt.NDArray[np.intp]) -> tuple[Patches, Array]:
    """Return (N, P) normalised patches around (N, 2) columns and rows, and their contrast."""
    by = np.arange(-_RADIUS_PX, _RADIUS_PX + 1)
    rows = (places[:, 1, None] + by).clip(0, grey.shape[0] - 1)
    columns = (places[:, 0, None] + by).clip(0, grey.shape[1] - 1)
    patches = grey[rows[:, :, None], columns[:, None, :]].reshape(len(places), -1)
    centred = patches.astype(np.float32) - patches.mean(1, keepdims=True, dtype=np.float32)
    length = np.sqrt(np.square(centred).sum(1))
    contrast = length / np.float32(2 * _RADIUS_PX + 1)
    return centred / np.maximum(length, 1e-6)[:, None], contrast.astype(np.float64)


def _nearest_depth(pixels: Array, tracked: Array, tracked_depth_m: Array) -> Array:
    """Return (N,) the depth of the nearest track, NaN where none is near."""
    known = np.isfinite(tracked_depth_m)
    if not known.any() or not len(pixels):
        return np.full(len(pixels), np.nan)
    apart = np.square(pixels[:, None] - tracked[known]).sum(-1)
    nearest = apart.argmin(1)
    is_near = apart[np.arange(len(pixels)), nearest] < _NEAR_PX**2
    return np.where(is_near, tracked_depth_m[known][nearest], np.nan)

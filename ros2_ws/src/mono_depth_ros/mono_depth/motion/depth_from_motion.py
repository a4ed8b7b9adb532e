"""Metric points of a moving camera whose way odometry tells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, rotation_vector
from mono_depth.data import Intrinsics, RgbImage
from mono_depth.motion.inverse_depth import Array, triangulated
from mono_depth.motion.present_view import OdometryNoise, PresentView, refined
from mono_depth.motion.tracker import Grey, follow, grey_of, new_corners, working_camera

_TRACK_PX = 0.35  # deviation of a tracked corner, in pixels of the working image
_MOST_VIEWS = 30
_FRESH_RHO, _FRESH_VARIANCE = 0.5, 25.0  # of a corner that was seen once
_KEY_PARALLAX_PX = 5.0
_KEY_TURN_RAD = 0.12
_KEY_LOST = 0.4  # of the corners
_MIN_TRACKS = 20
_MIN_FITS = 0.5
_MAX_SURPRISE = 8.0
_WRONG = 25.0  # squared deviations: the track is not of a resting point
_MAX_SIGMA = 0.10
_MIN_VIEWS = 2
_MAX_DEPTH_M = 60.0
_SCALE_SIGMA = 0.02
_MAX_STEP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class MotionPoints:
    """Points of known depth in one image."""

    pixels: npt.NDArray[np.float64]  # (N, 2) column and row of the image
    depth_m: npt.NDArray[np.float64]  # (N,) along z
    sigma_rel: npt.NDArray[np.float64]  # (N,) relative deviation of the depth
    views: npt.NDArray[np.intp]  # (N,) that each was seen in
    followed: int = 0  # corners
    refused: float = 0.0  # share of the followed ones that do not move as resting things do
    parallax_px: float = 0.0  # median, since they were first seen
    reason: str = ""  # why there are none, "" = there are some

    def __len__(self) -> int:
        return len(self.depth_m)

    @classmethod
    def none(cls, reason: str, *, followed: int = 0) -> MotionPoints:
        """Return no points."""
        return cls(
            pixels=np.empty((0, 2)),
            depth_m=np.empty(0),
            sigma_rel=np.empty(0),
            views=np.empty(0, np.intp),
            followed=followed,
            reason=reason,
        )


class DepthFromMotion:
    """Follows corners of one camera and tells how deep they are. Not thread-safe."""

    def __init__(self) -> None:
        self._noise = OdometryNoise()
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._grey: Grey | None = None
        self._camera: Intrinsics | None = None

    def update(
        self, rgb: RgbImage, intrinsics: Intrinsics, stamp_ns: int, T_odom_camera: Pose | None
    ) -> MotionPoints:
        """Take in one image and return the points that are known in it."""
        if T_odom_camera is None or not np.isfinite(T_odom_camera).all():
            self.reset()
            return MotionPoints.none("no odometry at the stamp of the image")
        camera = working_camera(intrinsics)
        grey = grey_of(rgb, camera)
        if self._grey is None or camera != self._camera:
            self._begin(grey, camera, T_odom_camera)
            return MotionPoints.none("the first view")
        self._follow(grey, T_odom_camera)
        self._T_odom_last = T_odom_camera
        if len(self._pixels) < _MIN_TRACKS:
            self._begin(grey, camera, T_odom_camera)
            return MotionPoints.none("too few corners to follow")
        T_now_key = np.linalg.inv(T_odom_camera) @ self._T_odom_key
        rays = self._rays(self._pixels)
        view = refined(
            self._history[:, -1],
            self._rho,
            self._variance,
            rays,
            T_now_key,
            deviation=_TRACK_PX / camera.fx,
            noise=self._noise,
        )
        self.view = view
        if view.fits < _MIN_FITS or view.surprise > _MAX_SURPRISE:
            followed = len(self._pixels)
            self._begin(grey, camera, T_odom_camera)
            return MotionPoints.none("the odometry does not fit the image", followed=followed)
        points = self._points(view, rays, intrinsics)
        self._drop(view.misfit < _WRONG)
        if self._is_key(view.T_now_key):
            self._add_key(grey, view, T_odom_camera)
        return points

    def _begin(self, grey: Grey, camera: Intrinsics, T_odom_camera: Pose) -> None:
        self._grey, self._camera = grey, camera
        self._pixels = new_corners(grey, np.empty((0, 2), np.float32))
        self._T_odom_key = self._T_odom_last = T_odom_camera
        self._T_map_view = T_odom_camera[None].copy()
        count = len(self._pixels)
        self._history = self._rays(self._pixels)[:, None]
        self._rho = np.full(count, _FRESH_RHO)
        self._variance = np.full(count, _FRESH_VARIANCE)
        self._views = np.zeros(count, np.intp)
        self._at_key = count

    def _rays(self, pixels: npt.NDArray[np.float32]) -> Array:
        K = self._camera
        assert K is not None
        return np.stack(((pixels[:, 0] - K.cx) / K.fx, (pixels[:, 1] - K.cy) / K.fy), 1).astype(
            np.float64
        )

    def _follow(self, grey: Grey, T_odom_camera: Pose) -> None:
        K = self._camera
        assert K is not None and self._grey is not None
        R = (np.linalg.inv(T_odom_camera) @ self._T_odom_last)[:3, :3]
        ray = np.concatenate((self._rays(self._pixels), np.ones((len(self._pixels), 1))), 1) @ R.T
        ray = ray[:, :2] / np.maximum(ray[:, 2:], 0.1)
        guess = np.stack((ray[:, 0] * K.fx + K.cx, ray[:, 1] * K.fy + K.cy), 1).astype(np.float32)
        found = follow(self._grey, grey, self._pixels, guess)
        self._grey = grey
        self._keep(found.kept)
        self._pixels = found.pixels

    def _keep(self, kept: npt.NDArray[np.intp]) -> None:
        self._pixels = self._pixels[kept]
        self._history, self._rho = self._history[kept], self._rho[kept]
        self._variance, self._views = self._variance[kept], self._views[kept]

    def _drop(self, good: npt.NDArray[np.bool_]) -> None:
        self._keep(np.flatnonzero(good))

    def _points(self, view: PresentView, rays: Array, intrinsics: Intrinsics) -> MotionPoints:
        K = self._camera
        assert K is not None
        T = view.T_now_key
        key = np.concatenate((self._history[:, -1], np.ones((len(rays), 1))), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (key @ T[2, :3]) / view.rho + T[2, 3]
            sigma = np.sqrt(view.variance) / np.abs(view.rho)
        sigma = np.hypot(sigma, _SCALE_SIGMA)
        good = (view.rho > 0) & (depth > 0.05) & (depth < _MAX_DEPTH_M) & (sigma < _MAX_SIGMA)
        good &= (self._views >= _MIN_VIEWS) & (view.misfit < 9.0)
        grow = intrinsics.width / K.width
        return MotionPoints(
            pixels=(self._pixels[good].astype(np.float64) + 0.5) * grow - 0.5,
            depth_m=depth[good],
            sigma_rel=sigma[good],
            views=self._views[good],
            followed=len(rays),
            refused=float(np.mean(view.misfit > 9.0)),
            reason="" if good.any() else "too little parallax",
        )

    def _is_key(self, T_now_key: Pose) -> bool:
        K = self._camera
        assert K is not None
        key = np.concatenate((self._history[:, -1], np.ones((len(self._pixels), 1))), 1)
        still = key @ T_now_key[:3, :3].T
        still_px = still[:, :2] / still[:, 2:] - self._rays(self._pixels)
        parallax_px = K.fx * float(np.median(np.hypot(*still_px.T))) if len(still_px) else 0.0
        turn = float(np.linalg.norm(rotation_vector(T_now_key[:3, :3])))
        is_lost = len(self._pixels) < (1.0 - _KEY_LOST) * self._at_key
        return parallax_px > _KEY_PARALLAX_PX or turn > _KEY_TURN_RAD or is_lost

    def _add_key(self, grey: Grey, view: PresentView, T_odom_camera: Pose) -> None:
        K = self._camera
        assert K is not None
        T_map_now = self._T_map_view[-1] @ np.linalg.inv(view.T_now_key)
        rays = self._rays(self._pixels)
        found = triangulated(
            rays,
            self._history,
            np.linalg.inv(self._T_map_view) @ T_map_now,
            _TRACK_PX / K.fx,
        )
        by_pose = np.einsum("na,ab,nb->n", found.by_pose, view.covariance, found.by_pose)
        self._rho = np.where(found.variance < _FRESH_VARIANCE, found.rho, _FRESH_RHO)
        self._variance = np.minimum(found.variance + by_pose, _FRESH_VARIANCE)
        self._views = found.views
        self._history = np.concatenate((self._history, rays[:, None]), 1)[:, -_MOST_VIEWS:]
        self._T_map_view = np.concatenate((self._T_map_view, T_map_now[None]))[-_MOST_VIEWS:]
        self._drop(~((found.misfit > 3.0) & (found.views >= 2)))
        fresh = new_corners(grey, self._pixels)
        count = len(fresh)
        past = np.full((count, self._history.shape[1], 2), np.nan)
        past[:, -1] = self._rays(fresh)
        self._history = np.concatenate((self._history, past))
        self._pixels = np.concatenate((self._pixels, fresh))
        self._rho = np.concatenate((self._rho, np.full(count, _FRESH_RHO)))
        self._variance = np.concatenate((self._variance, np.full(count, _FRESH_VARIANCE)))
        self._views = np.concatenate((self._views, np.zeros(count, np.intp)))
        self._at_key = len(self._pixels)
        self._T_odom_key = T_odom_camera

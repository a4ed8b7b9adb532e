"""Scale from the way the camera went: points are triangulated between two views."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import Frame, Intrinsics, Prediction
from mono_depth.scale.fit import Points, Rejection
from mono_depth.scale.grid import points_at
from mono_depth.scale.scale_shift import Floats

_LONG_SIDE_PX = 320
_CORNERS = 150
_MIN_TRACKS = 30
_TRACK_PX = 0.5  # deviation of a tracked corner
_MAX_EPIPOLAR_PX = 2.0  # farther from its line a track does not show a resting point
_MIN_EPIPOLAR_SHARE = 0.6  # of the tracks fit the odometry, or the odometry is wrong
_GOOD_SIGMA = 0.1  # of the inverse depth of a point
_MAX_VIEW_S = 3.0
_MAX_SPEED_MPS = 30.0  # a faster step is a jump of the odometry

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class _View:
    """Where corners were first seen."""

    T_odom_camera: Floats
    stamp_ns: int
    pixels: npt.NDArray[np.float32]  # (N, 2) column, row


class BaselineTriangulation:
    """Follows corners from a key view until the camera has moved far enough to measure them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the key view."""
        self._key: _View | None = None
        self._grey: Grey | None = None
        self._now_px = np.empty((0, 2), np.float32)
        self._last: tuple[int, Floats] | None = None
        self._camera: Intrinsics | None = None

    def collect(
        self, frame: Frame, intrinsics: Intrinsics, prediction: Prediction
    ) -> Points | Rejection:
        """Return points of known depth, or why this frame gives none."""
        pose = frame.T_odom_camera
        if pose is None or not np.isfinite(pose).all():
            self.reset()
            return Rejection(reason="no odometry at the stamp of the image", is_doubt=False)
        grey, camera = _small_grey(frame, intrinsics)
        jumped = self._jumped(frame.stamp_ns, pose) or camera != self._camera
        self._last, self._camera = (frame.stamp_ns, pose), camera
        if jumped or self._key is None or self._grey is None:
            self._begin(grey, frame.stamp_ns, pose)
            return Rejection(reason="a new key view", is_doubt=False)
        self._follow(grey)
        points = self._triangulated(frame, camera, prediction)
        is_old = (frame.stamp_ns - self._key.stamp_ns) * 1e-9 > _MAX_VIEW_S
        is_lost = len(self._now_px) < 2 * _MIN_TRACKS
        if isinstance(points, Points) or points.is_doubt or is_old or is_lost:
            self._begin(grey, frame.stamp_ns, pose)
        return points

    def _jumped(self, stamp_ns: int, pose: Floats) -> bool:
        if self._last is None:
            return False
        step_s = (stamp_ns - self._last[0]) * 1e-9
        step_m = float(np.linalg.norm(pose[:3, 3] - self._last[1][:3, 3]))
        return step_s <= 0.0 or step_s > _MAX_VIEW_S or step_m > _MAX_SPEED_MPS * step_s

    def _begin(self, grey: Grey, stamp_ns: int, pose: Floats) -> None:
        corners = cv2.goodFeaturesToTrack(grey, _CORNERS, 0.01, 8)
        found = corners is not None
        pixels = np.reshape(corners, (-1, 2)) if found else np.empty((0, 2))
        self._now_px = pixels.astype(np.float32)
        self._key = _View(T_odom_camera=pose.copy(), stamp_ns=stamp_ns, pixels=self._now_px)
        self._grey = grey

    def _follow(self, grey: Grey) -> None:
        """Track the corners into this frame; those that get lost are dropped."""
        key, last = self._key, self._grey
        self._grey = grey
        if key is None or last is None or not len(self._now_px):
            return
        now, found, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
            last, grey, self._now_px, None, winSize=(15, 15), maxLevel=2
        )
        height, width = grey.shape
        kept = found.ravel() == 1
        kept &= (now > 2.0).all(axis=1) & (now[:, 0] < width - 3) & (now[:, 1] < height - 3)
        self._now_px = now[kept]
        self._key = _View(
            T_odom_camera=key.T_odom_camera, stamp_ns=key.stamp_ns, pixels=key.pixels[kept]
        )

    def _triangulated(
        self, frame: Frame, camera: Intrinsics, prediction: Prediction
    ) -> Points | Rejection:
        """Solve each track for its inverse depth; linear, as both poses are known.

        Source: Hartley and Zisserman, Multiple View Geometry, 2nd ed., section 12.2.
        """
        key, pose = self._key, frame.T_odom_camera
        if key is None or pose is None or len(self._now_px) < _MIN_TRACKS:
            return Rejection(reason="too few corners to follow", is_doubt=False)
        T_key_now = np.linalg.inv(key.T_odom_camera) @ pose
        now, then = _rays(self._now_px, camera), _rays(key.pixels, camera)
        turned, moved = now @ T_key_now[:3, :3].T, T_key_now[:3, 3]
        # then = (turned + rho moved) up to its length: two equations, rho times lever = offset
        lever = moved[:2] - then[:, :2] * moved[2]
        offset = then[:, :2] * turned[:, 2:] - turned[:, :2]
        strength = np.einsum("ni,ni->n", lever, lever)
        step_m = float(np.linalg.norm(moved))
        too_short = Rejection(
            reason=f"{step_m:.3f} m of motion show no depth: it needs a step sideways",
            is_doubt=False,
        )
        if not float(np.median(strength)) > 0.0:
            return too_short
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = np.einsum("ni,ni->n", lever, offset) / strength
            astray_px = np.linalg.norm(offset - rho[:, None] * lever, axis=1) * camera.fx
            deviation = _TRACK_PX / camera.fx / np.sqrt(strength)  # of rho
        # rho itself must not choose the points: those that noise has put too near would win
        middle = float(np.median(rho[strength >= np.median(strength)]))
        sigma = deviation / max(middle, 1e-6)
        sharp = sigma < _GOOD_SIGMA
        if int(sharp.sum()) < _MIN_TRACKS:
            return too_short
        fits = sharp & (astray_px < _MAX_EPIPOLAR_PX)
        if fits.sum() < _MIN_EPIPOLAR_SHARE * sharp.sum():
            return Rejection(reason="the odometry does not fit the image")
        grow = frame.rgb.shape[1] / camera.width
        pixels = (self._now_px[fits].astype(np.float64) + 0.5) * grow - 0.5
        depth_m = 1.0 / np.maximum(rho[fits], 1e-9)
        return points_at(
            pixels[:, 0], pixels[:, 1], depth_m, sigma[fits], frame=frame, of=prediction
        )


def _rays(pixels: npt.NDArray[np.float32], camera: Intrinsics) -> Floats:
    x = (pixels[:, 0] - camera.cx) / camera.fx
    y = (pixels[:, 1] - camera.cy) / camera.fy
    return np.stack((x, y, np.ones_like(x)), axis=1).astype(np.float64)


def _small_grey(frame: Frame, intrinsics: Intrinsics) -> tuple[Grey, Intrinsics]:
    height, width = frame.rgb.shape[:2]
    shrink = min(1.0, _LONG_SIDE_PX / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = frame.rgb
    if size != (width, height):
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8), intrinsics.scaled_to(
        *size
    )

"""How the camera moved between two frames, from tracked corners and the depth of the last."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, rotation
from mono_depth.data import FollowedCorners, Intrinsics
from mono_depth.motion.lucas_kanade import found_in

_CELLS = 192  # at most; the best corner of each is tracked
_MIN_CELL_PX = 16
_MIN_CORNER = 1e-5  # smallest eigenvalue of the gradient matrix that counts as a corner
_WINDOW_PX = 11
_PYRAMID_LEVELS = 3
_TRACK_ITERATIONS = 10
_LOOP_PX = 0.5  # a track that does not lead back to its start is wrong
_ITERATIONS = 5
_MIN_TRACKS = 40
_MAX_STEP_FACTOR = 10.0
_DEPTH_SPREAD = 1.5  # of the unit from track to track, as a share: so large that all count alike
_TURN_SIGMA_RAD = 0.002  # of the turn that odometry tells, from frame to frame
_TURN_PRECISION = np.diag((1e-9, *(3 * (_TURN_SIGMA_RAD**-2,))))
_MIN_INLIERS = 0.5  # a smaller share of tracks that fit one rigid motion is no ego-motion
_INLIER_PX = 2.0
_MAX_LOG_DEPTH = 14.0  # 1000 km
_MIN_SPREAD_PX = 0.2  # of the residuals: what dense flow can resolve

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Corners of this frame, and where the last one saw them."""

    points: Array  # (N, 3) in the last camera, in the unit of its depth
    pixels: Array  # (2, N) column and row in this frame


@dataclass(frozen=True, kw_only=True)
class EgoMotion:
    """A rigid motion of the camera, in the unit of the depth it was found with."""

    T_last_now: Pose
    inliers: float  # share of the tracks that fit, 0..1
    misfit_px: float  # median distance of the tracks from where it puts them


@dataclass(frozen=True, kw_only=True)
class StepLength:
    """How much longer a step is in the unit of depth than in that of odometry."""

    factor: float
    sigma: float  # deviation of the factor
    R_last_now: Array  # (3, 3) the turn of odometry, mended by the tracks
    misfit_px: float  # median distance of the tracks from where the step puts them

    @property
    def sigma_rel(self) -> float:
        """Relative deviation."""
        return self.sigma / abs(self.factor) if self.factor else math.inf


class EgoMotionEstimator:
    """Tracks corners and fits a rigid motion by Gauss-Newton with robust weights.

    The depth of the last frame turns its ends of the tracks into points; the motion is the one
    that puts them where the corners are now. Moving objects and wrong tracks do not fit and lose
    their weight. Unlike flow alone this knows how depth changes when the camera moves forward.
    Corners, because dense flow smooths parallax away and so finds motion too small by a tenth.

    Source: Bouguet, Pyramidal Implementation of the Lucas Kanade Feature Tracker, 2000; Hartley
    and Zisserman, Multiple View Geometry, 2nd ed., appendix 6 (iteration).
    """

    def __init__(self, intrinsics: Intrinsics) -> None:
        self._K = intrinsics

    def estimate(
        self,
        grey: npt.NDArray[np.uint8],
        last_grey: npt.NDArray[np.uint8],
        last_log_depth: npt.NDArray[np.float32],
    ) -> EgoMotion | None:
        """Return the motion from the last frame to this one, None where none fits.

        Args:
            grey: (h, w) this frame.
            last_grey: (h, w) the last one.
            last_log_depth: (h, w) of the last frame; above `_MAX_LOG_DEPTH` it is unknown.
        """
        return self.motion_of(self.tracks(grey, last_grey, last_log_depth))

    def motion_of(self, tracks: Tracks) -> EgoMotion | None:
        """Return the motion that explains the most of some tracks, None where none fits."""
        points, pixels = tracks.points, tracks.pixels
        if len(points) < _MIN_TRACKS:
            return None
        R, t = np.eye(3), np.zeros(3)
        inliers = misfit_px = 0.0
        for _ in range(_ITERATIONS):
            residual_px, jacobian = self._project(points @ R.T + t, pixels)
            length_px = np.hypot(residual_px[0], residual_px[1])
            spread_px = max(1.26 * _median(length_px), _MIN_SPREAD_PX)
            weight = 1.0 / (1.0 + (length_px / (2.0 * spread_px)) ** 2) ** 2  # Geman-McClure
            step = _solve(jacobian, residual_px, weight)
            if step is None:
                return None
            turn = rotation(step[3:])
            R, t = turn @ R, turn @ t + step[:3]
            inliers = float(np.mean(length_px < _INLIER_PX))
            misfit_px = _median(length_px)
        if inliers < _MIN_INLIERS:
            return None
        T_last_now = np.eye(4)
        T_last_now[:3, :3], T_last_now[:3, 3] = R.T, -R.T @ t
        return EgoMotion(T_last_now=T_last_now, inliers=inliers, misfit_px=misfit_px)

    def step_length(
        self,
        T_last_now: Pose,
        grey: npt.NDArray[np.uint8],
        last_grey: npt.NDArray[np.uint8],
        last_log_depth: npt.NDArray[np.float32],
    ) -> StepLength | None:
        """Return by what factor the step of a known motion is longer in the unit of the depth.

        Odometry tells turn and direction; but where depth is too far by a third, the step in its
        unit is longer by a third. With the step of odometry the approach of everything would be
        mistaken for a change of scale, and the error of the scale would feed on itself.

        The turn of odometry is doubted a little: a tenth of a degree looks like a step. Tracks
        count alike, whether near or far, as long as they show the step at all: the near ones
        show it best, but how wrong the network is differs with depth.

        Args:
            T_last_now: turns points of this camera into the last one's, by odometry.
            grey: (h, w) this frame.
            last_grey: (h, w) the last one.
            last_log_depth: (h, w) of the last frame; above `_MAX_LOG_DEPTH` it is unknown.

        Returns:
            The factor, None where there are too few tracks.
        """
        tracks = self.tracks(grey, last_grey, last_log_depth)
        low, high = 1.0 / _MAX_STEP_FACTOR, _MAX_STEP_FACTOR
        return self.step_length_of(T_last_now, tracks, low=low, high=high)

    def step_length_of(
        self, T_last_now: Pose, tracks: Tracks, *, low: float, high: float
    ) -> StepLength | None:
        """Return what `step_length` does, of tracks that are there, within limits of the factor."""
        points, pixels = tracks.points, tracks.pixels
        if len(points) < _MIN_TRACKS:
            return None
        T_now_last = np.linalg.inv(T_last_now)
        R, shift = T_now_last[:3, :3], T_now_last[:3, 3]
        factor, turn, variance = min(max(1.0, low), high), np.zeros(3), np.inf
        for _ in range(_ITERATIONS):
            turned = points @ (rotation(turn) @ R).T
            residual_px, jacobian = self._project(turned + factor * shift, pixels)
            slope_px = jacobian[..., :3] @ shift
            length_px2 = np.square(residual_px).sum(0)
            spread_px2 = max(1.26 * _median(np.sqrt(length_px2)), _MIN_SPREAD_PX) ** 2
            own_px2 = spread_px2 + np.square(_DEPTH_SPREAD * factor * slope_px).sum(0)
            weight = 1.0 / (1.0 + length_px2 / (4.0 * own_px2)) ** 2 / own_px2
            jacobian = np.concatenate((slope_px[..., None], jacobian[..., 3:]), axis=-1)
            rows = jacobian.reshape(-1, 4)
            weighted = (jacobian * weight[None, :, None]).reshape(-1, 4).T
            normal = weighted @ rows + _TURN_PRECISION
            slope = weighted @ residual_px.ravel() + _TURN_PRECISION @ (0.0, *turn)
            inverse = np.linalg.inv(normal)
            step = inverse @ slope
            factor = min(max(factor - float(step[0]), low), high)
            turn, variance = turn - step[1:], float(inverse[0, 0])
        R_now_last = rotation(turn) @ R
        residual_px, _ = self._project(points @ R_now_last.T + factor * shift, pixels)
        return StepLength(
            factor=factor,
            sigma=math.sqrt(variance),
            R_last_now=R_now_last.T,
            misfit_px=_median(np.hypot(residual_px[0], residual_px[1])),
        )

    def flow_px(self, tracks: Tracks) -> float:
        """Return the median way of the tracks from the last image to this one."""
        if not len(tracks.points):
            return 0.0
        moved_px, _ = self._project(tracks.points, tracks.pixels)
        return _median(np.hypot(moved_px[0], moved_px[1]))

    def tracks(
        self,
        grey: npt.NDArray[np.uint8],
        last_grey: npt.NDArray[np.uint8],
        last_log_depth: npt.NDArray[np.float32],
    ) -> Tracks:
        """Follow corners of this frame back into the last one.

        Args:
            grey: (h, w) this frame.
            last_grey: (h, w) the last one.
            last_log_depth: (h, w) of the last frame; above `_MAX_LOG_DEPTH` it is unknown.
        """
        corners = _corners(grey)
        if len(corners) < _MIN_TRACKS:
            return Tracks(points=np.empty((0, 3)), pixels=np.empty((2, 0)))
        how = {"window_px": _WINDOW_PX, "iterations": _TRACK_ITERATIONS}
        found, is_found = found_in(last_grey, grey, corners, corners, levels=_PYRAMID_LEVELS, **how)
        back, is_back = found_in(grey, last_grey, found, corners, levels=0, **how)
        loop_px = np.hypot(*(back - corners).T)
        x, y = found.astype(np.float64).T
        good = is_found & is_back & (loop_px < _LOOP_PX)
        return self._lifted(x[good], y[good], corners[good].astype(np.float64), last_log_depth)

    def tracks_of(
        self,
        corners: FollowedCorners,
        intrinsics: Intrinsics,
        last_log_depth: npt.NDArray[np.float32],
    ) -> Tracks:
        """Return what `tracks` does, of corners that something else has followed.

        Args:
            corners: in pixels of the image.
            intrinsics: of the image.
            last_log_depth: (h, w) of the last frame; above `_MAX_LOG_DEPTH` it is unknown.
        """
        scale = np.array((self._K.width / intrinsics.width, self._K.height / intrinsics.height))
        before, now = ((places + 0.5) * scale - 0.5 for places in (corners.before, corners.now))
        return self._lifted(before[:, 0], before[:, 1], now, last_log_depth)

    def _lifted(
        self, x: Array, y: Array, pixels: Array, last_log_depth: npt.NDArray[np.float32]
    ) -> Tracks:
        """Return tracks from (N,) columns and rows of the last image to (N, 2) pixels of this."""
        K = self._K
        good = (x > 1) & (x < K.width - 2) & (y > 1) & (y < K.height - 2)
        x, y, pixels = x[good], y[good], pixels[good]
        log_depth = last_log_depth[np.rint(y).astype(int), np.rint(x).astype(int)]
        known = log_depth < _MAX_LOG_DEPTH
        depth, x, y = np.exp(log_depth[known], dtype=np.float64), x[known], y[known]
        points = np.stack(((x - K.cx) / K.fx * depth, (y - K.cy) / K.fy * depth, depth), axis=1)
        return Tracks(points=points, pixels=pixels[known].T)

    def _project(self, points: Array, pixels: Array) -> tuple[Array, Array]:
        """Return (2, N) residuals and their (2, N, 6) Jacobian by translation and rotation."""
        K, inverse_z = self._K, 1.0 / np.maximum(points[:, 2], 1e-3)
        x, y = points[:, 0] * inverse_z, points[:, 1] * inverse_z
        residual = np.empty((2, len(points)))
        np.subtract(K.fx * x + K.cx, pixels[0], out=residual[0])
        np.subtract(K.fy * y + K.cy, pixels[1], out=residual[1])
        jacobian = np.zeros((2, len(points), 6))
        by_column, by_row = jacobian
        by_column[:, 0], by_row[:, 1] = K.fx * inverse_z, K.fy * inverse_z
        by_column[:, 2], by_row[:, 2] = -x * by_column[:, 0], -y * by_row[:, 1]
        across = x * y
        by_column[:, 3], by_row[:, 3] = -K.fx * across, -K.fy * (1.0 + y * y)
        by_column[:, 4], by_row[:, 4] = K.fx * (1.0 + x * x), K.fy * across
        by_column[:, 5], by_row[:, 5] = -K.fx * y, K.fy * x
        return residual, jacobian


def _median(values: Array) -> float:
    """Return the median of a few values; the checks of NumPy's own take longer than the work."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    low, high = np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1]
    return 0.5 * float(low + high)


def _corners(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the (N, 2) columns and rows of the best corner of each cell that has one."""
    cell = max(_MIN_CELL_PX, math.ceil(math.sqrt(grey.size / _CELLS)))
    rows, columns = (side // cell for side in grey.shape)
    if not rows or not columns:
        return np.empty((0, 2), np.float32)
    strength = np.asarray(cv2.cornerMinEigenVal(grey[: rows * cell, : columns * cell], 5))
    blocks = strength.reshape(rows, cell, columns, cell)
    cells = blocks.swapaxes(1, 2).reshape(rows, columns, cell**2)
    best = cells.argmax(-1)
    cell_row, cell_column = np.nonzero(cells.max(-1) > _MIN_CORNER)
    row, column = np.divmod(best[cell_row, cell_column], cell)
    corners = (cell_column * cell + column, cell_row * cell + row)
    return np.stack(corners, axis=1).astype(np.float32)


def _solve(jacobian: Array, residual: Array, weight: Array) -> Array | None:
    rows = jacobian.reshape(-1, 6)
    weighted = (jacobian * weight[None, :, None]).reshape(-1, 6)
    normal = weighted.T @ rows
    try:
        step = np.linalg.solve(normal, -weighted.T @ residual.ravel())
    except np.linalg.LinAlgError:
        return None
    return np.asarray(step) if np.isfinite(step).all() else None

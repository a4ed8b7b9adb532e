"""How the camera moved between two frames, from optical flow and the depth of the last frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics
from mono_depth.temporal.poses import Pose, rotation

_GRID_PX = 8
_ITERATIONS = 5
_MIN_TRACKS = 60
_MIN_INLIERS = 0.5  # a smaller share of tracks that fit one rigid motion is no ego-motion
_INLIER_PX = 2.0
_MIN_SPREAD_PX = 0.2  # of the residuals: what dense flow can resolve

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EgoMotion:
    """A rigid motion of the camera, in the unit of the depth it was found with."""

    T_last_now: Pose
    inliers: float  # share of the tracks that fit, 0..1


class EgoMotionEstimator:
    """Fits a rigid motion to dense flow by Gauss-Newton with robust weights.

    The depth of the last frame turns its tracks into points; the motion is the one that puts
    them where the flow saw them. Moving objects and wrong flow do not fit and lose their
    weight. Unlike flow alone this knows how depth changes when the camera moves forward.

    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016 (flow);
    Hartley and Zisserman, Multiple View Geometry, 2nd ed., appendix 6 (iteration).
    """

    def __init__(self, intrinsics: Intrinsics) -> None:
        self._K = intrinsics
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        half = _GRID_PX // 2
        rows, columns = np.mgrid[
            half : intrinsics.height : _GRID_PX, half : intrinsics.width : _GRID_PX
        ]
        self._rows, self._columns = rows.ravel(), columns.ravel()

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
            last_log_depth: (h, w) of the last frame, NaN = unknown.
        """
        points, pixels = self._tracks(grey, last_grey, last_log_depth)
        if len(points) < _MIN_TRACKS:
            return None
        R, t = np.eye(3), np.zeros(3)
        inliers = 0.0
        for _ in range(_ITERATIONS):
            residual_px, jacobian = self._project(points @ R.T + t, pixels)
            length_px = np.hypot(residual_px[0], residual_px[1])
            spread_px = max(1.26 * float(np.median(length_px)), _MIN_SPREAD_PX)
            weight = 1.0 / (1.0 + (length_px / (2.0 * spread_px)) ** 2) ** 2  # Geman-McClure
            step = _solve(jacobian, residual_px, weight)
            if step is None:
                return None
            turn = rotation(step[3:])
            R, t = turn @ R, turn @ t + step[:3]
            inliers = float(np.mean(length_px < _INLIER_PX))
        if inliers < _MIN_INLIERS:
            return None
        T_last_now = np.eye(4)
        T_last_now[:3, :3], T_last_now[:3, 3] = R.T, -R.T @ t
        return EgoMotion(T_last_now=T_last_now, inliers=inliers)

    def _tracks(
        self,
        grey: npt.NDArray[np.uint8],
        last_grey: npt.NDArray[np.uint8],
        last_log_depth: npt.NDArray[np.float32],
    ) -> tuple[Array, Array]:
        """Return (N, 3) points of the last camera and the (2, N) pixels that see them now."""
        K, rows, columns = self._K, self._rows, self._columns
        backward = self._flow_between(grey, last_grey)[rows, columns]
        x, y = columns + backward[:, 0], rows + backward[:, 1]
        inside = (x > 1) & (x < K.width - 2) & (y > 1) & (y < K.height - 2)
        ix = np.clip(np.rint(x), 0, K.width - 1).astype(np.intp)
        iy = np.clip(np.rint(y), 0, K.height - 1).astype(np.intp)
        forward = self._flow_between(last_grey, grey)[iy, ix]
        # Source: Sundaram, Brox, Keutzer, ECCV 2010, equation 5 (forward-backward test).
        loop = ((backward + forward) ** 2).sum(1)
        length = (backward**2).sum(1) + (forward**2).sum(1)
        depth = np.exp(last_log_depth[iy, ix].astype(np.float64))
        good = inside & (loop < 0.01 * length + 0.5) & np.isfinite(depth)
        points = np.stack(((x - K.cx) / K.fx * depth, (y - K.cy) / K.fy * depth, depth), axis=1)
        return points[good], np.stack((columns, rows)).astype(np.float64)[:, good]

    def _flow_between(self, first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Array:
        """Return the (h, w, 2) flow in pixels from `first` to `second`."""
        flow = self._flow.calc(first, second, None)  # type: ignore[call-overload]
        return np.asarray(flow, np.float64)

    def _project(self, points: Array, pixels: Array) -> tuple[Array, Array]:
        """Return (2, N) residuals and their (2, N, 6) Jacobian by translation and rotation."""
        K, inverse_z = self._K, 1.0 / np.maximum(points[:, 2], 1e-3)
        x, y = points[:, 0] * inverse_z, points[:, 1] * inverse_z
        residual = np.stack((K.fx * x + K.cx, K.fy * y + K.cy)) - pixels
        zero = np.zeros_like(x)
        by_column = (inverse_z, zero, -x * inverse_z, -x * y, 1.0 + x * x, -y)
        by_row = (zero, inverse_z, -y * inverse_z, -1.0 - y * y, x * y, x)
        jacobian = np.stack((K.fx * np.stack(by_column, 1), K.fy * np.stack(by_row, 1)))
        return residual, jacobian


def _solve(jacobian: Array, residual: Array, weight: Array) -> Array | None:
    weighted = jacobian * weight[None, :, None]
    normal = np.einsum("cni,cnj->ij", weighted, jacobian)
    try:
        step = np.linalg.solve(normal, -np.einsum("cni,cn->i", weighted, residual))
    except np.linalg.LinAlgError:
        return None
    return np.asarray(step) if np.isfinite(step).all() else None

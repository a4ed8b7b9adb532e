"""Pose of the present view: what odometry says, mended by the tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, rotation

Array = npt.NDArray[np.float64]

_ITERATIONS = 5
_LEAST_Z = 1e-2
_KERNEL = 9.0  # squared deviations at which a track has lost three quarters of its weight
_FITS = 9.0  # squared deviations within which a track fits


@dataclass(frozen=True, kw_only=True)
class OdometryNoise:
    """How wrong a step of odometry may be."""

    turn_rad: float = 0.005
    turn_share: float = 0.05  # of the turn
    across_share: float = 0.05  # of the step, in its direction
    across_m: float = 0.0005
    along_share: float = 0.001  # the length of the step is believed

    def precision(self, T_now_key: Pose) -> Array:
        """Return (6, 6) the inverse covariance of shift and turn."""
        shift = T_now_key[:3, 3]
        length_m = float(np.linalg.norm(shift))
        angle = float(np.arccos(np.clip(0.5 * (np.trace(T_now_key[:3, :3]) - 1.0), -1.0, 1.0)))
        turn = self.turn_rad + self.turn_share * angle
        across = self.across_m + self.across_share * length_m
        along = 0.1 * self.across_m + self.along_share * length_m
        precision = np.zeros((6, 6))
        precision[:3, :3] = np.eye(3) / across**2
        if length_m > 0.0:
            direction = shift / length_m
            precision[:3, :3] += np.outer(direction, direction) * (along**-2 - across**-2)
        precision[3:, 3:] = np.eye(3) / turn**2
        return precision


@dataclass(frozen=True, kw_only=True)
class PresentView:
    """The refined pose of a view and what its tracks say."""

    T_now_key: Pose
    covariance: Array  # (6, 6) of shift and turn
    rho: Array  # (N,) inverse depth in the key view, the present view included
    variance: Array  # (N,)
    misfit: Array  # (N,) squared residual in deviations
    fits: float  # share of the tracks that fit, 0..1
    surprise: float  # how far the pose lies from that of odometry, in deviations of it


def refined(
    key_rays: Array,
    rho: Array,
    variance: Array,
    rays: Array,
    T_now_key: Pose,
    *,
    deviation: float,
    noise: OdometryNoise,
) -> PresentView:
    """Find the pose of the present view that fits tracks and odometry best.

    Each track is a point of a key view whose inverse depth is known with a variance. This variance
    is part of what is expected of the residual, so a track of unknown depth tells only how far it
    is off its epipolar line, and one of known depth tells all.

    Args:
        key_rays: (N, 2) x/z and y/z in the key view.
        rho: (N,) inverse depth there.
        variance: (N,) of it.
        rays: (N, 2) x/z and y/z now.
        T_now_key: by odometry; turns points of the key view into those of the present one.
        deviation: of x/z and y/z.
        noise: of odometry since the key view.
    """
    key = np.concatenate((key_rays, np.ones((len(key_rays), 1))), axis=1)
    precision = noise.precision(T_now_key)
    T, off = T_now_key.copy(), np.zeros(6)
    normal = precision
    for iteration in range(_ITERATIONS):
        residual, by_pose, by_rho = _residuals(key, rho, rays, T)
        inverse = _inverse_covariance(by_rho, variance, deviation)
        misfit = np.einsum("ni,nij,nj->n", residual, inverse, residual)
        spread = max(1.0, 1.4 * float(np.median(misfit))) if iteration < 2 else 1.0
        weight = 1.0 / (1.0 + misfit / (_KERNEL * spread)) ** 2
        weighted = np.einsum("nia,nij,n->naj", by_pose, inverse, weight)
        normal = precision + np.einsum("naj,njb->ab", weighted, by_pose)
        slope = precision @ off + np.einsum("naj,nj->a", weighted, residual)
        step = -np.linalg.solve(normal, slope)
        off = off + step
        turn = rotation(step[3:])
        T[:3, :3], T[:3, 3] = turn @ T[:3, :3], turn @ T[:3, 3] + step[:3]
    residual, _, by_rho = _residuals(key, rho, rays, T)
    inverse = _inverse_covariance(by_rho, variance, deviation)
    misfit = np.einsum("ni,nij,nj->n", residual, inverse, residual)
    gain = variance[:, None] * np.einsum("ni,nij->nj", by_rho, inverse)
    return PresentView(
        T_now_key=T,
        covariance=np.asarray(np.linalg.inv(normal)),
        rho=rho - np.einsum("ni,ni->n", gain, residual),
        variance=variance * (1.0 - np.einsum("ni,ni->n", gain, by_rho)),
        misfit=misfit,
        fits=float(np.mean(misfit < _FITS)) if len(misfit) else 0.0,
        surprise=float(np.sqrt(off @ precision @ off)),
    )


def _residuals(key: Array, rho: Array, rays: Array, T: Pose) -> tuple[Array, Array, Array]:
    """Return (N, 2) residuals, their (N, 2, 6) change by the pose and (N, 2) by rho."""
    point = key @ T[:3, :3].T + rho[:, None] * T[:3, 3]
    z = np.maximum(point[:, 2], _LEAST_Z)
    x, y = point[:, 0] / z, point[:, 1] / z
    scaled, zero = rho / z, np.zeros_like(z)  # of a point of unit depth in the key view
    by_x = (scaled, zero, -x * scaled, -x * y, 1.0 + x * x, -y)
    by_y = (zero, scaled, -y * scaled, -1.0 - y * y, x * y, x)
    t = T[:3, 3]
    by_rho = np.stack(((t[0] - x * t[2]) / z, (t[1] - y * t[2]) / z), axis=1)
    residual = np.stack((x, y), axis=1) - rays
    return residual, np.stack((np.stack(by_x, 1), np.stack(by_y, 1)), axis=1), by_rho


def _inverse_covariance(by_rho: Array, variance: Array, deviation: float) -> Array:
    """Return (N, 2, 2) the inverse of what is expected of the squared residuals.

    Both ends of a track have the same deviation. Sherman and Morrison for the rest.
    """
    own = 2.0 * deviation**2
    length2 = np.square(by_rho).sum(1)
    share = variance / (own * (own + variance * length2))
    outer = by_rho[:, :, None] * by_rho[:, None, :]
    return np.asarray(np.eye(2) / own - share[:, None, None] * outer)

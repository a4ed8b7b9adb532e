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
        seen = _Residuals.of(key, rho, variance, rays, T, deviation)
        misfit = seen.misfit()
        spread = max(1.0, 1.4 * float(np.median(misfit))) if iteration < 2 else 1.0
        pull, slope = seen.normal(1.0 / (1.0 + misfit / (_KERNEL * spread)) ** 2)
        normal = precision + pull
        step = np.asarray(-np.linalg.solve(normal, precision @ off + slope), np.float64)
        off = off + step
        turn = rotation(np.asarray(step[3:], np.float64))
        T[:3, :3], T[:3, 3] = turn @ T[:3, :3], turn @ T[:3, 3] + step[:3]
    seen = _Residuals.of(key, rho, variance, rays, T, deviation)
    misfit = seen.misfit()
    gain = variance / (seen.own + variance * seen.length2)
    return PresentView(
        T_now_key=T,
        covariance=np.asarray(np.linalg.inv(normal)),
        rho=rho - gain * seen.along,
        variance=variance * seen.own / (seen.own + variance * seen.length2),
        misfit=misfit,
        fits=float(np.mean(misfit < _FITS)) if len(misfit) else 0.0,
        surprise=float(np.sqrt(off @ precision @ off)),
    )


@dataclass(frozen=True, kw_only=True)
class _Residuals:
    """Residuals of N tracks in x/z and y/z, and what changes them."""

    x: Array  # (N,)
    y: Array  # (N,)
    by_pose_x: Array  # (6, N)
    by_pose_y: Array  # (6, N)
    by_rho: Array  # (2, N)
    length2: Array  # (N,) squared length of `by_rho`
    along: Array  # (N,) of the residual along it, times its length
    own: float  # variance of both ends of a track
    share: Array  # (N,) of what lies along `by_rho`, that the variance of rho explains

    @classmethod
    def of(
        cls, key: Array, rho: Array, variance: Array, rays: Array, T: Pose, deviation: float
    ) -> _Residuals:
        """Return the residuals at a pose; the arguments are those of `refined`."""
        point = T[:3, :3] @ key.T + rho * T[:3, 3, None]
        z = np.maximum(point[2], _LEAST_Z)
        x, y = point[0] / z, point[1] / z
        scaled = rho / z  # of a point of unit depth in the key view
        by_x, by_y = np.zeros((6, len(z))), np.zeros((6, len(z)))
        by_x[0] = by_y[1] = scaled
        by_x[2], by_y[2] = -x * scaled, -y * scaled
        by_x[3], by_x[4], by_x[5] = -x * y, 1.0 + x * x, -y
        by_y[3], by_y[4], by_y[5] = -1.0 - y * y, x * y, x
        by_rho = (T[:2, 3, None] - np.stack((x, y)) * T[2, 3]) / z
        off_x, off_y = x - rays[:, 0], y - rays[:, 1]
        length2, own = np.square(by_rho).sum(0), 2.0 * deviation**2
        return cls(
            x=off_x,
            y=off_y,
            by_pose_x=by_x,
            by_pose_y=by_y,
            by_rho=by_rho,
            length2=length2,
            along=by_rho[0] * off_x + by_rho[1] * off_y,
            own=own,
            share=variance / (own * (own + variance * length2)),
        )

    def misfit(self) -> Array:
        """Return (N,) squared residuals in deviations: Sherman and Morrison for the inverse."""
        return np.asarray((self.x**2 + self.y**2) / self.own - self.share * self.along**2)

    def normal(self, weight: Array) -> tuple[Array, Array]:
        """Return (6, 6) the normal matrix and (6,) the slope of weighted tracks."""
        by_x, by_y, weight_own = self.by_pose_x, self.by_pose_y, weight / self.own
        along = self.by_rho[0] * by_x + self.by_rho[1] * by_y
        weighted_x, weighted_y = by_x * weight_own, by_y * weight_own
        weighted_along = along * (weight * self.share)
        pull = weighted_x @ by_x.T + weighted_y @ by_y.T - weighted_along @ along.T
        slope = weighted_x @ self.x + weighted_y @ self.y - weighted_along @ self.along
        return np.asarray(pull), np.asarray(slope)

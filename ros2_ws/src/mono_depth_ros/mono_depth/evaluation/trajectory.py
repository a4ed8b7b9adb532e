"""How far an estimated trajectory is from the true one.

Source: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012, sections
V-A (relative pose error) and V-B (absolute trajectory error); Umeyama, "Least-Squares Estimation
of Transformation Parameters Between Two Point Patterns", TPAMI 1991 (alignment).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.temporal.poses import Pose, rotation_vector

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrajectoryError:
    """Errors of a trajectory after it was scaled, turned and moved onto the true one."""

    scale: float  # the estimate was multiplied with this; 1 = its metres are metres
    ate_m: float  # root of the mean squared distance between positions
    ate_relative: float  # of the length of the true path
    path_m: float  # length of the true path
    rpe_m: float  # root mean square over frames: translation between two frames, scaled
    rpe_deg: float  # ... rotation between two frames


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Turns p into scale * R p + t."""

    scale: float
    R: npt.NDArray[np.float64]  # (3, 3)
    t: npt.NDArray[np.float64]  # (3,)

    def apply(self, points: Points) -> Points:
        """Move (n, 3) points."""
        return np.asarray(self.scale * points @ self.R.T + self.t)


def fitted_similarity(points: Points, targets: Points) -> Similarity:
    """Return what moves (n, 3) points onto their targets with the least squares of distance."""
    centre, target_centre = points.mean(0), targets.mean(0)
    a, b = points - centre, targets - target_centre
    left, singular, right = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    R = left @ np.diag(signs) @ right
    spread = float((a**2).sum())
    scale = float((singular * signs).sum() / spread) if spread > 0.0 else 1.0
    return Similarity(scale=scale, R=R, t=target_centre - scale * R @ centre)


def similarity_of_poses(poses: Sequence[Pose], targets: Sequence[Pose]) -> Similarity:
    """Return what moves a trajectory with its orientations onto another.

    The mean of the turns between the poses, then scale and place by the least squares of
    distance. Positions alone, of a short or straight path, leave a turn about it open.

    Raises:
        ValueError: the trajectories differ in length.
    """
    turns = sum(b[:3, :3] @ a[:3, :3].T for a, b in zip(poses, targets, strict=True))
    left, _, right = np.linalg.svd(turns)
    R = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    a, b = positions_m(poses) @ R.T, positions_m(targets)
    centre, target_centre = a.mean(0), b.mean(0)
    spread = float(((a - centre) ** 2).sum())
    along = float(((a - centre) * (b - target_centre)).sum())
    scale = along / spread if along > 0.0 else 1.0
    return Similarity(scale=scale, R=R, t=target_centre - scale * centre)


def positions_m(poses: Sequence[Pose]) -> Points:
    """Return the (n, 3) positions of poses."""
    return np.array([T[:3, 3] for T in poses])


def trajectory_error(estimated: Sequence[Pose], true: Sequence[Pose]) -> TrajectoryError:
    """Return the errors of estimated poses of the camera, in any frame and unit.

    Raises:
        ValueError: the trajectories differ in length, or have fewer than three poses.
    """
    if len(estimated) != len(true) or len(true) < 3:
        raise ValueError(f"{len(estimated)} estimated and {len(true)} true poses, expected >= 3")
    positions, targets = positions_m(estimated), positions_m(true)
    fit = fitted_similarity(positions, targets)
    ate_m = _rms(np.linalg.norm(fit.apply(positions) - targets, axis=1))
    path_m = float(np.linalg.norm(np.diff(targets, axis=0), axis=1).sum())
    steps_m, turns_deg = [], []
    for index in range(1, len(true)):
        step = np.linalg.inv(estimated[index - 1]) @ estimated[index]
        step[:3, 3] *= fit.scale
        true_step = np.linalg.inv(true[index - 1]) @ true[index]
        error = np.linalg.inv(true_step) @ step
        steps_m.append(np.linalg.norm(error[:3, 3]))
        turns_deg.append(math.degrees(float(np.linalg.norm(rotation_vector(error[:3, :3])))))
    return TrajectoryError(
        scale=fit.scale,
        ate_m=ate_m,
        ate_relative=ate_m / path_m if path_m > 0.0 else math.nan,
        path_m=path_m,
        rpe_m=_rms(np.array(steps_m)),
        rpe_deg=_rms(np.array(turns_deg)),
    )


def _rms(values: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))

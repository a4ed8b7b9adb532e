"""How far an estimated trajectory is from the true one.

Source: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", IROS 2012, sections
V-A (relative pose error) and V-B (absolute trajectory error).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, rotation_vector

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrajectoryError:
    """Errors of a trajectory after it was turned and moved, but not scaled, onto the true one.

    Steps are in metres for whoever has depth in metres, so their length counts. A scale that is
    fitted as well would reward noise: of a path that wanders about it makes a point.
    """

    ate_m: float  # root of the mean squared distance between positions
    ate_relative: float  # of the length of the true path
    path_m: float  # length of the true path
    length_ratio: float  # length of the estimated path over that of the true one
    rpe_m: float  # root mean square over frames: translation between two frames
    rpe_deg: float  # ... rotation between two frames


def rigid_fit(points: Points, targets: Points) -> Pose:
    """Return the T that moves (n, 3) points onto their targets with the least squares of distance.

    Source: Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point
    Patterns", TPAMI 1991, without the scale.
    """
    centre, target_centre = points.mean(0), targets.mean(0)
    R = _nearest_rotation((targets - target_centre).T @ (points - centre))
    return _pose(R, target_centre - R @ centre)


def rigid_fit_of_poses(poses: Sequence[Pose], targets: Sequence[Pose]) -> Pose:
    """Return what moves a trajectory with its orientations onto another.

    The mean of the turns between the poses, then the place by the mean of the positions.
    Positions alone, of a short or straight path, leave a turn about it open.

    Raises:
        ValueError: the trajectories differ in length.
    """
    turns = [b[:3, :3] @ a[:3, :3].T for a, b in zip(poses, targets, strict=True)]
    R = _nearest_rotation(np.sum(turns, axis=0))
    return _pose(R, (positions_m(targets) - positions_m(poses) @ R.T).mean(0))


def positions_m(poses: Sequence[Pose]) -> Points:
    """Return the (n, 3) positions of poses."""
    return np.array([T[:3, 3] for T in poses])


def trajectory_error(estimated: Sequence[Pose], true: Sequence[Pose]) -> TrajectoryError:
    """Return the errors of estimated poses of the camera, in any frame, in metres.

    Raises:
        ValueError: the trajectories differ in length, or have fewer than three poses.
    """
    if len(estimated) != len(true) or len(true) < 3:
        raise ValueError(f"{len(estimated)} estimated and {len(true)} true poses, expected >= 3")
    positions, targets = positions_m(estimated), positions_m(true)
    T = rigid_fit(positions, targets)
    moved = positions @ T[:3, :3].T + T[:3, 3]
    ate_m = _rms(np.linalg.norm(moved - targets, axis=1))
    length_m, path_m = (
        float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
        for places in (positions, targets)
    )
    steps_m, turns_deg = [], []
    for index in range(1, len(true)):
        step = np.linalg.inv(estimated[index - 1]) @ estimated[index]
        true_step = np.linalg.inv(true[index - 1]) @ true[index]
        error = np.linalg.inv(true_step) @ step
        steps_m.append(np.linalg.norm(error[:3, 3]))
        turns_deg.append(math.degrees(float(np.linalg.norm(rotation_vector(error[:3, :3])))))
    return TrajectoryError(
        ate_m=ate_m,
        ate_relative=ate_m / path_m if path_m > 0.0 else math.nan,
        path_m=path_m,
        length_ratio=length_m / path_m if path_m > 0.0 else math.nan,
        rpe_m=_rms(np.array(steps_m)),
        rpe_deg=_rms(np.array(turns_deg)),
    )


def _nearest_rotation(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    left, _, right = np.linalg.svd(matrix)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return np.asarray(left @ np.diag(signs) @ right)


def _pose(R: npt.NDArray[np.float64], t: npt.NDArray[np.float64]) -> Pose:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return T


def _rms(values: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))

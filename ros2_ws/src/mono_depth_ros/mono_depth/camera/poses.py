"""Poses of the camera at the stamps of its images."""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mono_depth.stream.clock_watch import ClockChange, Step
from mono_depth.stream.timeline import Timeline

Pose = npt.NDArray[np.float64]  # (4, 4), T_a_b turns points of frame b into frame a
StampedPose = tuple[int, Pose]  # [ns]


class PoseBuffer:
    """Keeps recent poses of one frame and interpolates between them.

    Odometry comes at its own rate and with its own delay; an image needs the pose at exactly
    its stamp. Safe to fill and to ask from different threads.

    Args:
        keep_s: how far back poses are kept.
        max_gap_s: the largest time between two poses that is interpolated.
        max_ahead_s: how far behind the newest pose may lie, which is then carried on with its
            last velocity.
        max_speed_mps: a faster step between two poses is a jump of the odometry; poses before
            it are forgotten, unless the next pose goes on from them: then it was a wrong one.
    """

    def __init__(
        self,
        *,
        keep_s: float = 10.0,
        max_gap_s: float = 0.25,
        max_ahead_s: float = 0.1,
        max_speed_mps: float = 50.0,
    ) -> None:
        self._max_gap_ns = int(max_gap_s * 1e9)
        self._max_ahead_ns = int(max_ahead_s * 1e9)
        self._max_speed_mps = max_speed_mps
        self._line: Timeline[Pose] = Timeline(keep_s=keep_s, goes_on=self._goes_on)
        self._lock = threading.Lock()
        self.jumps = 0  # how often the odometry jumped

    def add(self, stamp_ns: int, T_odom_body: Pose) -> bool:
        """Take in one pose.

        Returns:
            False if it is unusable and was left out: not finite, or not newer than the last.
            A jump of the clock or in space starts the buffer anew and is kept.
        """
        if not np.isfinite(T_odom_body).all():
            return False
        with self._lock:
            step = self._line.add(stamp_ns, np.asarray(T_odom_body, np.float64))
        self.jumps += step is Step.JUMP
        return step is not Step.LATE

    def follow(self, change: ClockChange) -> None:
        """Do as another input that shows a jump of the clock."""
        with self._lock:
            self._line.follow(change)

    @property
    def reach_ns(self) -> int | None:
        """The last stamp that `at` answers, None = there is none."""
        with self._lock:
            newest_ns, is_single = self._line.newest_ns, len(self._line.items) < 2
        if newest_ns is None:
            return None
        return newest_ns + (0 if is_single else self._max_ahead_ns)

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Stamps of the oldest and the newest pose, None = there is none."""
        with self._lock:
            poses = self._line.items
            return (poses[0][0], poses[-1][0]) if poses else None

    def at(self, stamp_ns: int) -> Pose | None:
        """Return the pose at a stamp, None where the buffer does not reach or has a gap."""
        with self._lock:
            poses = list(self._line.items)
        return pose_at(
            poses, stamp_ns, max_gap_ns=self._max_gap_ns, max_ahead_ns=self._max_ahead_ns
        )

    def _goes_on(self, last: StampedPose, new: StampedPose) -> bool:
        return speed_mps(last, new) <= self._max_speed_mps


def speed_mps(a: StampedPose, b: StampedPose) -> float:
    """Return how fast one gets from one pose to a later one."""
    step_m = float(np.linalg.norm(b[1][:3, 3] - a[1][:3, 3]))
    return step_m / max((b[0] - a[0]) * 1e-9, 1e-9)


def pose_at(
    poses: Sequence[StampedPose], stamp_ns: int, *, max_gap_ns: int, max_ahead_ns: int
) -> Pose | None:
    """Return the pose at a stamp from poses of rising stamps, None where they do not tell it.

    Args:
        poses: by stamp.
        stamp_ns: of an image.
        max_gap_ns: the largest time between two poses that is interpolated.
        max_ahead_ns: how far the last two are carried on.
    """
    if not poses or stamp_ns < poses[0][0]:
        return None
    after = bisect.bisect_left(poses, stamp_ns, key=lambda item: item[0])
    if after < len(poses) and poses[after][0] == stamp_ns:
        return poses[after][1]
    if after == len(poses):
        if stamp_ns - poses[-1][0] > max_ahead_ns or len(poses) < 2:
            return None
        after -= 1
    (before_ns, T_before), (after_ns, T_after) = poses[after - 1], poses[after]
    if after_ns - before_ns > max_gap_ns:
        return None
    return interpolate(T_before, T_after, (stamp_ns - before_ns) / (after_ns - before_ns))


def interpolate(T_a: Pose, T_b: Pose, share: float) -> Pose:
    """Return the pose at `share` of the way from `T_a` to `T_b`, beyond 1 carried on.

    Translation linearly, rotation at constant angular velocity.
    """
    T = np.eye(4)
    T[:3, 3] = (1.0 - share) * T_a[:3, 3] + share * T_b[:3, 3]
    T[:3, :3] = T_a[:3, :3] @ rotation(share * rotation_vector(T_a[:3, :3].T @ T_b[:3, :3]))
    return T


def rotation(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the 3x3 rotation about `vector` by its length in radians (Rodrigues)."""
    x, y, z = (float(part) for part in vector)
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = x / angle, y / angle, z / angle
    sine, rest = math.sin(angle), 1.0 - math.cos(angle)
    return np.array(
        (
            (1.0 - rest * (y * y + z * z), rest * x * y - sine * z, rest * x * z + sine * y),
            (rest * x * y + sine * z, 1.0 - rest * (x * x + z * z), rest * y * z - sine * x),
            (rest * x * z - sine * y, rest * y * z + sine * x, 1.0 - rest * (x * x + y * y)),
        )
    )


def rotation_vector(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return axis times angle of a 3x3 rotation, angle below pi."""
    skew = np.array(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )
    sine, cosine = float(np.linalg.norm(skew)) / 2.0, (float(np.trace(matrix)) - 1.0) / 2.0
    if sine < 1e-12:
        return skew / 2.0
    return np.asarray(skew / (2.0 * sine) * math.atan2(sine, cosine))


def pose_from(
    position_m: tuple[float, float, float], quaternion_xyzw: tuple[float, float, float, float]
) -> Pose | None:
    """Return the 4x4 pose of a position and a unit quaternion, None if either is no number."""
    quaternion = np.asarray(quaternion_xyzw, np.float64)
    norm = float(np.linalg.norm(quaternion))
    if not np.isfinite([*position_m, norm]).all() or not 0.5 < norm < 2.0:
        return None
    x, y, z, w = quaternion / norm
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = position_m
    return T


def quaternion_of(
    rotation: npt.NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a 3x3 rotation matrix.

    Source: largest eigenvector of the matrix of I. Y. Bar-Itzhack, J. Guidance 23(6), 2000.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx - yy - zz, 0.0, 0.0, 0.0],
            [yx + xy, yy - xx - zz, 0.0, 0.0],
            [zx + xz, zy + yz, zz - xx - yy, 0.0],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    _, vectors = np.linalg.eigh(symmetric)  # reads the lower triangle
    x, y, z, w = (float(value) for value in vectors[:, 3])
    return (x, y, z, w) if w >= 0.0 else (-x, -y, -z, -w)

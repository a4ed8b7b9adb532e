"""Poses as autopilots give them: north, east, down, and a body of forward, right, down."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]  # (3,)
Quaternion = tuple[float, float, float, float]  # w, x, y, z

_ENU_NED: Quaternion = (0.0, math.sqrt(0.5), math.sqrt(0.5), 0.0)
_HALF_ROLL: Quaternion = (0.0, 1.0, 0.0, 0.0)  # forward right down to forward left up, and back


def body_from_frd(vector: npt.ArrayLike) -> Vector:
    """Return a vector of a body of forward, right, down in one of forward, left, up (REP 103)."""
    forward, right, down = (float(value) for value in np.asarray(vector, np.float64))
    return np.array([forward, -right, -down])


def odom_from_local(vector: npt.ArrayLike, *, is_north_aligned: bool) -> Vector:
    """Return a vector of the autopilot's local frame in odom (REP 103: z up).

    Args:
        vector: (3,) north, east, down; or forward, right, down of some heading.
        is_north_aligned: odom is east, north, up; else forward, left, up of the same heading.
    """
    if not is_north_aligned:
        return body_from_frd(vector)
    north, east, down = (float(value) for value in np.asarray(vector, np.float64))
    return np.array([east, north, -down])


def odom_orientation(quaternion: npt.ArrayLike, *, is_north_aligned: bool) -> Quaternion | None:
    """Return how a body of forward, left, up lies in odom, None where nothing tells.

    Args:
        quaternion: (4,) w x y z, turns forward, right, down into the autopilot's local frame.
        is_north_aligned: see `odom_from_local`.

    Source: REP 103; https://docs.px4.io/main/en/ros2/user_guide.html#ros-2-px4-frame-conventions
    """
    values = np.asarray(quaternion, np.float64)
    norm = float(np.linalg.norm(values))
    if not math.isfinite(norm) or not 0.5 < norm < 2.0:
        return None
    w, x, y, z = (float(value) for value in values / norm)
    to_odom = _ENU_NED if is_north_aligned else _HALF_ROLL
    return _product(_product(to_odom, (w, x, y, z)), _HALF_ROLL)


def _product(a: Quaternion, b: Quaternion) -> Quaternion:
    """Return the rotation b followed by a (Hamilton)."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )

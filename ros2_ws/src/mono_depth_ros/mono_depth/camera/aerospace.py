"""Poses as autopilots give them: north, east, down, and a body of forward, right, down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose, pose_from

FRD_FLU = np.diag([1.0, -1.0, -1.0])  # forward right down to forward left up, and back
_ENU_NED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def pose_from_ned(
    position_m: npt.ArrayLike, quaternion_wxyz: npt.ArrayLike, *, is_north_aligned: bool = True
) -> Pose | None:
    """Return T_odom_body of REP 103 (z up; body x forward, y left), None if it is no pose.

    Args:
        position_m: (3,) in the autopilot's local frame.
        quaternion_wxyz: (4,) turns the body (forward, right, down) into that frame.
        is_north_aligned: the frame is north, east, down, and odom east, north, up; else its
            first axis has any heading, and odom has the same first axis.

    Source: REP 103; https://docs.px4.io/main/en/ros2/user_guide.html#ros-2-px4-frame-conventions
    """
    x, y, z = (float(value) for value in np.asarray(position_m, np.float64))
    qw, qx, qy, qz = (float(value) for value in np.asarray(quaternion_wxyz, np.float64))
    T_local_frd = pose_from((x, y, z), (qx, qy, qz, qw))
    if T_local_frd is None:
        return None
    to_odom = _ENU_NED if is_north_aligned else FRD_FLU
    T = np.eye(4)
    T[:3, :3] = to_odom @ T_local_frd[:3, :3] @ FRD_FLU
    T[:3, 3] = to_odom @ T_local_frd[:3, 3]
    return T

"""Pose and Transform messages to 4x4 matrices."""

from __future__ import annotations

from mono_depth.camera.poses import Pose, pose_from
from mono_depth.messages.protocols import PoseMessage, TransformMessage


def pose_of(msg: PoseMessage) -> Pose | None:
    """Return T_parent_body of a geometry_msgs/Pose, None where its numbers are no pose."""
    place, turn = msg.position, msg.orientation
    return pose_from((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))


def transform_of(msg: TransformMessage) -> Pose | None:
    """Return T_parent_child of a geometry_msgs/Transform, None where its numbers are none."""
    shift, turn = msg.translation, msg.rotation
    return pose_from((shift.x, shift.y, shift.z), (turn.x, turn.y, turn.z, turn.w))

"""The level frame of a camera as a transform: x ahead, y left, z up, at the optical centre."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TransformStamped
from std_msgs.msg import Header

from mono_depth.camera.level import Rotation
from mono_depth.camera.poses import quaternion_of
from mono_depth_ros.sensors.optical_frame import BODY, OPTICAL_IN_BODY

_SUFFIX = "_level"


def level_frame_name(image_frame: str, optical_frame: str) -> str:
    """Return the name of the level frame of images with a frame_id.

    Args:
        image_frame: frame_id of the images.
        optical_frame: the parameter frames.optical_frame.
    """
    return f"{_parent(image_frame, optical_frame)}{_SUFFIX}"


def level_transform(
    header: Header, R_level_camera: Rotation, optical_frame: str
) -> TransformStamped:
    """Return the pose of the level frame in that of the camera, at the stamp of an image.

    Args:
        header: of the image.
        R_level_camera: (3, 3), see `level_rotation`.
        optical_frame: the parameter frames.optical_frame.
    """
    parent = _parent(header.frame_id, optical_frame)
    R_parent_level = R_level_camera.T
    if optical_frame == BODY:
        R_parent_level = OPTICAL_IN_BODY @ R_parent_level
    msg = TransformStamped(header=Header(stamp=header.stamp, frame_id=parent))
    msg.child_frame_id = f"{parent}{_SUFFIX}"
    turn = msg.transform.rotation
    turn.x, turn.y, turn.z, turn.w = quaternion_of(np.asarray(R_parent_level))
    return msg


def _parent(image_frame: str, optical_frame: str) -> str:
    return image_frame if optical_frame in ("", BODY) else optical_frame

"""Poses of a camera in a bag, from odometry and static transforms."""

from __future__ import annotations

import logging

import numpy as np

from mono_depth.camera.poses import Pose, StampedPose
from mono_depth.camera.trajectory import Trajectory
from mono_depth.messages.frame_names import frame_name
from mono_depth.messages.transforms import pose_of, transform_of
from mono_depth.recordings.bag_reader import BagReader
from mono_depth.recordings.pose_file import trajectory_of

_LOG = logging.getLogger(__name__)


def read_poses_of_bag(bag: BagReader, camera_frame: str, topic_name: str = "") -> Trajectory:
    """Return the poses of the camera; an empty trajectory if the bag does not tell them.

    They come from a topic of nav_msgs/Odometry and, where that tells the pose of another frame
    than the camera's, from /tf_static.

    Args:
        bag: where they are.
        camera_frame: the optical frame.
        topic_name: of the odometry, "" = the first.

    Raises:
        ConfigError: there is no such topic.
    """
    poses: list[StampedPose] = []
    for topic in bag.named_topics("nav_msgs/msg/Odometry", topic_name):
        mounts: dict[str, Pose | None] = {}
        for stored in bag.messages(topic):
            body = stored.content.child_frame_id
            if body not in mounts:
                mounts[body] = mount = static_transform(bag, body, camera_frame)
                if mount is None:
                    _LOG.warning(
                        "%s: no static transform from %s to %s, so no poses",
                        bag.path,
                        body,
                        camera_frame,
                    )
            T_body_camera, T_odom_body = mounts[body], pose_of(stored.content.pose.pose)
            if T_body_camera is not None and T_odom_body is not None:
                poses.append((stored.stamp_ns, T_odom_body @ T_body_camera))
    return trajectory_of(poses, str(bag.path))


def static_transform(bag: BagReader, target: str, source: str) -> Pose | None:
    """Return T_target_source from the static transforms of the bag, None where they tell none."""
    body, camera = frame_name(target), frame_name(source)
    edges = _static_edges(bag)
    known: dict[str, Pose] = {body: np.eye(4)}
    waiting = [body]
    while waiting:
        place = waiting.pop()
        for other, T_place_other in edges.get(place, ()):
            if other not in known:
                known[other] = known[place] @ T_place_other
                waiting.append(other)
    return known.get(camera)


def _static_edges(bag: BagReader) -> dict[str, list[tuple[str, Pose]]]:
    """Return for each frame its neighbours, each with T_frame_neighbour."""
    edges: dict[str, list[tuple[str, Pose]]] = {}
    for topic in bag.topics("tf2_msgs/msg/TFMessage"):
        if topic.name != "/tf_static":
            continue
        for stored in bag.messages(topic):
            for stamped in stored.content.transforms:
                T_parent_child = transform_of(stamped.transform)
                if T_parent_child is None:
                    continue
                parent = frame_name(stamped.header.frame_id)
                child = frame_name(stamped.child_frame_id)
                edges.setdefault(parent, []).append((child, T_parent_child))
                T_child_parent: Pose = np.linalg.inv(T_parent_child).astype(np.float64)
                edges.setdefault(child, []).append((parent, T_child_parent))
    return edges

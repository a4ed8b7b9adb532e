"""Depth from one camera: starts the depth node on the topics of a camera.

    ros2 launch mono_depth_ros mono_depth.launch.py image:=/camera/image_rect
    ros2 launch mono_depth_ros mono_depth.launch.py image:=/camera/image_raw rectify:=true
    ros2 launch mono_depth_ros mono_depth.launch.py image:=/camera/image_rect/compressed

Two cameras of one robot differ in `name`, two robots in `namespace`, and each robot in `tf` where
it has a /tf of its own; their topics, parameters and names in /diagnostics follow:

    ... name:=depth_front image:=/front/image_rect     ... name:=depth_rear image:=/rear/image_rect
    ... namespace:=robot1 tf:=/robot1/tf image:=/robot1/camera/image_rect odom:=/robot1/odom

An argument that is left empty is not passed on, so the node's own default holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

from mono_depth_ros.rclpy_support.image_topic import ImageTopic

SHARE = Path(__file__).parents[1]
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_NEEDED_BYTES = 256 << 20  # segments of camera, depth node and two more processes

INPUTS = {
    "image": "image topic of the camera, rectified; with /compressed: compressed",
    "camera_info": "calibration topic; empty = camera_info beside the image topic",
    "odom": "poses of the robot (nav_msgs/Odometry)",
    "imu": "IMU (sensor_msgs/Imu): where down is, for the ground plane; turns imu.enabled on",
    "sensor_depth": "depth aligned to the image, to complete (Image, or .../compressedDepth)",
    "sparse_points": "metric points of LiDAR, VIO or SLAM (PointCloud2)",
}
PARAMETERS: dict[str, tuple[type, str]] = {
    "model": (str, "name in models/registry.yaml, or auto"),
    "registry": (str, "file of further registry entries, for your own models"),
    "device": (str, "auto, cpu or cuda"),
    "image_transport": (str, "raw or compressed; empty = as the image topic is named"),
    "rectify": (bool, "undistort the image by its camera_info; for an image_raw"),
    "autostart": (bool, "configure and activate without a lifecycle manager"),
    "use_sim_time": (bool, "take the time from /clock"),
}
OTHERS = {
    "namespace": ("", "namespace of the node, such as that of one of several robots"),
    "name": ("mono_depth", "name of the node, and of its topics; another one for each camera"),
    "tf": ("", "TF topic of the robot, such as /robot1/tf with /robot1/tf_static; empty = /tf"),
    "params_file": (str(SHARE / "config" / "mono_depth.yaml"), "YAML file of parameters"),
    "log_level": ("", "debug, info, warn, error or fatal, for this node alone"),
    "dds_profile": (
        str(SHARE / "config" / "fastdds_large_messages.xml"),
        "Fast DDS profile, used unless the environment names one; empty = none",
    ),
    "respawn": ("true", "start the node again, configured anew, when its process ends by itself"),
    "respawn_delay_s": ("2.0", "pause before that"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; what depends on their values is made when they are known."""
    arguments = [
        *(_argument(name, "", text) for name, text in INPUTS.items()),
        *(_argument(name, "", text) for name, (_, text) in PARAMETERS.items()),
        *(_argument(name, default, text) for name, (default, text) in OTHERS.items()),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_start)])


def _argument(name: str, default: str, description: str) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(name, default_value=default, description=description)


def _start(context: LaunchContext) -> list[Action]:
    names = [*INPUTS, *PARAMETERS, *OTHERS]
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    overrides: dict[str, Any] = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _) in PARAMETERS.items()
        if given[name]
    }
    image = ImageTopic.of(given["image"], given["image_transport"])
    if image.is_compressed:
        overrides["image_transport"] = image.transport
    if given["imu"]:
        overrides["imu.enabled"] = True
    node = LifecycleNode(
        package="mono_depth_ros",
        executable="depth_node",
        name=given["name"],
        namespace=given["namespace"],
        remappings=list(_topics(given, image).items()),
        parameters=[item for item in (given["params_file"], overrides) if item],
        ros_arguments=_log_arguments(given),
        output="screen",
        emulate_tty=True,
        respawn=given["respawn"].lower() in ("true", "1"),
        respawn_delay=float(given["respawn_delay_s"]),
    )
    return [*_contradiction(given, image), *_dds_settings(given["dds_profile"]), node]


def _topics(given: dict[str, str], image: ImageTopic) -> dict[str, str]:
    """Map the node's input names to the topics of the camera."""
    topics = {name: given[name] for name in INPUTS if given[name]}
    if given["tf"]:
        topics |= {"/tf": given["tf"], "/tf_static": f"{given['tf']}_static"}
    if image.base:
        topics["image"] = image.name
        topics.setdefault("camera_info", image.camera_info)
    return topics


def _contradiction(given: dict[str, str], image: ImageTopic) -> list[Action]:
    if given["image_transport"] in ("", image.transport):
        return []
    message = (
        f"image:={given['image']} is the compressed transport by its name, image_transport:="
        f"{given['image_transport']} is not taken; for raw images give image:={image.base}"
    )
    return [LogInfo(msg=message)]


def _log_arguments(given: dict[str, str]) -> list[str]:
    if not given["log_level"]:
        return []
    path = f"{given['namespace']}/{given['name']}".split("/")
    return ["--log-level", f"{'.'.join(part for part in path if part)}:={given['log_level']}"]


def _dds_settings(profile: str) -> list[Action]:
    if not profile or any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return []
    actions: list[Action] = [SetEnvironmentVariable(name, profile) for name in PROFILE_VARIABLES]
    if SHARED_MEMORY.is_dir():
        size = os.statvfs(SHARED_MEMORY)
        free_bytes = size.f_bavail * size.f_frsize
        if free_bytes < SHARED_MEMORY_NEEDED_BYTES:
            message = (
                f"only {free_bytes >> 20} MiB of shared memory are free in {SHARED_MEMORY}: "
                "Fast DDS may lose large images and clouds (container: docker run --shm-size=1g)"
            )
            actions.append(LogInfo(msg=message))
    return actions

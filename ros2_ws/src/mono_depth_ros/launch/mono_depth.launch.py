"""Depth from one camera: starts the depth node on the topics of a camera.

    ros2 launch mono_depth_ros mono_depth.launch.py image:=/camera/image_raw
    ros2 launch mono_depth_ros mono_depth.launch.py image:=/camera/image_raw/compressed

Two cameras of one robot differ in `name`, two robots in `namespace`, and each robot in `tf` where
it has a /tf of its own; their topics, parameters and names in /diagnostics follow:

    ... name:=depth_front image:=/front/image_raw        ... name:=depth_rear image:=/rear/image_raw
    ... namespace:=robot1 tf:=/robot1/tf image:=/robot1/camera/image_raw odom:=/robot1/odom

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

SHARE = Path(__file__).parents[1]
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_NEEDED_BYTES = 256 << 20  # segments of camera, depth node and two more processes

INPUTS = {
    "image": "image topic of the camera; .../compressed turns image_transport to compressed",
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
    "image_transport": (str, "raw or compressed"),
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
    given["image_transport"] = _transport(given)
    if given["image_transport"]:
        overrides["image_transport"] = given["image_transport"]
    if given["imu"]:
        overrides["imu.enabled"] = True
    node = LifecycleNode(
        package="mono_depth_ros",
        executable="depth_node",
        name=given["name"],
        namespace=given["namespace"],
        remappings=list(_topics(given).items()),
        parameters=[item for item in (given["params_file"], overrides) if item],
        ros_arguments=_log_arguments(given),
        output="screen",
        emulate_tty=True,
    )
    return [*_dds_settings(given["dds_profile"]), node]


def _transport(given: dict[str, str]) -> str:
    """Return the transport of the image, which the name of its topic tells unless one is given."""
    is_compressed = given["image"].endswith("/compressed") and not given["image_transport"]
    return "compressed" if is_compressed else given["image_transport"]


def _topics(given: dict[str, str]) -> dict[str, str]:
    """Map the node's input names to the topics of the camera."""
    topics = {name: given[name] for name in INPUTS if given[name]}
    if given["tf"]:
        topics |= {"/tf": given["tf"], "/tf_static": f"{given['tf']}_static"}
    image = given["image"].removesuffix("/compressed")
    if image:
        topics["image"] = (
            f"{image}/compressed" if given["image_transport"] == "compressed" else image
        )
        topics.setdefault("camera_info", "/".join([*image.split("/")[:-1], "camera_info"]))
    return topics


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

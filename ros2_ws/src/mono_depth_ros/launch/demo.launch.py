"""The depth node with a camera of its own and, where RViz is installed, a view of the result.

ros2 launch mono_depth_ros demo.launch.py                          a synthetic camera
ros2 launch mono_depth_ros demo.launch.py source:=/dev/video0      a webcam
ros2 launch mono_depth_ros demo.launch.py source:=drive.mp4        a video, or a folder of images
ros2 launch mono_depth_ros demo.launch.py source:=none image:=/camera/image_rect
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(__file__).parents[1]
CAMERA_FRAME, OPTICAL_FRAME = "camera_link", "camera_optical_frame"  # REP 103

ARGUMENTS = {
    "source": ("synthetic", "synthetic, a video file, a folder of images, /dev/videoN, or none"),
    "image": ("/camera/image_raw", "image topic; with source:=none that of your camera"),
    "horizontal_fov_deg": ("60.0", "angle of view of a video, folder or webcam [deg]"),
    "model": ("", "passed on to mono_depth.launch.py, as is the next one"),
    "device": ("", "auto, cpu or cuda"),
    "rviz": ("true", "show the result in RViz where it is installed"),
    "fixed_frame": (CAMERA_FRAME, "frame that RViz draws in"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; what depends on their values is made when they are known."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    passed_on = {name: given[name] for name in ("image", "model", "device")}
    if given["source"] == "synthetic":
        passed_on |= {name: _beside_image(given, name) for name in ("odom", "sparse_points")}
    depth = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "mono_depth.launch.py")),
        launch_arguments=list(passed_on.items()),
    )
    actions: list[Action] = [depth]  # first: it sets the DDS profile of all that follows
    if given["source"] != "none":
        actions += _camera(given)
    if given["rviz"].lower() in ("true", "1"):
        actions += _view(given)
    return actions


def _beside_image(given: dict[str, str], name: str) -> str:
    return "/".join([*given["image"].split("/")[:-1], name])


def _camera(given: dict[str, str]) -> list[Action]:
    if given["source"] == "synthetic":
        executable, parameters = "synthetic_camera", {}
    else:
        executable = "camera_node"
        parameters = {
            "source": given["source"],
            "horizontal_fov_deg": float(given["horizontal_fov_deg"]),
        }
    camera = Node(
        package="mono_depth_ros",
        executable=executable,
        name="camera",
        namespace="/".join(given["image"].split("/")[:-1]),
        remappings=[("image", given["image"])],
        parameters=[{"frame_id": OPTICAL_FRAME, **parameters}],
        output="screen",
        emulate_tty=True,
    )
    end = EmitEvent(event=Shutdown(reason="the camera ended"))
    return [camera, RegisterEventHandler(OnProcessExit(target_action=camera, on_exit=[end]))]


def _view(given: dict[str, str]) -> list[Action]:
    try:
        for package in ("rviz2", "tf2_ros"):
            get_package_prefix(package)
    except PackageNotFoundError as missing:
        return [LogInfo(msg=f"no view: {missing}")]
    config = str(SHARE / "config" / "mono_depth.rviz")
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", config, "-f", given["fixed_frame"]],
        output="log",
    )
    if given["source"] == "none":
        return [rviz]
    return [_upright(), rviz]


def _upright() -> Node:
    """Tell TF how the optical frame lies in the camera's body frame (x forward, z up)."""
    rotation = ["--roll", "-1.5707963", "--pitch", "0", "--yaw", "-1.5707963"]
    frames = ["--frame-id", CAMERA_FRAME, "--child-frame-id", OPTICAL_FRAME]
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        arguments=[*rotation, *frames],
        output="log",
    )

r"""RTAB-Map (rtabmap_slam) on the camera and the depth of the depth node.

ros2 launch mono_depth_ros rtabmap.launch.py image:=/camera/image_rect \
        camera_info:=/camera/camera_info odom:=/odom

The images have to be rectified, as those that the depth node gets.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

TOPICS = {
    "image": ("/camera/image_rect", "rgb/image", "rectified image that the depth node gets"),
    "camera_info": ("/camera/camera_info", "rgb/camera_info", "its calibration"),
    "depth": ("/mono_depth/depth/image", "depth/image", "depth of the depth node"),
    "odom": ("/odom", "odom", "poses of the robot"),
}
PARAMETERS = {
    "subscribe_depth": True,
    # Depth has the stamp of its image: pairs are exact, and guessed ones would be wrong.
    "approx_sync": False,
    "qos": 2,
    "Grid/RangeMax": "5.0",
    "RGBD/LinearUpdate": "0.1",
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, _, text) in TOPICS.items()
    ]
    frame = DeclareLaunchArgument(
        "frame_id", default_value="base_link", description="frame of the robot's body"
    )
    node = Node(
        package="rtabmap_slam",
        executable="rtabmap",
        parameters=[{**PARAMETERS, "frame_id": LaunchConfiguration("frame_id")}],
        remappings=[(topic, LaunchConfiguration(name)) for name, (_, topic, _) in TOPICS.items()],
        arguments=["--delete_db_on_start"],
        output="screen",
    )
    return LaunchDescription([*arguments, frame, node])

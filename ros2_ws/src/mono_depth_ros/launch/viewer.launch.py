r"""Shows a running depth node in a browser.

ros2 launch mono_depth_ros viewer.launch.py image:=/camera/image_rect
ros2 launch mono_depth_ros viewer.launch.py host:=0.0.0.0 token:=$(openssl rand -hex 16)
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PARAMETERS: dict[str, tuple[type, str, str]] = {
    "host": (str, "127.0.0.1", "address to listen at; one of the network needs a token"),
    "port": (int, "8009", "TCP port of the page"),
    "token": (str, "", "that browsers must show"),
    "depth_node": (str, "mono_depth", "name of the depth node"),
    "image_transport": (str, "raw", "of the image topic: raw or compressed"),
    "use_sim_time": (bool, "false", "take the time from /clock"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="of the depth node"),
        DeclareLaunchArgument("image", default_value="image", description="topic of the camera"),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (_, default, text) in PARAMETERS.items()
        ),
    ]
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _, _) in PARAMETERS.items()
    }
    node = Node(
        package="mono_depth_ros",
        executable="viewer",
        name="viewer",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        remappings=[("image", LaunchConfiguration("image"))],
        output="screen",
        emulate_tty=True,
    )
    return LaunchDescription([*arguments, node])

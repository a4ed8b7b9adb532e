r"""Tells an autopilot what the depth node sees.

    ros2 launch mono_depth_ros obstacle_distance.launch.py host:=192.168.1.10 port:=14550
    ros2 launch mono_depth_ros obstacle_distance.launch.py protocol:=px4
    ros2 launch mono_depth_ros obstacle_distance.launch.py protocol:=none \
        mavros:=/mavros/obstacle/send

With protocol:=px4 the vehicle's odometry comes out on `px4_odom`; give it to the depth node.
"""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PARAMETERS: dict[str, tuple[str, type, str, str]] = {
    "protocol": ("protocol", str, "mavlink", "mavlink, px4 (needs px4_msgs) or none"),
    "host": ("mavlink.host", str, "127.0.0.1", "who listens for MAVLink over UDP"),
    "port": ("mavlink.port", int, "14550", "its port"),
    "system_id": ("mavlink.system_id", int, "1", "MAVLink system of the vehicle"),
    "yaw_deg": ("yaw_deg", float, "0.0", "heading of the scan in the vehicle [deg], 0 = ahead"),
    "use_sim_time": ("use_sim_time", bool, "false", "take the time from /clock"),
}
TOPICS = {
    "scan": ("/mono_depth/scan", "scan", "scan of the depth node"),
    "mavros": ("scan_frd", "scan_frd", "scan in the order of mavros' plugin"),
    "odom": ("px4_odom", "odom", "with px4: poses of the vehicle (nav_msgs/Odometry)"),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="of the node, and of fmu"),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (_, _, default, text) in PARAMETERS.items()
        ),
        *(
            DeclareLaunchArgument(name, default_value=default, description=text)
            for name, (default, _, text) in TOPICS.items()
        ),
    ]
    parameters = {
        parameter: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (parameter, kind, _, _) in PARAMETERS.items()
    }
    node = Node(
        package="mono_depth_ros",
        executable="obstacle_distance",
        name="obstacle_distance",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        remappings=[(topic, LaunchConfiguration(name)) for name, (_, topic, _) in TOPICS.items()],
        output="screen",
        emulate_tty=True,
        respawn=True,
        respawn_delay=2.0,
    )
    return LaunchDescription([*arguments, node])

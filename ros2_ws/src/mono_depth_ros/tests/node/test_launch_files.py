"""The launch files run for real: launch starts the node, and ROS is asked what came of it."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

pytest.importorskip("launch_ros", reason="launch_ros is part of a ROS 2 installation only")
pytestmark = pytest.mark.ros

PACKAGE = Path(__file__).resolve().parents[2]
EXECUTABLES = {
    "depth_node": "depth_node.node",
    "camera_node": "cameras.camera_node",
    "synthetic_camera": "cameras.synthetic_camera",
    "viewer": "viewer.node",
}
PROFILE = str(PACKAGE / "config" / "fastdds_large_messages.xml")
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *arguments = sys.argv[1:]
source = PythonLaunchDescriptionSource(file)
pairs = [tuple(argument.split(":=", 1)) for argument in arguments]
service = LaunchService(noninteractive=True)
include = IncludeLaunchDescription(source, launch_arguments=pairs)
service.include_launch_description(LaunchDescription([include]))
sys.exit(service.run())
"""


@pytest.fixture
def start(ros: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Start a launch file as `ros2 launch` does; the executables run the code of this tree."""
    marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "mono_depth_ros"
    marker.parent.mkdir(parents=True)
    marker.touch()
    folder = tmp_path / "lib" / "mono_depth_ros"
    folder.mkdir(parents=True)
    for name, module in EXECUTABLES.items():
        file = folder / name
        file.write_text(f"#!{sys.executable}\nfrom mono_depth_ros.{module} import main\nmain()\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        ros.env.pop(name, None)
    prefixes = f"{tmp_path}:{ros.env.get('AMENT_PREFIX_PATH', '')}"

    def start(file: str, *arguments: str, **env: str) -> Any:
        path = str(PACKAGE / "launch" / file)
        environment = {"AMENT_PREFIX_PATH": prefixes, "ROS_LOG_DIR": str(tmp_path / "log"), **env}
        return ros.run("-c", RUN, path, *arguments, **environment)

    return start


def parameters_of(ros: Any, node_name: str, *names: str) -> list[Any]:
    """Ask a running node for its parameters, as `ros2 param get` does."""
    client = ros.node("asks").create_client(GetParameters, f"{node_name}/get_parameters")
    ros.wait_until(client.service_is_ready, 40.0, what=f"{node_name} answers")
    answer = client.call_async(GetParameters.Request(names=list(names)))
    ros.wait_until(answer.done, 40.0, what=f"{node_name} tells its parameters")
    readers = {1: "bool_value", 2: "integer_value", 3: "double_value", 4: "string_value"}
    return [getattr(value, readers[value.type]) for value in answer.result().values]


def process_of(executable: str, domain_id: int) -> tuple[int, dict[str, str]]:
    """Return number and environment of the process that launch started in this domain."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            entries = (process / "environ").read_text().split("\0")
        except OSError:
            continue
        environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        if f"/{executable}\0" in command and environment.get("ROS_DOMAIN_ID") == str(domain_id):
            return int(process.name), environment
    pytest.fail(f"no process {executable} in domain {domain_id}")


def environment_of(executable: str, domain_id: int) -> dict[str, str]:
    return process_of(executable, domain_id)[1]


def test_a_node_whose_process_ends_is_started_again(ros: Any, start: Callable[..., Any]) -> None:
    process = start("mono_depth.launch.py", "model:=nano", "device:=cpu", "respawn_delay_s:=0.1")
    parameters_of(ros, "/mono_depth", "model")
    before, _ = process_of("depth_node", ros.domain_id)
    os.kill(before, signal.SIGKILL)

    started = "depth_node-1]: process started"
    ros.wait_until(lambda: ros.output(process).count(started) == 2, 60.0, what="a second start")
    assert process_of("depth_node", ros.domain_id)[0] != before


def test_camera_info_is_looked_for_beside_the_image(ros: Any, start: Callable[..., Any]) -> None:
    start("mono_depth.launch.py", "image:=/eye/image_raw", "model:=nano", "device:=cpu")
    node = ros.node("looks")
    for topic in ("/eye/image_raw", "/eye/camera_info"):
        ros.wait_until(
            lambda topic=topic: node.get_subscriptions_info_by_topic(topic),
            60.0,
            what=f"the node subscribes to {topic}",
        )
    environment = environment_of("depth_node", ros.domain_id)
    assert {environment.get(name) for name in PROFILE_VARIABLES} == {PROFILE}


def test_topics_reach_the_node_and_compressed_images_come_from_beside_the_raw_ones(
    ros: Any, start: Callable[..., Any]
) -> None:
    start(
        "mono_depth.launch.py",
        "image:=/eye/image_raw",
        "camera_info:=/eye/right/info",
        "odom:=/vio/odom",
        "sparse_points:=/vio/landmarks",
        "sensor_depth:=/eye/aligned/compressedDepth",
        "imu:=/vio/imu",
        "image_transport:=compressed",
        "model:=nano",
        "device:=cpu",
    )
    node = ros.node("looks")
    for topic, kind in {
        "/eye/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
        "/eye/right/info": "sensor_msgs/msg/CameraInfo",
        "/vio/odom": "nav_msgs/msg/Odometry",
        "/vio/landmarks": "sensor_msgs/msg/PointCloud2",
        "/vio/imu": "sensor_msgs/msg/Imu",
        "/eye/aligned/compressedDepth": "sensor_msgs/msg/CompressedImage",
    }.items():
        ros.wait_until(
            lambda topic=topic: node.get_subscriptions_info_by_topic(topic),
            60.0,
            what=f"the node subscribes to {topic}",
        )
        assert [info.topic_type for info in node.get_subscriptions_info_by_topic(topic)] == [kind]


def test_an_image_topic_named_compressed_turns_the_transport_to_compressed(
    ros: Any, start: Callable[..., Any]
) -> None:
    start("mono_depth.launch.py", "image:=/eye/image_raw/compressed", "autostart:=false")
    assert parameters_of(ros, "/mono_depth", "image_transport") == ["compressed"]


def test_an_image_topic_named_compressed_is_compressed_and_a_contradiction_is_told(
    ros: Any, start: Callable[..., Any]
) -> None:
    process = start(
        "mono_depth.launch.py",
        "image:=/eye/image_raw/compressed",
        "image_transport:=raw",
        "rectify:=true",
        "model:=nano",
        "device:=cpu",
    )
    values = parameters_of(ros, "/mono_depth", "image_transport", "rectify")
    assert values == ["compressed", True]
    node = ros.node("looks")
    for topic in ("/eye/image_raw/compressed", "/eye/camera_info"):
        ros.wait_until(
            lambda topic=topic: node.get_subscriptions_info_by_topic(topic),
            60.0,
            what=f"the node subscribes to {topic}",
        )
    assert "image_transport:=raw is not taken" in ros.output(process)


def test_arguments_reach_the_node_and_empty_ones_leave_its_defaults(
    ros: Any, start: Callable[..., Any]
) -> None:
    start(
        "mono_depth.launch.py",
        "namespace:=front",
        "name:=eye",
        "device:=cpu",
        "registry:=mine.yaml",
        "autostart:=false",
        "use_sim_time:=true",
        "dds_profile:=",
    )
    names = ("device", "registry", "autostart", "use_sim_time", "model", "image_transport")
    values = parameters_of(ros, "/front/eye", *names)
    assert values == ["cpu", "mine.yaml", False, True, "auto", "raw"]
    environment = environment_of("depth_node", ros.domain_id)
    assert not set(PROFILE_VARIABLES) & set(environment)


def test_an_argument_wins_over_the_parameter_file_and_the_users_dds_profile_stays(
    ros: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    mine = {"autostart": False, "device": "cuda", "depth_encoding": "16UC1"}
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": mine}}))
    profile = tmp_path / "mine.xml"
    profile.write_text(Path(PROFILE).read_text())
    start(
        "mono_depth.launch.py",
        f"params_file:={file}",
        "device:=cpu",
        FASTRTPS_DEFAULT_PROFILES_FILE=str(profile),
    )
    values = parameters_of(ros, "/mono_depth", "autostart", "device", "depth_encoding")
    assert values == [False, "cpu", "16UC1"]
    environment = environment_of("depth_node", ros.domain_id)
    assert environment.get("FASTRTPS_DEFAULT_PROFILES_FILE") == str(profile)
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in environment


def test_demo_makes_depth_of_a_folder_of_images(
    ros: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.full((48, 64, 3), 90, np.uint8))
    start("demo.launch.py", f"source:={folder}", "rviz:=false", "model:=nano", "device:=cpu")
    assert_depth_arrives(ros)


@pytest.mark.slow
def test_demo_makes_depth_of_the_synthetic_camera(ros: Any, start: Callable[..., Any]) -> None:
    start("demo.launch.py", "rviz:=false", "model:=nano", "device:=cpu")
    assert_depth_arrives(ros)
    topics = [name for name, _ in ros.node("lists").get_topic_names_and_types()]
    assert "/camera/camera_info" in topics
    assert "/camera/odom" in topics
    assert "/odom" not in topics


def assert_depth_arrives(ros: Any) -> None:
    received: list[Image] = []
    ros.node("looks").create_subscription(Image, "/mono_depth/depth/image", received.append, 1)
    ros.wait_until(lambda: received, 120.0, what="a depth image arrives")
    assert received[0].encoding == "32FC1"
    assert received[0].header.frame_id == "camera_optical_frame"


def test_demo_goes_on_without_rviz_and_says_so(
    ros: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    process = start("demo.launch.py", "source:=none", AMENT_PREFIX_PATH=str(tmp_path))
    ros.wait_until(lambda: "no view" in ros.output(process), 60.0, what="the missing view is told")
    ros.wait_until(
        lambda: "depth_node-1]: process started" in ros.output(process),
        60.0,
        what="the depth node starts",
    )
    assert "rviz2' not found" in ros.output(process)

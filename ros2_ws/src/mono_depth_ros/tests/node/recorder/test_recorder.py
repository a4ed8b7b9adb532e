from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from mono_depth.errors import ConfigError
from mono_depth_ros.codec.encode import encode_cloud, encode_depth, encode_mono_float, encode_rgb
from mono_depth_ros.rclpy_support.qos import output_qos
from mono_depth_ros.recorder.node import Recorder
from mono_depth_ros.recorder.recording import Recording
from mono_depth_ros.recorder.summary_table import describe
from mono_depth_ros.recorder.video import cloud_points

pytestmark = pytest.mark.ros

WIDTH, HEIGHT = 64, 48
RED = np.full((HEIGHT, WIDTH, 3), (200, 30, 30), np.uint8)
MS = 1_000_000


class Robot:
    """Publishes a camera and the outputs of a depth node, as the test says."""

    def __init__(self, ros):
        self.node = node = ros.node("robot")
        self.image = node.create_publisher(Image, "image", output_qos())
        self.depth = node.create_publisher(Image, "mono_depth/depth/image", output_qos())
        self.relative = node.create_publisher(Image, "mono_depth/relative/image", output_qos())
        self.points = node.create_publisher(PointCloud2, "mono_depth/points", output_qos())
        self.diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def header(self, age_ms: float = 0.0) -> Header:
        now_ns = self.node.get_clock().now().nanoseconds
        stamp = Time(nanoseconds=now_ns - int(age_ms * MS)).to_msg()
        return Header(stamp=stamp, frame_id="camera_optical_frame")

    def send_image(self, header: Header) -> None:
        self.image.publish(encode_rgb(RED, header))

    def send_depth(self, header: Header, metres: float = 2.0) -> None:
        self.depth.publish(encode_depth(np.full((HEIGHT, WIDTH), metres, np.float32), header))

    def send_points(self, header: Header) -> None:
        cloud = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        cloud[..., 0], cloud[..., 1] = np.meshgrid(
            np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT)
        )
        cloud[..., 2] = 2.0
        cloud[..., 3] = np.array([0x00C81E1E], np.uint32).view(np.float32)
        cloud[0, 0, :3] = np.nan
        self.points.publish(encode_cloud(cloud, header, has_rgb=True))

    def diagnose(self, **values: object) -> None:
        pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        status = DiagnosticStatus(name="mono_depth: stream", values=pairs)
        other = DiagnosticStatus(name="lidar: stream", values=[KeyValue(key="model", value="no")])
        self.diagnostics.publish(DiagnosticArray(status=[status, other]))


@pytest.fixture
def robot(ros):
    return Robot(ros)


def recorder(ros, robot, folder, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    overrides.append(Parameter("output", value=str(folder)))
    node = ros.add(Recorder(context=ros.context, parameter_overrides=overrides))
    topics = [robot.image, robot.depth, robot.diagnostics]
    ros.wait_until(lambda: all(p.get_subscription_count() for p in topics), what="discovery")
    return node


def frames(node, channel: str) -> int:
    return len(node.recording.channels[channel].stamps_ns)


def summary(folder) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_a_recording_leaves_video_image_cloud_and_measurements(ros, robot, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    node = recorder(ros, robot, tmp_path)
    ros.wait_until(robot.points.get_subscription_count)
    for count in range(1, 7):
        header = robot.header(age_ms=30.0)
        robot.send_image(header)
        robot.send_depth(header)
        robot.send_points(header)
        ros.wait_until(lambda count=count: frames(node, "points") == count)
    robot.diagnose(published=6, dropped=0, model="tiny", device="cpu", scale_state="valid")
    ros.wait_until(lambda: node.recording.facts.get("model") == "tiny")
    node.close()
    found = summary(tmp_path)
    assert {name: found[name]["frames"] for name in ("camera", "depth", "points")} == {
        "camera": 6, "depth": 6, "points": 6
    }  # fmt: skip
    assert found["kept_moments"] == 6
    best = cv2.imread(str(tmp_path / "best.png"))
    assert best.shape == (720, 480 + 960, 3)
    assert best[200, 100] == pytest.approx([30, 30, 200], abs=3)  # the red camera image
    video = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert (tmp_path / "cloud.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")


def test_latency_is_counted_from_the_stamp_to_the_arrival(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path)
    for count in range(1, 6):
        header = robot.header(age_ms=250.0)
        robot.send_depth(header)
        ros.wait_until(lambda count=count: frames(node, "depth") == count)
    node.close()
    assert 250.0 <= summary(tmp_path)["depth"]["latency_p50_ms"] < 350.0


def test_a_camera_image_without_depth_is_unanswered(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path)
    headers = [robot.header() for _ in range(3)]
    for header in headers:
        robot.send_image(header)
    robot.send_depth(headers[0])
    robot.send_depth(headers[2])
    ros.wait_until(lambda: frames(node, "camera") == 3 and frames(node, "depth") == 2)
    node.close()
    assert summary(tmp_path)["unanswered"] == 1


def test_drops_and_losses_come_from_the_node_s_own_counters(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path)
    robot.diagnose(published=10, dropped=4)
    ros.wait_until(lambda: "published" in node.recording.facts)
    robot.send_depth(robot.header())
    ros.wait_until(lambda: frames(node, "depth") == 1)
    robot.diagnose(published=13, dropped=6)  # three were published, one came
    ros.wait_until(lambda: node.recording.facts["published"] == "13")
    node.close()
    found = summary(tmp_path)
    assert (found["dropped"], found["lost"]) == (2, 2)


def test_without_diagnostics_drops_and_losses_are_unknown():
    found = Recording(max_moments=1).summary()
    assert (found["dropped"], found["lost"]) == (None, None)
    assert "unknown number of depth images" in describe(found)


def test_without_metres_relative_depth_is_recorded(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path)
    assert robot.relative.get_subscription_count() == 0
    robot.diagnose(scale_state="uninitialised", scale_reason="the model gives no metres")
    ros.wait_until(robot.relative.get_subscription_count)
    header = robot.header()
    robot.send_image(header)
    robot.relative.publish(
        encode_mono_float(
            np.linspace(0, 1, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH), header
        )
    )
    ros.wait_until(lambda: frames(node, "depth") == 1 and frames(node, "camera") == 1)
    node.close()
    assert cv2.imread(str(tmp_path / "best.png")).shape == (360, 960, 3)  # camera beside depth
    assert "no metres: the model gives no metres" in describe(summary(tmp_path))


@pytest.mark.parametrize(
    ("state", "planner_use", "expected"),
    [
        ("valid", "mark_and_clear", "scale    metres from sparse_points\n"),
        ("held", "mark", "scale    metres from sparse_points, held: measured before\n"),
        ("degraded", "mark", "scale    metres from sparse_points, degraded: measured before\n"),
        ("lost", "none", "scale    no metres: measured before\n"),
    ],
)
def test_the_table_says_what_the_metres_are_worth(state, planner_use, expected):
    recording = Recording(max_moments=1)
    recording.on_diagnosis(
        {
            "scale_source": "sparse_points",
            "scale_state": state,
            "scale_reason": "measured before",
            "planner_use": planner_use,
        }
    )
    found = recording.summary()
    assert found["scale"]["planner_use"] == planner_use
    assert expected in describe(found)


def test_it_finishes_after_the_given_time_of_depth(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path, seconds=2.0)
    robot.send_depth(robot.header(age_ms=2500.0))
    ros.wait_until(lambda: frames(node, "depth") == 1)
    assert not node.finished.is_set()
    robot.send_depth(robot.header())
    ros.wait_until(node.finished.is_set)
    node.close()


def test_the_live_image_appears_while_it_records(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path)
    header = robot.header()
    robot.send_image(header)
    robot.send_depth(header)
    ros.wait_until((tmp_path / "latest.png").exists)
    assert cv2.imread(str(tmp_path / "latest.png")) is not None
    node.close()


def test_live_points_and_video_can_be_switched_off(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path, live=False, points=False, max_moments=0)
    assert robot.points.get_subscription_count() == 0
    header = robot.header()
    robot.send_image(header)
    robot.send_depth(header)
    ros.wait_until(lambda: frames(node, "depth") == 1)
    node.close()
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_memory_is_bounded_and_measuring_goes_on(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path, max_moments=2, live=False)
    for count in range(1, 6):
        header = robot.header()
        robot.send_image(header)
        robot.send_depth(header)
        ros.wait_until(lambda count=count: frames(node, "depth") == count)
        ros.wait_until(lambda count=count: frames(node, "camera") == count)
    node.close()
    found = summary(tmp_path)
    assert (found["depth"]["frames"], found["kept_moments"]) == (5, 2)


def test_images_whose_depth_never_comes_make_room():
    recording = Recording(max_moments=3)
    image, depth = RED, np.ones((HEIGHT, WIDTH), np.float32)
    for second in range(20):
        moment = recording.moment(second * 1000 * MS)
        moment.rgb = image
        if second in (4, 15):
            moment.depth = depth
    assert [m.stamp_ns for m in recording.complete_moments()] == [4000 * MS, 15000 * MS]
    unanswered_in_memory = len(recording._moments) - 2
    assert unanswered_in_memory <= 6


def test_without_any_message_there_is_a_summary_that_says_so(ros, robot, tmp_path):
    node = recorder(ros, robot, tmp_path)
    node.close()
    assert summary(tmp_path)["depth"] == {
        "frames": 0,
        "rate_hz": None,
        "latency_p50_ms": None,
        "latency_p99_ms": None,
        "latency_max_ms": None,
    }


def test_an_output_that_is_a_file_is_refused(ros, tmp_path):
    (tmp_path / "taken").write_text("")
    overrides = [Parameter("output", value=str(tmp_path / "taken"))]
    with pytest.raises(ConfigError, match=r"output '.*taken' cannot be made"):
        Recorder(context=ros.context, parameter_overrides=overrides)


def test_colors_of_a_cloud_come_out_as_red_green_blue():
    cloud = np.array([[[1.0, 2.0, 3.0, 0.0], [np.nan, 0.0, 0.0, 0.0]]], np.float32)
    cloud[0, 0, 3] = np.array(0x00112233, np.uint32).view(np.float32)
    points, colors = cloud_points(cloud)
    np.testing.assert_array_equal(points, [[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(colors, [[0x11, 0x22, 0x33]])
    _, white = cloud_points(cloud[..., :3])
    np.testing.assert_array_equal(white, [[255, 255, 255]])


def test_an_interrupt_ends_the_executable_with_its_results(ros, robot, tmp_path):
    process = ros.run(
        "-m", "mono_depth_ros.recorder.node", "--ros-args", "-p", f"output:={tmp_path / 'out'}"
    )
    ros.wait_until(robot.depth.get_subscription_count, 30.0)
    ros.wait_until(robot.image.get_subscription_count, 30.0)

    def is_recording() -> bool:
        header = robot.header()
        robot.send_image(header)
        robot.send_depth(header)
        return (tmp_path / "out" / "latest.png").exists()

    ros.wait_until(is_recording, 30.0)
    process.send_signal(2)
    assert process.wait(20.0) == 0
    assert summary(tmp_path / "out")["depth"]["frames"] > 0

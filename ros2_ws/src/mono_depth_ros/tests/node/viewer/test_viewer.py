"""The viewer on a real middleware: what a browser gets, and what the depth node notices of it."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

pytest.importorskip("fastapi", reason="the extra web brings fastapi")

from mono_depth.errors import ConfigError, FrameError
from mono_depth.runs.depth_bag import quaternion_of
from mono_depth_ros.codec.encode import encode_cloud, encode_depth, encode_landmarks, encode_rgb
from mono_depth_ros.rclpy_support.qos import output_qos
from mono_depth_ros.viewer.channels import cloud_bytes, depth_cloud_bytes, status_bytes
from mono_depth_ros.viewer.node import Viewer, ViewerConfig
from web_client import Client, image, npy

pytestmark = pytest.mark.ros

ALL = "camera,depth,points,scan,landmarks,status"


def header(frame_id: str = "camera") -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec = 7
    return made


@contextmanager
def looking(address: str, channels: str = ALL) -> Iterator[socket.socket]:
    """A browser that asks to be told, and reads nothing."""
    host, port = urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as link:
        head = f"GET /live/events?channels={channels} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        link.sendall(head.encode())
        yield link


class Bench:
    """The viewer, and one who publishes as the depth node does."""

    def __init__(self, ros: Any, **parameters: Any) -> None:
        self.ros, self.peer = ros, ros.node("peer")
        kinds = {
            "image": Image,
            "mono_depth/depth/image": Image,
            "mono_depth/depth/camera_info": CameraInfo,
            "mono_depth/landmarks": PointCloud2,
            "mono_depth/scan": LaserScan,
            "mono_depth/level_frame": TransformStamped,
            "/diagnostics": DiagnosticArray,
        }
        self.out = {
            name.removeprefix("mono_depth/"): self.peer.create_publisher(kind, name, output_qos())
            for name, kind in kinds.items()
        }
        chosen = {"port": 0, "rate_hz": 50.0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in chosen.items()]
        self.viewer = ros.add(Viewer(context=ros.context, parameter_overrides=overrides))
        self.client = Client(self.viewer.server.address)

    def heard(self) -> int:
        return sum(item.get_subscription_count() for item in self.out.values())

    def publish(self, name: str, message: Any, channel: str) -> Any:
        """Publish until the viewer has it, and return what a browser gets."""
        before = self.viewer.state.newest(channel)
        seq = 0 if before is None else before.seq

        def has_come() -> bool:
            self.out[name].publish(message)
            time.sleep(0.02)
            newest = self.viewer.state.newest(channel)
            return newest is not None and newest.seq > seq

        self.ros.wait_until(has_come, what=f"{channel} in the viewer")
        answer = self.client.get(f"/live/{channel}")
        assert answer.status == 200, answer.body
        return answer


@pytest.fixture(scope="module")
def bench(shared_ros: Any) -> Iterator[Bench]:
    made = Bench(shared_ros)
    yield made
    made.viewer.server.close()


def test_a_browser_gets_what_the_depth_node_publishes(bench):
    with looking(bench.client.address):
        bench.ros.wait_until(lambda: bench.heard() == len(bench.out), what="subscriptions")
        rgb = np.full((60, 80, 3), (200, 10, 10), np.uint8)
        answer = bench.publish("image", encode_rgb(rgb, header()), "camera")
        assert answer.headers["x-stamp-ns"] == "7000000000"
        np.testing.assert_allclose(image(answer.body)[30, 40], (10, 10, 200), atol=6)

        depth_m = np.full((60, 80), 2.5, np.float32)
        depth_m[0, 0] = np.nan
        stored = npy(bench.publish("depth/image", encode_depth(depth_m, header()), "depth").body)
        assert (stored[0, 0], stored[30, 40]) == (0, 2500)

        info = CameraInfo(header=header(), width=80, height=60)
        info.k = [40.0, 0.0, 39.5, 0.0, 40.0, 29.5, 0.0, 0.0, 1.0]
        for _ in range(200):
            bench.out["depth/camera_info"].publish(info)
            time.sleep(0.02)
            if bench.viewer.has_camera:
                break
        message = encode_depth(depth_m, header())
        seen = npy(bench.publish("depth/image", message, "points").body)
        assert len(seen) > 1000
        np.testing.assert_allclose(seen[:, 0], 2.5, atol=0.001)  # ahead
        assert (seen[0, 1], seen[0, 2]) > (1.0, 1.0)  # left and up, as the first pixels are

        landmarks = encode_landmarks(np.array([[0.0, 0.0, 3.0, 0.1]], np.float32), header())
        seen = npy(bench.publish("landmarks", landmarks, "landmarks").body)
        np.testing.assert_allclose(seen, [[3.0, 0.0, 0.0]])

        scan = LaserScan(header=header("level"), angle_min=-0.1, angle_increment=0.1)
        scan.range_max, scan.ranges = 8.0, [1.0, float("inf"), float("nan")]
        seen = bench.publish("scan", scan, "scan").json
        assert (seen["ranges_m"], seen["clear"]) == ([1.0, None, None], [1])

        status = DiagnosticStatus(name="mono_depth: stream", message="all is well")
        status.values = [KeyValue(key="scale_state", value="valid")]
        seen = bench.publish(
            "/diagnostics", DiagnosticArray(header=header(), status=[status]), "status"
        ).json
        assert seen == {"stream": "OK: all is well", "scale state": "valid"}


def test_nothing_is_listened_to_while_nobody_looks_and_only_what_is_shown(bench):
    bench.ros.wait_until(lambda: bench.heard() == 0, what="no subscription")
    with looking(bench.client.address, "scan"):
        bench.ros.wait_until(lambda: bench.heard() == 1, what="one subscription")
        assert bench.out["scan"].get_subscription_count() == 1
    bench.ros.wait_until(lambda: bench.heard() == 0, what="no subscription")
    assert bench.client.get("/live/scan").status == 204  # what is old is not shown for new


def test_a_cloud_of_a_tilted_camera_is_turned_level():
    level = TransformStamped(header=header())
    half = np.radians(-90.0) / 2  # the frame of the cloud is that of a body, pitched
    level.transform.rotation.y, level.transform.rotation.w = np.sin(half), np.cos(half)
    cloud = encode_cloud(np.array([[[0.0, 1.0, 4.0]]], np.float32), header(), has_rgb=False)

    seen = npy(cloud_bytes(cloud, 10, level))

    np.testing.assert_allclose(np.linalg.norm(seen), np.hypot(1.0, 4.0), rtol=1e-6)
    np.testing.assert_allclose(seen, [[4.0, 1.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("is_body", [False, True])
def test_depth_of_a_camera_that_looks_down_is_turned_level(is_body):
    """A floor 1 m below a camera that is pitched by 40 degrees is level in the view from above."""
    pitch = np.radians(40.0)
    R_level_ahead = np.array(  # x of the camera's axes looks down
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    R_ahead_optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    R_level_parent = R_level_ahead if is_body else R_level_ahead @ R_ahead_optical
    level = TransformStamped(header=header())
    x, y, z, w = quaternion_of(R_level_parent.T)
    turn = level.transform.rotation
    turn.x, turn.y, turn.z, turn.w = x, y, z, w
    info = CameraInfo(width=80, height=60)
    info.k = [80.0, 0.0, 39.5, 0.0, 80.0, 29.5, 0.0, 0.0, 1.0]
    up = (29.5 - np.arange(60)) / 80.0
    down = np.sin(pitch) - up * np.cos(pitch)
    depth_m = np.repeat((1.0 / down)[:, None], 80, 1).astype(np.float32)

    seen = npy(depth_cloud_bytes(encode_depth(depth_m, header()), info, 5000, level))

    np.testing.assert_allclose(seen[:, 2], -1.0, atol=1e-3)


def test_a_cloud_of_another_kind_is_refused_and_diagnostics_of_others_are_no_status():
    cloud = encode_cloud(np.zeros((1, 1, 3), np.float32), header(), has_rgb=False)
    cloud.fields[0].name = "intensity"
    blind = encode_depth(np.ones((6, 8), np.float32), header())
    with pytest.raises(FrameError, match="without a focal length"):
        depth_cloud_bytes(blind, CameraInfo(), 10, None)
    with pytest.raises(FrameError, match="without x, y and z"):
        cloud_bytes(cloud, 10, None)
    others = DiagnosticArray(status=[DiagnosticStatus(name="battery: cells")])
    assert status_bytes(others, "mono_depth") is None
    of_robot = DiagnosticArray(status=[DiagnosticStatus(name="robot1/mono_depth: model")])
    assert json.loads(status_bytes(of_robot, "mono_depth")) == {"model": "OK: "}


def test_a_viewer_for_other_machines_needs_a_good_token(shared_ros):
    with pytest.raises(ConfigError, match="a token has 16 or more"):
        ViewerConfig(token="short")
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached"):
        Viewer(
            context=shared_ros.context,
            parameter_overrides=[Parameter("host", value="0.0.0.0"), Parameter("port", value=0)],
        )


@pytest.mark.acceptance
def test_a_slow_browser_changes_neither_counts_nor_latency_of_the_node(
    depth_bench: Callable[..., Any], ros: Any
):
    """The viewer is a process of its own; its browser asks for everything and reads nothing."""
    bench = depth_bench()
    rgb = np.random.default_rng(0).integers(60, 200, (480, 640, 3), np.uint8)
    bench.calibrate(640, 480)
    # what the viewer listens to is made for others, too: that is the cost of looking, whoever does
    bench.listen("depth/image", "depth/camera_info", "landmarks", "level_frame", "scan")
    alone_ms = latencies_ms(bench, rgb)
    process = ros.run(
        "-m", "mono_depth_ros.viewer.node", "--ros-args", "-p", "port:=0", "-p", "width:=640"
    )
    ros.wait_until(lambda: "page: http" in ros.output(process), 120.0, what="the page")
    address = ros.output(process).partition("page: ")[2].split()[0]
    depth = next(p for p in bench.node.publishers if p.topic_name == "/mono_depth/depth/image")
    with looking(address), looking(address):
        ros.wait_until(
            lambda: depth.get_subscription_count() == 2, what="subscription of the viewer"
        )
        watched_ms = latencies_ms(bench, rgb)
        assert Client(address).get("/live/depth").status == 200
    stats = bench.settle()
    print(f"median {alone_ms:.1f} ms alone, {watched_ms:.1f} ms with two slow browsers")
    assert (stats.dropped, stats.skipped) == (0, 0)
    assert watched_ms < 1.5 * alone_ms + 10.0


def latencies_ms(bench: Any, rgb: np.ndarray) -> float:
    """Return the median time from sending an image to when all of it is published."""
    spent = []
    for _ in range(40):
        message = bench.image(rgb)
        start_s = time.perf_counter()
        bench.process(message)
        spent.append(1e3 * (time.perf_counter() - start_s))
    return statistics.median(spent[5:])

"""What a user means by an image topic and its transport; the same for node and launch files."""

from __future__ import annotations

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from mono_depth_ros.rclpy_support.image_topic import ImageTopic

pytestmark = pytest.mark.ros

PACKAGE = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("given", "transport", "name", "used"),
    [
        ("/cam/image_raw", "", "/cam/image_raw", "raw"),
        ("/cam/image_raw", "raw", "/cam/image_raw", "raw"),
        ("/cam/image_raw", "compressed", "/cam/image_raw/compressed", "compressed"),
        ("/cam/image_raw/compressed", "", "/cam/image_raw/compressed", "compressed"),
        ("/cam/image_raw/compressed", "raw", "/cam/image_raw/compressed", "compressed"),
        ("/cam/image_raw/compressed", "compressed", "/cam/image_raw/compressed", "compressed"),
        ("", "", "", "raw"),
    ],
)
def test_a_topic_named_compressed_is_compressed_and_else_the_transport_counts(
    given: str, transport: str, name: str, used: str
) -> None:
    topic = ImageTopic.of(given, transport)
    assert (topic.name, topic.transport) == (name, used)


def test_calibration_lies_beside_the_image_whatever_its_transport() -> None:
    for given in ("/cam/image_raw", "/cam/image_raw/compressed"):
        assert ImageTopic.of(given, "").camera_info == "/cam/camera_info"
    assert ImageTopic.of("image", "").camera_info == "camera_info"


def test_the_rule_imports_nothing_of_ros() -> None:
    source = (PACKAGE / "mono_depth_ros" / "rclpy_support" / "image_topic.py").read_text()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imports} == {"__future__", "typing"}


def compressed(bench) -> CompressedImage:
    pixels = np.arange(100, 148, dtype=np.uint8).reshape(6, 8).repeat(3).reshape(6, 8, 3)
    plain = bench.image(pixels)
    png = cv2.imencode(".png", pixels)[1]
    return CompressedImage(header=plain.header, format="png", data=png.tobytes())


def test_remapped_to_a_compressed_topic_the_node_takes_compressed_images(depth_bench):
    bench = started(depth_bench(active=False, cli=["-r", "image:=/eye/image_raw/compressed"]))
    bench.wait_for_log("is the compressed transport by its name: subscribing to CompressedImage")
    camera = bench.peer.create_publisher(CompressedImage, "/eye/image_raw/compressed", 5)
    assert_images_come(bench, camera)


def test_with_the_compressed_transport_the_topic_beside_the_image_is_heard(depth_bench):
    bench = started(
        depth_bench(active=False, cli=["-r", "image:=/eye/image_raw"], image_transport="compressed")
    )
    camera = bench.peer.create_publisher(CompressedImage, "/eye/image_raw/compressed", 5)
    assert_images_come(bench, camera)


def started(bench):
    assert bench.change_state("configure")
    assert bench.change_state("activate")
    return bench


def assert_images_come(bench, camera) -> None:
    bench.ros.wait_until(camera.get_subscription_count, what="the node subscribes")
    bench.listen("relative/image")
    sent = compressed(bench)
    camera.publish(sent)
    assert bench.output("relative/image", sent).width == 8

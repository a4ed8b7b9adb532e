"""A camera for measurements: everything is prepared beforehand, so that sending is all it does."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import Header

from mono_depth.bench.soft_noise import soft_noise
from mono_depth.commands.options import image_size
from mono_depth.data import Intrinsics, RgbImage
from mono_depth.recordings.images import load_images
from mono_depth_ros.cameras.pacing import Pacer
from mono_depth_ros.codec.camera_info import camera_info_from
from mono_depth_ros.codec.encode import encode_rgb
from mono_depth_ros.rclpy_support.qos import output_qos

_FRAME_ID = "camera_optical_frame"


def main(argv: Sequence[str] | None = None) -> None:
    """Send images at a rate for a while; print how many as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--size", type=image_size, default=(640, 480))
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args(argv)
    images = load_images(args.images) if args.images else soft_noise(*args.size)
    rclpy.init()
    node = Node("bench_source")
    try:
        sent = _send(node, images, rate_hz=args.rate, count=round(args.rate * args.seconds))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    json.dump({"sent": sent}, sys.stdout)


def _send(node: Node, images: Sequence[RgbImage], *, rate_hz: float, count: int) -> int:
    # Imported here, so that --help works where only the library is installed.
    from sensor_msgs.msg import CameraInfo, Image

    info = camera_info_from(Intrinsics.assumed_for(images[0]), Header(frame_id=_FRAME_ID))
    messages = [encode_rgb(image, Header(frame_id=_FRAME_ID)) for image in images]
    info_out = node.create_publisher(CameraInfo, "camera_info", output_qos())
    image_out = node.create_publisher(Image, "image", output_qos())
    while not image_out.get_subscription_count() or not info_out.get_subscription_count():
        time.sleep(0.02)
    pacer, stop, clock = Pacer(rate_hz), threading.Event(), node.get_clock()
    for index in range(count):
        pacer.wait(stop)
        message = messages[index % len(messages)]
        message.header.stamp = info.header.stamp = clock.now().to_msg()
        info_out.publish(info)
        image_out.publish(message)
    image_out.wait_for_all_acked(Duration(seconds=2.0))
    # The node may still look for its publisher's last image when this process is gone.
    time.sleep(0.5)
    return count


if __name__ == "__main__":
    main()

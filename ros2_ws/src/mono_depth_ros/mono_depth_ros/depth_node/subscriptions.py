"""What the depth node subscribes to while it is active."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, PointCloud2

from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node.input_watch import InputWatch, type_name
from mono_depth_ros.depth_node.stream import DepthStream
from mono_depth_ros.rclpy_support.image_topic import ImageTopic
from mono_depth_ros.rclpy_support.qos import input_qos, overridable, subscription_events, tf_qos
from mono_depth_ros.sensors.camera_poses import CameraPoses

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # there is no wheel of it
    TFMessage = None


def subscribe_all(
    node: Node,
    stream: DepthStream,
    config: NodeConfig,
    on_info: Callable[[CameraInfo], None],
) -> list[Any]:
    """Subscribe a stream to everything that it can use; the image comes last."""
    for name, tally in stream.inputs.items():
        tally.topic = node.resolve_topic_name("/tf" if name == "tf" else name)
    return [
        *_pose_inputs(node, stream, config),
        subscribe(node, PointCloud2, "sparse_points", stream.set_points),
        _depth_input(node, stream),
        subscribe(node, CameraInfo, "camera_info", on_info),
        *_image_inputs(node, stream, config),
    ]


def _image_inputs(node: Node, stream: DepthStream, config: NodeConfig) -> list[Any]:
    """Subscribe to the image; compressed ones come on the topic that is given, or beside it."""
    given = node.resolve_topic_name("image")
    topic = ImageTopic.of(given, config.image_transport)
    if topic.transport != config.image_transport:
        node.get_logger().info(
            f"{given} is the compressed transport by its name: subscribing to CompressedImage, "
            f"although image_transport is {config.image_transport}"
        )
    message = CompressedImage if topic.is_compressed else Image
    names = ["image"] if given == topic.name else [topic.name, "image"]
    stream.inputs["image"].topic = topic.name
    return [subscribe(node, message, name, stream.submit) for name in names]


def watch_inputs(node: Node, stream: DepthStream, subscriptions: Iterable[Any]) -> InputWatch:
    """Watch those inputs that were subscribed to."""
    types = {item.topic_name: type_name(item.msg_type) for item in subscriptions}
    heard = {
        name: {
            topic: types[topic]
            for topic in (tally.topic, node.resolve_topic_name(name))
            if topic in types
        }
        for name, tally in stream.inputs.items()
    }
    return InputWatch(node, stream.inputs, {name: by for name, by in heard.items() if by})


def subscribe(
    node: Node,
    message: type,
    name: str,
    callback: Callable[[Any], None],
    *,
    depth: int = 1,
) -> Any:  # noqa: ANN401 - rclpy is untyped
    """Subscribe to a sensor topic; the newest `depth` messages wait."""
    return node.create_subscription(
        message,
        name,
        callback,
        input_qos(depth),
        event_callbacks=subscription_events(node, node.resolve_topic_name(name)),
        qos_overriding_options=overridable(),
    )


def _pose_inputs(node: Node, stream: DepthStream, config: NodeConfig) -> list[Any]:
    source, poses, inputs = config.odometry.source, stream.poses, []
    if source == "odom":
        inputs.append(subscribe(node, Odometry, "odom", poses.on_odometry, depth=50))
    if stream.gravity is not None:
        inputs.append(subscribe(node, Imu, "imu", stream.gravity.on_imu, depth=200))
    if source == "none" and stream.gravity is None:
        return inputs
    if TFMessage is None:
        poses.tree.is_static_heard = False
        node.get_logger().info("tf2_msgs is not installed: /tf and /tf_static are not heard")
        return inputs
    inputs.append(_subscribe_tf(node, "/tf_static", poses, static=True))
    if source == "tf":
        inputs.append(_subscribe_tf(node, "/tf", poses, static=False))
    return inputs


def _depth_input(node: Node, stream: DepthStream) -> Any:  # noqa: ANN401
    """Subscribe to depth of a depth camera; image_transport names a topic by its transport."""
    topic = node.resolve_topic_name("sensor_depth")
    message = CompressedImage if topic.endswith("/compressedDepth") else Image
    return subscribe(node, message, "sensor_depth", stream.sensor_depth.on_depth, depth=5)


def _subscribe_tf(node: Node, topic: str, poses: CameraPoses, *, static: bool) -> Any:  # noqa: ANN401
    return node.create_subscription(
        TFMessage,
        topic,
        lambda msg: poses.on_transforms(msg.transforms, static=static),
        tf_qos(static=static),
    )

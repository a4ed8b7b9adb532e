"""The topics of the depth node: one publisher each, and work only for those with subscribers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from mono_depth.data import Intrinsics
from mono_depth.display.colormap import DisplayRange, blend, colorize_depth, tint_holes
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.holes import HoleReason
from mono_depth.outputs.landmarks import landmark_rows
from mono_depth.outputs.point_cloud import CloudBuilder
from mono_depth_ros.codec import encode
from mono_depth_ros.codec.camera_info import camera_info_from
from mono_depth_ros.config import ColorConfig, NodeConfig
from mono_depth_ros.depth_node.robot_outputs import ROBOT_TOPICS, RobotOutputs
from mono_depth_ros.rclpy_support.qos import output_qos, overridable, publisher_events

# Topic under the node's name -> message type, in the order of publishing: what a robot steers
# by goes out first.
TOPICS: dict[str, type] = {
    **ROBOT_TOPICS,
    "depth/camera_info": CameraInfo,
    "depth/image": Image,
    "points": PointCloud2,
    "confidence": Image,
    "relative/image": Image,
    "depth/image/compressedDepth": CompressedImage,
    "depth/color": Image,
    "completion/mask": Image,
    "completion/color": Image,
    "landmarks": PointCloud2,
}

# Of completion/mask: 0 = depth was known, all else = filled in.
_GREYS = np.zeros(256, np.uint8)
_GREYS[[HoleReason.HOLE, HoleReason.EDGE, HoleReason.UNSURE]] = 255, 170, 85

_LEAST_RANGE = 1.1  # far / near of the colours


class HostResult:
    """The maps of a result in the memory of the CPU, each brought over once, when first used."""

    def __init__(self, result: DepthResult) -> None:
        self.result = result

    @cached_property
    def depth_m(self) -> npt.NDArray[np.float32] | None:
        """(H, W) metres, None without a metric scale."""
        return None if self.result.depth_m is None else _host(self.result.depth_m)

    @cached_property
    def relative(self) -> npt.NDArray[np.float32]:
        """(H, W) inverse depth without unit."""
        return _host(self.result.relative)

    @cached_property
    def hole_reasons(self) -> npt.NDArray[np.uint8] | None:
        """(H, W) of `HoleReason`, None where nothing was completed."""
        return None if self.result.hole_reasons is None else self.result.hole_reasons.cpu().numpy()


class DepthPublishers:
    """Publishes what has subscribers. Encodes on the worker thread."""

    def __init__(self, node: LifecycleNode) -> None:
        self._publishers = {name: _publisher(node, name) for name in TOPICS}
        self._cloud_builder = CloudBuilder()
        self._display_range = DisplayRange()
        self._info: tuple[Intrinsics, CameraInfo] | None = None  # of the newest frame
        self._cloud: PointCloud2 | None = None  # the newest one published
        self._robot = RobotOutputs(node)
        self._encoders: dict[str, Callable[[HostResult, Header, NodeConfig], Any]] = {
            "level_frame": self._level_frame,
            "scan": self._scan,
            "points_obstacles": self._obstacles,
            "points_clearing": self._clearing,
            "depth/camera_info": self._camera_info,
            "depth/image": self._depth,
            "points": self._points,
            "confidence": self._confidence,
            "relative/image": self._relative,
            "depth/image/compressedDepth": self._compressed_depth,
            "depth/color": self._color,
            "completion/mask": self._completion_mask,
            "completion/color": self._completion_color,
            "landmarks": self._landmarks,
        }

    def wanted(self) -> list[str]:
        """Return the topics that have subscribers, in the order of publishing."""
        return [
            name
            for name, publisher in self._publishers.items()
            if publisher.get_subscription_count() > 0
        ]

    def publish(
        self, host: HostResult, header: Header, config: NodeConfig, wanted: list[str]
    ) -> dict[str, float]:
        """Publish the wanted outputs of one frame.

        Returns:
            Time of each output to encode and publish [ms].
        """
        spent_ms: dict[str, float] = {}
        for name in wanted:
            start_s = time.perf_counter()
            message = self._encoders[name](host, header, config)
            if message is not None:
                self._publishers[name].publish(message)
                spent_ms[name] = (time.perf_counter() - start_s) * 1e3
        return spent_ms

    @property
    def silence(self) -> str:
        """Why scan or obstacles of the newest frame they were wanted of are missing, "" = not."""
        return self._robot.silence

    def reset(self) -> None:
        """Forget what images of earlier frames looked like."""
        self._robot.reset()
        self._display_range = DisplayRange()

    def destroy(self, node: LifecycleNode) -> None:
        """Remove every publisher from the node."""
        self._robot.destroy(node)
        for publisher in self._publishers.values():
            node.destroy_lifecycle_publisher(publisher)

    def _level_frame(
        self, host: HostResult, header: Header, config: NodeConfig
    ) -> TransformStamped | None:
        return self._robot.level_frame(host.result, header, config)

    def _scan(self, host: HostResult, header: Header, config: NodeConfig) -> LaserScan | None:
        return self._robot.scan(host.result, header, config)

    def _obstacles(
        self, host: HostResult, header: Header, config: NodeConfig
    ) -> PointCloud2 | None:
        return self._robot.obstacles(host.result, header, config)

    def _clearing(self, host: HostResult, header: Header, config: NodeConfig) -> PointCloud2 | None:
        return self._robot.clearing(host.result, header, config)

    def _camera_info(self, host: HostResult, header: Header, _: NodeConfig) -> CameraInfo | None:
        intrinsics = host.result.intrinsics
        if intrinsics is None:
            return None
        if self._info is None or self._info[0] != intrinsics:
            self._info = intrinsics, camera_info_from(intrinsics, header)
        self._info[1].header = header
        return self._info[1]

    def _depth(self, host: HostResult, header: Header, config: NodeConfig) -> Image | None:
        if host.depth_m is None:
            return None
        return encode.encode_depth(host.depth_m, header, encoding=_encoding(config))

    def _points(self, host: HostResult, header: Header, config: NodeConfig) -> PointCloud2 | None:
        result = host.result
        if result.seen_depth_m is None or result.intrinsics is None:
            return None
        rgb = result.rgb_tensor if config.cloud.rgb else None
        cloud = self._cloud_builder.build(result.seen_depth_m, result.intrinsics, config.cloud, rgb)
        points, before = _host(cloud.points), self._cloud
        self._cloud = encode.encode_cloud(points, header, has_rgb=cloud.has_rgb, reuse=before)
        return self._cloud

    def _confidence(self, host: HostResult, header: Header, _: NodeConfig) -> Image:
        return encode.encode_mono_float(_host(host.result.confidence), header)

    def _relative(self, host: HostResult, header: Header, _: NodeConfig) -> Image:
        return encode.encode_mono_float(host.relative, header)

    def _compressed_depth(
        self, host: HostResult, header: Header, config: NodeConfig
    ) -> CompressedImage | None:
        if host.depth_m is None:
            return None
        return encode.encode_compressed_depth(
            host.depth_m,
            header,
            encoding=_encoding(config),
            depth_max_m=config.max_depth_m,
            quantization=config.compressed_depth.quantization,
            png_level=config.compressed_depth.png_level,
        )

    def _color(self, host: HostResult, header: Header, config: NodeConfig) -> Image:
        color = config.color
        # Inverse depth without unit is shown as the depth it would be at some scale.
        with np.errstate(divide="ignore"):
            depth = 1.0 / host.relative if host.depth_m is None else host.depth_m
        near, far = _shown_range(self._display_range.update(depth), color)
        image = colorize_depth(depth, near, far, color.colormap)
        return encode.encode_rgb(blend(host.result.rgb, image, color.blend), header)

    def _completion_mask(self, host: HostResult, header: Header, _: NodeConfig) -> Image | None:
        return (
            None
            if host.hole_reasons is None
            else encode.encode_mono(_GREYS[host.hole_reasons], header)
        )

    def _completion_color(self, host: HostResult, header: Header, _: NodeConfig) -> Image | None:
        if host.hole_reasons is None:
            return None
        return encode.encode_rgb(tint_holes(host.result.rgb, host.hole_reasons), header)

    def _landmarks(self, host: HostResult, header: Header, _: NodeConfig) -> PointCloud2 | None:
        motion, camera = host.result.motion, host.result.intrinsics
        if motion is None or camera is None:
            return None
        return encode.encode_landmarks(landmark_rows(motion, camera), header)


def steers_a_robot(topics: Iterable[str]) -> bool:
    """Tell whether any of these topics is one that a planner takes silence of for a fault."""
    return any(topic in ROBOT_TOPICS for topic in topics)


def _shown_range(seen: tuple[float, float], color: ColorConfig) -> tuple[float, float]:
    """Return the chosen range; an end that is not chosen follows the image."""
    near = color.near_m or min(seen[0], (color.far_m or math.inf) / _LEAST_RANGE)
    return near, color.far_m or max(seen[1], near * _LEAST_RANGE)


def _encoding(config: NodeConfig) -> encode.DepthEncoding:
    return "16UC1" if config.depth_encoding == "16UC1" else "32FC1"


def _publisher(node: LifecycleNode, name: str) -> Any:  # noqa: ANN401 - rclpy is untyped
    topic = node.resolve_topic_name(f"~/{name}")
    return node.create_lifecycle_publisher(
        TOPICS[name],
        f"~/{name}",
        output_qos(),
        event_callbacks=publisher_events(node, topic),
        qos_overriding_options=overridable(),
    )


def _host(values: torch.Tensor) -> npt.NDArray[np.float32]:
    host: npt.NDArray[np.float32] = values.cpu().numpy()
    return host

r"""Shows a running depth node in a browser: camera, depth, cloud, scan, landmarks and state.

    ros2 run mono_depth_ros viewer --ros-args -r image:=/camera/image_rect
    ros2 run mono_depth_ros viewer --ros-args -p host:=0.0.0.0 -p token:=...

It listens to a topic only while a browser shows it, with best effort and room for one message;
what a browser has no time for is replaced by what is newer. So nobody who looks slows the node.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2

from mono_depth.config import Param, check_limits
from mono_depth.errors import ConfigError
from mono_depth.web.live.live_server import LiveServer
from mono_depth.web.live.live_state import LiveState
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.image_topic import ImageTopic
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.qos import input_qos
from mono_depth_ros.rclpy_support.run_nodes import run_until_finished
from mono_depth_ros.viewer.channels import (
    camera_bytes,
    cloud_bytes,
    depth_bytes,
    depth_cloud_bytes,
    scan_bytes,
    status_bytes,
)

_LOOK_S = 0.2  # between two looks at who looks
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")


@dataclass(frozen=True, kw_only=True)
class ViewerConfig:
    """The parameters of the viewer."""

    host: Annotated[
        str, Param("Address to listen at; any but one of this machine alone needs a token.")
    ] = "127.0.0.1"
    port: Annotated[int, Param("TCP port of the page; 0 = any free one.", 0, 65535)] = 8009
    token: Annotated[
        str, Param("That browsers must show, 16 or more of A-Z a-z 0-9 - _; empty = none.")
    ] = ""
    depth_node: Annotated[str, Param("Name of the depth node, which its topics begin with.")] = (
        "mono_depth"
    )
    image_transport: Annotated[
        str, Param("Of the topic `image`.", choices=("raw", "compressed"))
    ] = "raw"
    rate_hz: Annotated[
        float, Param("How often a browser is told what is new, at most [Hz].", 0.5, 60.0)
    ] = 20.0
    width: Annotated[
        int, Param("Longer side of images and depth in the browser [pixels].", 32, 2048)
    ] = 480
    points: Annotated[int, Param("Points of the cloud in the browser.", 100, 200_000)] = 15_000

    def __post_init__(self) -> None:
        check_limits(self)
        if self.token and not _TOKEN.fullmatch(self.token):
            raise ConfigError("a token has 16 or more of the characters A-Z a-z 0-9 - _")


@dataclass(frozen=True)
class _Topic:
    kind: type
    name: str
    on_message: Callable[[Any], None]


class Viewer(GuardedNode):
    """Subscribes to what is shown, and to nothing while nobody looks."""

    @destroyed_on_error
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("viewer", **kwargs)
        parameters = NodeParameters(
            self, ViewerConfig(), is_fixed=lambda: True, on_change=lambda _: None
        )
        self.config = config = parameters.config
        self.problem = ""
        self.finished = threading.Event()
        self.state = LiveState()
        self._level: TransformStamped | None = None
        self._info: CameraInfo | None = None
        self._topics = self._all_topics()
        self._heard: dict[str, list[Any]] = {}
        self.server = LiveServer(
            self.state,
            host=config.host,
            port=config.port,
            token=config.token,
            title=f"{self.get_namespace().rstrip('/')}/{config.depth_node}".lstrip("/"),
            rate_hz=config.rate_hz,
        )
        self.create_timer(_LOOK_S, self._follow)
        self.get_logger().info(f"page: {self.server.address}")

    def close(self) -> None:
        """Let all browsers go and free everything."""
        self.server.close()
        self.destroy_node()

    @property
    def has_camera(self) -> bool:
        """Tell whether the camera of the depth image is known, without which there is no cloud."""
        return self._info is not None

    def _all_topics(self) -> dict[str, list[_Topic]]:
        """Return the topics of each channel of the page."""
        node, image = self.config.depth_node, ImageTopic.of("image", self.config.image_transport)
        kind = CompressedImage if image.is_compressed else Image
        depth = _Topic(Image, f"{node}/depth/image", self._on_depth)
        level = _Topic(TransformStamped, f"{node}/level_frame", self._on_level)
        return {
            "camera": [_Topic(kind, "image", self._on_image)],
            "depth": [depth],
            # of the depth image: the node need not make a cloud for those who look
            "points": [
                depth,
                _Topic(CameraInfo, f"{node}/depth/camera_info", self._on_info),
                level,
            ],
            "landmarks": [_Topic(PointCloud2, f"{node}/landmarks", self._on_landmarks), level],
            "scan": [_Topic(LaserScan, f"{node}/scan", self._on_scan)],
            "status": [_Topic(DiagnosticArray, "/diagnostics", self._on_diagnostics)],
        }

    def _follow(self) -> None:
        """Listen to what is looked at, and to nothing else."""
        wanted = self.state.wanted()
        topics = {topic.name: topic for name in wanted for topic in self._topics[name]}
        for name in [name for name in self._heard if name not in topics]:
            for subscription in self._heard.pop(name):
                self.destroy_subscription(subscription)
        for name, topic in topics.items():
            if name not in self._heard:
                # What many nodes share a topic for must not be lost by the next one's message.
                depth = 10 if topic.kind is DiagnosticArray else 1
                self._heard[name] = [
                    self.create_subscription(topic.kind, name, topic.on_message, input_qos(depth))
                ]
        self.state.forget(name for name in self._topics if name not in wanted)

    def _on_image(self, message: Any) -> None:  # noqa: ANN401 - raw or compressed
        make = partial(camera_bytes, message, self.config.width)
        self.state.put("camera", make, stamp_ns(message.header))

    def _on_depth(self, message: Image) -> None:
        wanted, at_ns = self.state.wanted(), stamp_ns(message.header)
        if "depth" in wanted:
            self.state.put("depth", partial(depth_bytes, message, self.config.width), at_ns)
        info = self._info
        if "points" in wanted and info is not None:
            level = self._level_of(message.header.frame_id)
            make = partial(depth_cloud_bytes, message, info, self.config.points, level)
            self.state.put("points", make, at_ns)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_level(self, message: TransformStamped) -> None:
        self._level = message

    def _level_of(self, frame_id: str) -> TransformStamped | None:
        """Return the newest pose of the level frame, if it is one in this frame."""
        level = self._level
        return level if level is not None and level.header.frame_id == frame_id else None

    def _on_landmarks(self, message: PointCloud2) -> None:
        level = self._level_of(message.header.frame_id)
        make = partial(cloud_bytes, message, self.config.points, level)
        self.state.put("landmarks", make, stamp_ns(message.header))

    def _on_scan(self, message: LaserScan) -> None:
        self.state.put("scan", partial(scan_bytes, message), stamp_ns(message.header))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        content = status_bytes(message, self.config.depth_node)
        if content is not None:
            self.state.put("status", lambda: content, stamp_ns(message.header))


def main(args: list[str] | None = None) -> None:
    """Serve the page until the node is interrupted."""
    run_until_finished(Viewer, args)


if __name__ == "__main__":
    main()

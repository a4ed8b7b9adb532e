"""Records a camera and its depth: measures rate, latency and losses, then makes a video of it.

Nothing is encoded while it records, so that recording does not slow down what it measures: small
copies stay in memory and are written at the end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2

from mono_depth.config import Param, check_limits
from mono_depth.display.colormap import COLORMAPS
from mono_depth.errors import ConfigError, FrameError
from mono_depth.messages.decode_image import decode_image
from mono_depth_ros.codec import cv_bridge_conversions
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.run_nodes import run_until_finished
from mono_depth_ros.recorder.recording import Moment, Recording
from mono_depth_ros.recorder.results import write_results
from mono_depth_ros.recorder.video import VideoComposer

_DEPTH_NODE = "mono_depth"


@dataclass(frozen=True, kw_only=True)
class RecorderConfig:
    """The parameters of the recorder."""

    output: Annotated[str, Param("Folder of the results.")] = "recording"
    seconds: Annotated[
        float,
        Param("Finish this long after the first depth; 0 = when interrupted [s].", 0.0, 86400.0),
    ] = 0.0
    width: Annotated[
        int, Param("Depth and cloud are kept for the video at about this width [pixels].", 32, 4096)
    ] = 320
    max_moments: Annotated[
        int, Param("Moments kept for the video, about 1.5 MB each; 0 = measure only.", 0, 100_000)
    ] = 900
    points: Annotated[bool, Param("Record the point cloud, too.")] = True
    live: Annotated[bool, Param("Write latest.png once a second while recording.")] = True
    colormap: Annotated[str, Param("Colours of depth.", choices=tuple(COLORMAPS))] = "inferno"

    def __post_init__(self) -> None:
        check_limits(self)


class Recorder(GuardedNode):
    """Subscribes to the camera and to the outputs of the depth node."""

    @destroyed_on_error
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("recorder", **kwargs)
        parameters = NodeParameters(
            self, RecorderConfig(), is_fixed=lambda: True, on_change=lambda _: None
        )
        self.config = config = parameters.config
        self.folder = Path(config.output).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"output {config.output!r} cannot be made: {error}") from error
        self.recording = Recording(max_moments=config.max_moments)
        self.problem = ""
        self.finished = threading.Event()
        self._newest: Moment | None = None
        self._stop = threading.Event()
        self._inputs = [
            self._subscribe(Image, "image", self._on_image),
            self._subscribe(Image, f"{_DEPTH_NODE}/depth/image", self._on_depth),
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10),
        ]
        if config.points:
            self._subscribe(PointCloud2, f"{_DEPTH_NODE}/points", self._on_points)
        self._relative: Any = None
        self._live = threading.Thread(target=self._show, daemon=True)
        if config.live:
            self._live.start()

    def close(self) -> None:
        """Stop and write the results."""
        self._stop.set()
        if self._live.is_alive():
            self._live.join()
        self.destroy_node()
        write_results(self.recording, self.folder, colormap=self.config.colormap)

    def _subscribe(
        self, message: type, topic: str, callback: Callable[[Any, dict[str, int]], None]
    ) -> Any:  # noqa: ANN401
        # Best effort, as a robot's own consumers: a reliable recorder would hide losses. The queue
        # is long, because a recorder may be late where a robot may not.
        qos = QoSProfile(depth=30, reliability=QoSReliabilityPolicy.BEST_EFFORT)
        return self.create_subscription(message, topic, callback, qos)

    def _arrived(self, channel: str, message: Any, info: dict[str, int]) -> Moment | None:  # noqa: ANN401
        # When the middleware got it, not when this process found the time to look at it.
        arrival_ns = info["received_timestamp"]
        if arrival_ns <= 0 or self.get_clock().ros_time_is_active:
            arrival_ns = self.get_clock().now().nanoseconds
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self.recording.channels[channel].add(stamp_ns, arrival_ns)
        return self.recording.moment(stamp_ns)

    def _on_image(self, message: Image, info: dict[str, int]) -> None:
        moment = self._arrived("camera", message, info)
        if moment is None:
            return
        try:
            rgb = decode_image(message, fallback=cv_bridge_conversions)
        except FrameError as error:
            self.get_logger().warning(f"camera image: {error}", throttle_duration_sec=5.0)
            return
        width = min(640, message.width)
        size = width, max(1, round(width * message.height / message.width))
        moment.rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _on_depth(self, message: Image, info: dict[str, int]) -> None:
        moment = self._arrived("depth", message, info)
        if message.encoding == "32FC1":
            self._keep_depth(moment, message, is_metric=True)
        self._finish_in_time()

    def _on_relative(self, message: Image, info: dict[str, int]) -> None:
        moment = self._arrived("depth", message, info)
        self._keep_depth(moment, message, is_metric=False)
        self._finish_in_time()

    def _keep_depth(self, moment: Moment | None, message: Image, *, is_metric: bool) -> None:
        if moment is None:
            return
        values = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        step = self._step(message.width)
        moment.depth, moment.is_metric = values[::step, ::step].copy(), is_metric
        self._newest = moment

    def _on_points(self, message: PointCloud2, info: dict[str, int]) -> None:
        moment = self._arrived("points", message, info)
        if moment is not None:
            floats = np.frombuffer(message.data, np.float32)
            cloud = floats.reshape(message.height, message.width, message.point_step // 4)
            step = self._step(message.width)
            moment.cloud = cloud[::step, ::step].copy()

    def _step(self, width: int) -> int:
        return max(1, round(width / self.config.width))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{_DEPTH_NODE}: "):
                self.recording.on_diagnosis({pair.key: pair.value for pair in status.values})
        is_relative = self.recording.facts.get("scale_state") == "uninitialised"
        if is_relative and self._relative is None:
            self.get_logger().warning("there is no metric depth, recording relative depth")
            self._relative = self._subscribe(
                Image, f"{_DEPTH_NODE}/relative/image", self._on_relative
            )

    def _finish_in_time(self) -> None:
        stamps_ns = self.recording.channels["depth"].stamps_ns
        limit_ns = self.config.seconds * 1e9
        if 0.0 < limit_ns <= stamps_ns[-1] - stamps_ns[0]:
            self.finished.set()

    def _show(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # of this thread, on Linux
        composer = VideoComposer(self.config.colormap)
        while not self._stop.wait(1.0):
            moment, self._newest = self._newest, None
            if moment is not None and moment.is_complete:
                image = composer.compose(_lighter(moment))
                part = self.folder / "latest.part.png"
                cv2.imwrite(str(part), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                part.replace(self.folder / "latest.png")  # a viewer never sees half a file


def _lighter(moment: Moment) -> Moment:
    """Return a copy with a quarter of the points, so that looking costs little."""
    cloud = None if moment.cloud is None else moment.cloud[::2, ::2]
    return replace(moment, cloud=cloud)


def main(args: list[str] | None = None) -> None:
    """Record until the time is over or an interrupt, then write the results."""
    run_until_finished(Recorder, args)


if __name__ == "__main__":
    main()

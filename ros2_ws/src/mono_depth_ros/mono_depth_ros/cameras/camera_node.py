"""A camera for the depth node: webcam, video file, folder of images or bag as ROS topics."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mono_depth.config import Param, check_limits
from mono_depth.data import RgbImage
from mono_depth.errors import ConfigError, MonoDepthError
from mono_depth_ros.cameras.calibration_file import camera_info_of_view, load_camera_info
from mono_depth_ros.cameras.pacing import Pacer
from mono_depth_ros.cameras.sources import open_source
from mono_depth_ros.codec.encode import encode_rgb
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.qos import output_qos, overridable, publisher_events
from mono_depth_ros.rclpy_support.run_nodes import run_until_finished

_READ_AHEAD = 4


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """The parameters of the camera node."""

    source: Annotated[
        str,
        Param("Webcam (0 or /dev/video0), video file, folder of images, or bag (needs rosbags)."),
    ] = "0"
    loop: Annotated[bool, Param("Play a recording again and again; else end after it.")] = True
    rate_hz: Annotated[
        float,
        Param(
            "Images per second; 0 = as recorded, 15 for a folder without times [Hz].", 0.0, 240.0
        ),
    ] = 0.0
    width: Annotated[int, Param("Asked of a webcam; 0 = its own choice [pixels].", 0, 16384)] = 0
    height: Annotated[int, Param("Asked of a webcam; 0 = its own choice [pixels].", 0, 16384)] = 0
    frame_id: Annotated[str, Param("Optical frame of the images, REP 103.")] = (
        "camera_optical_frame"
    )
    camera_info_file: Annotated[
        str, Param("Calibration file (YAML) of ROS' camera_calibration; empty = none.")
    ] = ""
    horizontal_fov_deg: Annotated[
        float,
        Param(
            "Without a calibration file: angle of view of an ideal camera; "
            "0 = publish that the camera is uncalibrated [deg].",
            0.0,
            170.0,
        ),
    ] = 0.0
    compressed: Annotated[bool, Param("Publish JPEG on image/compressed, too.")] = False
    jpeg_quality: Annotated[int, Param("Quality of image/compressed.", 1, 100)] = 90
    stamps: Annotated[
        str,
        Param(
            "now = time of publishing; recording = time that the recording tells.",
            choices=("now", "recording"),
        ),
    ] = "now"
    bag_topic: Annotated[str, Param("Image topic of a bag; empty = its first.")] = ""
    min_subscribers: Annotated[
        int, Param("Wait with the first image until `image` has this many subscribers.", 0, 100)
    ] = 0

    def __post_init__(self) -> None:
        check_limits(self)
        if not self.frame_id:
            raise ConfigError("frame_id is empty, expected a name such as camera_optical_frame")


class CameraNode(GuardedNode):
    """Reads ahead in one thread and publishes on time in another."""

    @destroyed_on_error
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("camera", **kwargs)
        parameters = NodeParameters(
            self, CameraConfig(), is_fixed=lambda: True, on_change=lambda _: None
        )
        self.config = config = parameters.config
        self._source = open_source(
            config.source,
            width=config.width,
            height=config.height,
            rate_hz=config.rate_hz,
            bag_topic=config.bag_topic,
        )
        file = config.camera_info_file
        self._info = load_camera_info(Path(file).expanduser()) if file else self._source.info
        self._images = self._output(Image, "image")
        self._infos = self._output(CameraInfo, "camera_info")
        self._compressed = (
            self._output(CompressedImage, "image/compressed") if config.compressed else None
        )
        self.sent = 0
        self.problem = ""  # why the node finished, empty = the recording is over
        self.finished = threading.Event()
        self._stop = threading.Event()
        self._ahead: queue.Queue[tuple[RgbImage, int | None] | None] = queue.Queue(_READ_AHEAD)
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._read, self._publish)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop both threads and free everything."""
        self._stop.set()
        for thread in self._threads:
            thread.join(5.0)
        self.destroy_node()

    def _output(self, message: type, name: str) -> Any:  # noqa: ANN401 - rclpy is untyped
        return self.create_publisher(
            message,
            name,
            output_qos(),
            event_callbacks=publisher_events(self, self.resolve_topic_name(name)),
            qos_overriding_options=overridable(),
        )

    def _guarded(self, work: Any) -> None:  # noqa: ANN401
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a thread must not end in silence
            if self.context.ok():  # else: publishing failed because of the shutdown
                is_known = isinstance(error, MonoDepthError)
                self.problem = str(error) if is_known else f"{type(error).__name__}: {error}"
            self._stop.set()
            self.finished.set()

    def _read(self) -> None:
        for _ in itertools.count() if self.config.loop else range(1):
            for item in self._source.frames():
                if not self._put(item):
                    return
        self._put(None)

    def _put(self, item: tuple[RgbImage, int | None] | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ahead.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _taken(self) -> Iterator[tuple[RgbImage, int | None]]:
        while not self._stop.is_set():
            try:
                item = self._ahead.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                return
            yield item

    def _publish(self) -> None:
        while self._images.get_subscription_count() < self.config.min_subscribers:
            if self._stop.wait(0.02):
                return
        is_camera = self._source.rate_hz is None
        rate_hz = self.config.rate_hz or self._source.rate_hz
        pacer = None if is_camera or rate_hz is None else Pacer(rate_hz)
        for rgb, time_ns in self._taken():
            if pacer is not None and not pacer.wait(self._stop):
                return
            self._send(rgb, time_ns)
            self.sent += 1
        if not self._stop.is_set():
            self._images.wait_for_all_acked(Duration(seconds=2.0))
            self.finished.set()

    def _send(self, rgb: RgbImage, time_ns: int | None) -> None:
        height, width = rgb.shape[:2]
        if self._info is None:
            self._info = camera_info_of_view(width, height, self.config.horizontal_fov_deg)
        info = self._info
        if self.sent == 0:
            self._tell(width, height)
        header = Header(frame_id=self.config.frame_id)
        if self.config.stamps == "recording" and time_ns is not None:
            header.stamp = Time(nanoseconds=time_ns, clock_type=ClockType.ROS_TIME).to_msg()
        else:
            header.stamp = self.get_clock().now().to_msg()
        info.header = header
        # The calibration first: whoever pairs the two by stamp can go on with the image.
        self._infos.publish(info)
        self._images.publish(encode_rgb(rgb, header))
        if self._compressed is not None and self._compressed.get_subscription_count():
            self._compressed.publish(_jpeg(rgb, header, self.config.jpeg_quality))

    def _tell(self, width: int, height: int) -> None:
        info, logger = self._info, self.get_logger()
        rate_hz = self.config.rate_hz or self._source.rate_hz
        pace = "at its own rate" if rate_hz is None else f"at {rate_hz:.4g} Hz"
        is_assumed = not self.config.camera_info_file and self._source.info is None
        if info is None or info.k[0] == 0.0:
            lens = "uncalibrated (set camera_info_file or horizontal_fov_deg)"
        elif is_assumed:
            lens = f"calibration assumed, {self.config.horizontal_fov_deg:g} deg wide"
        else:
            lens = "calibrated"
        logger.info(f"{self.config.source}: {width}x{height} {pace}, {lens}")
        if info is not None and not info.binning_x and (info.width, info.height) != (width, height):
            logger.warning(
                f"the calibration is for {info.width}x{info.height} pixels, the images have "
                f"{width}x{height}: depth of them will be refused"
            )


def _jpeg(rgb: RgbImage, header: Header, quality: int) -> CompressedImage:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(np.asarray(data).data)
    return message


def main(args: list[str] | None = None) -> None:
    """Run the node until its recording ends or it is interrupted."""
    run_until_finished(CameraNode, args)


if __name__ == "__main__":
    main()

"""Depth of a depth camera, aligned to the colour image, brought to the image that it belongs to."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mono_depth.camera.rectify import Rectifier
from mono_depth.data import DepthImage
from mono_depth.errors import FrameError
from mono_depth.messages.decode import read_any_depth
from mono_depth.messages.depth_reading import DepthReading
from mono_depth.messages.frame_names import frame_name
from mono_depth.stream.clock_watch import ClockChange
from mono_depth.stream.timeline import Timeline
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.config import SensorDepthConfig
from mono_depth_ros.sensors.tally import Tally, apart

_KEPT = 10  # messages; the worker takes the newest image, so its depth is among the newest
_ALIVE_S = 2.0  # an image waits for its depth only if some came within this time
_OTHER_CLOCK_NS = 1_000_000_000  # no delay of a driver
_JITTER_NS = 1_000_000
_MAX_STRETCH = 0.01  # relative difference of width / height that rounding may explain


@dataclass(frozen=True, kw_only=True)
class SensorDepthReport:
    """What became of the depth messages up to one moment."""

    received: int = 0
    used: int = 0  # images that got depth
    missed: int = 0  # images without depth at their stamp
    skipped: int = 0  # images whose depth could not be used
    problem: str = ""  # why the newest image has no depth, "" = it has, or there is no depth camera
    doubt: str = ""  # what of its depth was taken for no measurement, "" = nothing unusual


class SensorDepth:
    """Keeps the newest depth messages. Filled by the executor thread, asked by the worker."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: Timeline[Image | CompressedImage] = Timeline(max_items=_KEPT)
        self._heard_s = float("-inf")
        self._last_apart_ns = 0.0  # from its image, of the last depth used
        self._received = self._used = self._missed = self._skipped = 0
        self._problem = self._doubt = ""
        self.tally = Tally("sensor_depth")

    def on_depth(self, msg: Image | CompressedImage) -> None:
        """Take in a message. It is decoded only if an image needs it."""
        if msg.header.stamp.sec < 0:
            self.tally.refuse("the stamp of sensor_depth is negative")
            return
        at_ns = stamp_ns(msg.header)
        self.tally.hear(at_ns)
        with self._changed:
            self._line.add(at_ns, msg)
            self._received += 1
            self._heard_s = time.monotonic()
            self._changed.notify()

    def follow(self, change: ClockChange) -> None:
        """Do as another input that shows a jump of the clock."""
        with self._changed:
            self._line.follow(change)

    def wait_for(self, at_ns: int, config: SensorDepthConfig) -> None:
        """Return when depth as near to a stamp as the last time is there, or comes no more.

        Aligning takes a camera driver time, so depth comes after its image.
        """
        with self._changed:
            if time.monotonic() - self._heard_s > _ALIVE_S:
                return
            apart_ns = min(config.max_apart_s * 1e9, self._last_apart_ns + _JITTER_NS)
            self._changed.wait_for(
                lambda: (self._line.newest_ns or 0) >= at_ns - apart_ns, config.max_wait_s
            )

    def at(
        self,
        header: Header,
        width: int,
        height: int,
        *,
        rectifier: Rectifier | None,
        max_pixels: int,
        config: SensorDepthConfig,
        max_depth_m: float | None = None,
    ) -> DepthImage | None:
        """Return depth of the view of an image; None where there is none, `report` tells why.

        Args:
            header: of the image.
            width: of the image.
            height: of the image.
            rectifier: what was applied to the image.
            max_pixels: larger depth is refused.
            config: how far apart the stamps may be.
            max_depth_m: farther is no measurement; None = believe everything.
        """
        at_ns, problem, reading = stamp_ns(header), "", None
        msg, apart_ns = self._nearest(at_ns)
        if msg is not None and apart_ns <= config.max_apart_s * 1e9:
            try:
                _check_frame(msg.header.frame_id, header.frame_id)
                stored = read_any_depth(msg, max_pixels=max_pixels, max_depth_m=max_depth_m)
                reading = _as_image(stored, (width, height), rectifier)
            except FrameError as error:
                problem = f"sensor_depth skipped: {error}"
                self.tally.refuse(problem)
        elif msg is not None:
            problem = (
                f"no sensor_depth at the stamp of the image: the nearest is {apart_ns * 1e-9:.3f} s"
                f" away, sensor_depth.max_apart_s is {config.max_apart_s:g}"
            )
            if apart_ns > _OTHER_CLOCK_NS:
                problem += f"; it is {apart(stamp_ns(msg.header), at_ns)}"
        with self._changed:
            self._problem = problem
            self._doubt = f"sensor_depth: {reading.doubt}" if reading and reading.doubt else ""
            if reading is not None:
                self._used += 1
                self._last_apart_ns = apart_ns
            elif apart_ns <= config.max_apart_s * 1e9:
                self._skipped += 1
            elif problem:
                self._missed += 1
        self.tally.join("" if reading is not None else problem or self.tally.silence)
        return None if reading is None else reading.depth_m

    def report(self) -> SensorDepthReport:
        """Return the counters of this moment."""
        with self._changed:
            return SensorDepthReport(
                received=self._received,
                used=self._used,
                missed=self._missed,
                skipped=self._skipped,
                problem=self._problem,
                doubt=self._doubt,
            )

    def _nearest(self, at_ns: int) -> tuple[Image | CompressedImage | None, float]:
        with self._changed:
            offers = [(abs(kept_ns - at_ns), msg) for kept_ns, msg in self._line.items]
        if not offers:
            return None, float("inf")
        apart_ns, msg = min(offers, key=lambda item: item[0])
        return msg, apart_ns


def _check_frame(depth_frame: str, camera_frame: str) -> None:
    frame = frame_name(depth_frame)
    if frame not in ("", frame_name(camera_frame)):
        raise FrameError(
            f"it is in frame {frame}, the image in {camera_frame}: use the depth that the camera's "
            "driver aligns to the image"
        )


def _as_image(
    reading: DepthReading, size: tuple[int, int], rectifier: Rectifier | None
) -> DepthReading:
    """Bring depth to the view of an image."""
    depth_m = reading.depth_m
    height, width = depth_m.shape
    if abs(width * size[1] - height * size[0]) > _MAX_STRETCH * width * size[1]:
        raise FrameError(
            f"depth of {width}x{height} is not the view of an image of {size[0]}x{size[1]}: "
            "use the depth that the camera's driver aligns to the image"
        )
    if rectifier is None:
        return reading
    if (width, height) != size:
        resized = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
        depth_m = np.asarray(resized, np.float32)
    return replace(reading, depth_m=rectifier.apply_to_depth(depth_m))

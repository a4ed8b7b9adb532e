"""Where a camera's images come from: a webcam, a video file, a folder of images or a bag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

from mono_depth.data import RgbImage
from mono_depth.errors import ConfigError
from mono_depth.recordings.bag_paths import bag_files, is_bag
from mono_depth.recordings.images import IMAGE_TYPES, Video, images_in, read_image, times_of_names
from mono_depth_ros.cameras.bag_source import BagSource
from mono_depth_ros.cameras.source_types import ImageSource, SourceError

_IMAGE_FOLDERS = ("rgb", "color", "image_0", "images")  # TUM, RealSense, KITTI, COLMAP
_USUAL_RATE_HZ = 15.0


def open_source(
    source: str, *, width: int = 0, height: int = 0, rate_hz: float = 0.0, bag_topic: str = ""
) -> ImageSource:
    """Open what `source` names.

    Args:
        source: number or device of a webcam, video file, folder of images, or bag: what
            `BagReader` opens.
        width: asked of a webcam [px]; 0 = its own choice.
        height: asked of a webcam [px]; 0 = its own choice.
        rate_hz: asked of a webcam; 0 = its own choice.
        bag_topic: image topic of a bag; empty = the first one.

    Raises:
        SourceError: there is no such source, or it holds no images.
    """
    if source.isdecimal() or source.startswith("/dev/"):
        return Webcam(source, width=width, height=height, rate_hz=rate_hz)
    path = Path(source).expanduser()
    if not source or not path.exists():
        raise SourceError(
            f"source {source!r} does not exist, expected a webcam (0, /dev/video0), a video file, "
            "a folder of images or a bag"
        )
    try:
        if is_bag(path) or (bag_files(path) and not _images_of(path)):
            return BagSource(path, bag_topic)
        return ImageFolder(path) if path.is_dir() else VideoFile(path)
    except ConfigError as error:  # what the library says of a file
        raise SourceError(str(error)) from error


class Webcam:
    """A camera that OpenCV can open."""

    rate_hz: float | None = None
    info: CameraInfo | None = None

    def __init__(self, device: str, *, width: int, height: int, rate_hz: float) -> None:
        self._device = device
        self._capture = cv2.VideoCapture(int(device) if device.isdecimal() else device)
        if not self._capture.isOpened():
            raise SourceError(
                f"webcam {device} cannot be opened: is it plugged in, in use by another program, "
                "and may you read it (group video)?"
            )
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, rate_hz),
            (cv2.CAP_PROP_BUFFERSIZE, 1),  # an old image is worth less than none
        ):
            if value:
                self._capture.set(key, value)

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield images as the camera takes them."""
        while True:
            ok, bgr = self._capture.read()
            if not ok:
                raise SourceError(f"webcam {self._device} gives no more images")
            yield _rgb(bgr), None


class VideoFile:
    """A video file."""

    info: CameraInfo | None = None

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ConfigError: OpenCV cannot read it.
        """
        self._video = Video(path)
        self.rate_hz: float | None = self._video.rate_hz or _USUAL_RATE_HZ

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield every image of the video with its time from the start."""
        yield from self._video.images()


class ImageFolder:
    """A folder of images in the order of their names, or one with a subfolder rgb/."""

    info: CameraInfo | None = None

    def __init__(self, folder: Path) -> None:
        """Find the images.

        Raises:
            SourceError: there are none.
        """
        self._files = _images_of(folder)
        if not self._files:
            raise SourceError(
                f"{folder} has no images ({' '.join(IMAGE_TYPES)}), "
                f"nor have its subfolders {', '.join(_IMAGE_FOLDERS)}"
            )
        self._times_ns = times_of_names([file.stem for file in self._files])
        self.rate_hz: float | None = _USUAL_RATE_HZ
        if self._times_ns is not None and len(self._times_ns) > 1:
            self.rate_hz = 1e9 / float(np.median(np.diff(self._times_ns)))

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield every image; its time is None unless the names tell it."""
        for i, file in enumerate(self._files):
            rgb = read_image(file, upright=False)
            yield rgb, None if self._times_ns is None else self._times_ns[i]


def _images_of(folder: Path) -> list[Path]:
    candidates = [folder, *(folder / name for name in _IMAGE_FOLDERS)]
    return next(filter(None, map(images_in, candidates)), [])


def _rgb(bgr: Any) -> RgbImage:  # noqa: ANN401 - cv2's own array type
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

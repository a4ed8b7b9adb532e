"""Where a camera's images come from: a webcam, a video file, a folder of images or a bag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

from mono_depth.data import RgbImage
from mono_depth_ros.cameras.source_types import ImageSource, SourceError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_IMAGE_FOLDERS = ("rgb", "color", "image_0", "images")  # TUM, RealSense, KITTI, COLMAP
_FOLDER_RATE_HZ = 15.0


def open_source(
    source: str, *, width: int = 0, height: int = 0, rate_hz: float = 0.0, bag_topic: str = ""
) -> ImageSource:
    """Open what `source` names.

    Args:
        source: number or device of a webcam, video file, folder of images, rosbag2 folder,
            .mcap or .bag file.
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
    if path.suffix in (".bag", ".mcap", ".db3") or (path / "metadata.yaml").is_file():
        from mono_depth_ros.cameras.bag_source import BagSource

        return BagSource(path, bag_topic)
    return ImageFolder(path) if path.is_dir() else VideoFile(path)


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
        self._path = path
        capture = self._open()
        rate_hz = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        self.rate_hz: float | None = rate_hz if 0.0 < rate_hz <= 1000.0 else _FOLDER_RATE_HZ

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield every image of the video with its time from the start."""
        capture = self._open()
        try:
            while True:
                time_ns = int(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                ok, bgr = capture.read()
                if not ok:
                    return
                yield _rgb(bgr), time_ns
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened() or not capture.grab():
            raise SourceError(f"{self._path} is not a video that OpenCV can read")
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        return capture


class ImageFolder:
    """A folder of images in the order of their names, or one with a subfolder rgb/."""

    info: CameraInfo | None = None

    def __init__(self, folder: Path) -> None:
        candidates = [folder, *(folder / name for name in _IMAGE_FOLDERS)]
        self._files = next(filter(None, map(_images, candidates)), [])
        if not self._files:
            raise SourceError(
                f"{folder} has no images ({' '.join(IMAGE_SUFFIXES)}), "
                f"nor have its subfolders {', '.join(_IMAGE_FOLDERS)}"
            )
        self._times_ns = times_of_names([file.stem for file in self._files])
        self.rate_hz: float | None = _FOLDER_RATE_HZ
        if self._times_ns is not None and len(self._times_ns) > 1:
            self.rate_hz = 1e9 / float(np.median(np.diff(self._times_ns)))

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield every image; its time is None unless the names tell it."""
        for i, file in enumerate(self._files):
            bgr = cv2.imread(str(file), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            if bgr is None:
                raise SourceError(f"{file} is damaged or not an image")
            yield _rgb(bgr), None if self._times_ns is None else self._times_ns[i]


def times_of_names(stems: list[str]) -> list[int] | None:
    """Return the times that file names tell [ns], None where they are counters or words.

    Known are seconds with a fraction (TUM RGB-D, 1305031246.429654) and whole nanoseconds
    (EuRoC, 1403636579763555584). Times must grow from file to file.
    """
    if stems and all(re.fullmatch(r"\d{1,12}\.\d+", stem) for stem in stems):
        parts = (stem.split(".") for stem in stems)
        times_ns = [int(whole) * 10**9 + int(part[:9].ljust(9, "0")) for whole, part in parts]
    elif stems and all(re.fullmatch(r"\d{16,19}", stem) for stem in stems):
        times_ns = [int(stem) for stem in stems]
    else:
        return None
    return times_ns if (np.diff(times_ns) > 0).all() else None


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(files, key=_natural)


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """Sort img_2 before img_10."""
    pieces = re.split(r"(\d+)", file.name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces if p]


def _rgb(bgr: Any) -> RgbImage:  # noqa: ANN401 - cv2's own array type
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

"""Images of files, folders and videos. The only place that opens them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np

from mono_depth.data import DepthImage, RgbImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.pose_file import stamp_ns_of

IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_NO_DEPTH = np.iinfo(np.uint16).max  # in any unit of 16 bit, as 0
_MAX_RATE_HZ = 1000.0  # what claims more does not know its rate


def read_image(file: Path, *, upright: bool = True) -> RgbImage:
    """Read an image as (H, W, 3) uint8, grey and 16-bit ones, too.

    Args:
        file: what OpenCV decodes.
        upright: turn it as its EXIF data says. False = leave the pixels where they are stored,
            which is where a calibration or depth beside the image expects them.

    Raises:
        FrameError: it is not an image.
    """
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imread(str(file), flags)
    if bgr is None:
        raise FrameError(f"{file} is damaged or not an image")
    return _rgb(bgr)


def read_depth(file: Path, units_per_m: float) -> DepthImage:
    """Read the (H, W) depth of a 16-bit image, or of a .npy file in metres; NaN = unknown.

    Raises:
        FrameError: it is neither.
    """
    if file.suffix == ".npy":
        stored = np.load(file, allow_pickle=False)
        if stored.ndim != 2 or not np.issubdtype(stored.dtype, np.floating):
            raise FrameError(f"{file} holds {stored.dtype} {stored.shape}, expected (H, W) metres")
        depth_m: DepthImage = stored.astype(np.float32)
    else:
        raw = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
            raise FrameError(f"{file} is not a 16-bit depth image")
        depth_m = raw.astype(np.float32) / np.float32(units_per_m)
        depth_m[raw == _NO_DEPTH] = np.nan
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0.0))] = np.nan
    return depth_m


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder in the order of the numbers in their names."""
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_TYPES)
    return sorted(files, key=_numbers_of_name)


def load_images(folder: Path, most: int = 60) -> list[RgbImage]:
    """Read the first images of a folder, `most` at most.

    Raises:
        ConfigError: there are none, or they differ in size.
        FrameError: one of them is not an image.
    """
    images = [read_image(file) for file in existing_images(folder)[:most]]
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise ConfigError(f"the images in {folder} have different sizes: {sorted(sizes)}")
    return images


def existing_images(folder: Path) -> list[Path]:
    """Return the image files of a folder as `images_in` does.

    Raises:
        ConfigError: there are none.
    """
    files = images_in(folder)
    if not files:
        raise ConfigError(f"no image in {folder}, expected one of {', '.join(IMAGE_TYPES)}")
    return files


def times_of_names(stems: list[str]) -> list[int] | None:
    """Return the times that file names tell [ns], None where they are counters or words.

    Known are seconds with a fraction (TUM RGB-D, 1305031246.429654) and whole nanoseconds
    (EuRoC, 1403636579763555584). Times must grow from file to file.
    """
    if stems and all(re.fullmatch(r"\d{1,12}\.\d+", stem) for stem in stems):
        times_ns = [stamp_ns_of(stem) for stem in stems]
    elif stems and all(re.fullmatch(r"\d{16,19}", stem) for stem in stems):
        times_ns = [int(stem) for stem in stems]
    else:
        return None
    return times_ns if (np.diff(times_ns) > 0).all() else None


class Video:
    """A video file."""

    def __init__(self, file: Path) -> None:
        """Look at a video.

        Raises:
            ConfigError: OpenCV cannot read it.
        """
        self._file = file
        capture = self._open()
        rate_hz = capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz: float | None = rate_hz if 0.0 < rate_hz <= _MAX_RATE_HZ else None
        self.count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))  # as the file says
        capture.release()

    def images(self, only: Collection[int] | None = None) -> Iterator[tuple[RgbImage, int]]:
        """Yield images, each with its time from the start [ns].

        Args:
            only: indices of the images that are decoded; None = all.
        """
        last = None if only is None else max(only, default=-1)
        for index, (rgb, time_ns) in enumerate(self._decoded(only)):
            if rgb is not None:
                yield rgb, time_ns
            if last is not None and index >= last:
                return

    def decoded(self) -> Iterator[tuple[RgbImage | None, int]]:
        """Yield every image with its time from the start [ns]; None where it is damaged."""
        return self._decoded(None)

    def _decoded(self, only: Collection[int] | None) -> Iterator[tuple[RgbImage | None, int]]:
        capture = self._open()
        try:
            for index in itertools.count():
                if not capture.grab():
                    return
                is_decoded = False
                if only is None or index in only:
                    is_decoded, bgr = capture.retrieve()
                time_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                yield _rgb(bgr) if is_decoded else None, time_ns
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._file))
        if not capture.isOpened() or not capture.grab():
            raise ConfigError(f"{self._file} is not a video that OpenCV can read")
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        return capture


def _numbers_of_name(file: Path) -> list[tuple[int, int, str]]:
    """Sort img_2 before img_10, and 7.25 before 7.5."""
    if re.fullmatch(r"\d+\.\d+", file.stem):
        whole, _, fraction = file.stem.partition(".")
        return [(0, int(whole), fraction)]
    pieces = re.split(r"(\d+)", file.name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces if p]


def _rgb(bgr: cv2.typing.MatLike) -> RgbImage:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

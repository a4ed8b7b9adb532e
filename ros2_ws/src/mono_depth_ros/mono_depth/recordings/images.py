"""Images of files, folders and videos. The only place that opens them."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage, RgbImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.messages.image_header import read_header
from mono_depth.recordings.text_lines import stamp_ns_of

IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_HEAD_BYTES = 1 << 18  # a JPEG may have a large preview before its size
_MOST_BYTES = 1 << 28
_PNG = b"\x89PNG\r\n\x1a\n"
# A TIFF tells its size, and a PNG whether it is whole, somewhere behind.
_TOLD_AT_THE_END = (b"II*\x00", b"MM\x00*", _PNG)
_MAX_PIXELS = 1 << 27
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
    bgr = _decoded(file, flags)
    if bgr is None:
        raise FrameError(f"{file} is damaged or not an image")
    return _rgb(bgr)


def _decoded(file: Path, flags: int) -> cv2.typing.MatLike | None:
    """Return what OpenCV makes of a file, None where that is nothing.

    Raises:
        FrameError: its header claims more than there is, or more pixels than any camera has.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
            if head.startswith(_TOLD_AT_THE_END):
                head += opened.read(_MOST_BYTES)
    except OSError:
        return None
    pixels = _claimed_pixels(head, file.stat().st_size)
    if pixels > _MAX_PIXELS:
        raise FrameError(f"{file} claims {pixels} pixels, expected at most {_MAX_PIXELS}")
    if head.startswith(_PNG) and not _is_whole_png(head):
        raise FrameError(f"{file} is a PNG that is cut off or damaged")
    try:
        return cv2.imread(str(file), flags)
    except cv2.error:  # of its own limits
        return None


def _is_whole_png(data: bytes) -> bool:
    """Tell whether its chunks are all there: OpenCV makes room for what they claim, up to 4 GB."""
    try:
        return read_header(data).is_complete
    except FrameError:
        return False


def _claimed_pixels(head: bytes, bytes_in_file: int) -> int:
    """Return how many pixels a decoder would make room for, 0 where the header does not tell."""
    try:
        header = read_header(head)
        return header.width * header.height
    except FrameError:
        pass
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = struct.unpack_from("<ii", head, 18)
        return abs(int(width) * int(height))
    numbers = re.match(rb"P[1-7fF]\s+(?:#[^\n]*\n\s*)*(\d{1,12})\s+(\d{1,12})", head)
    if numbers:
        pixels = int(numbers[1]) * int(numbers[2])
        return pixels if pixels <= 8 * bytes_in_file else _MAX_PIXELS + 1
    return 0


def read_depth(file: Path, units_per_m: float) -> DepthImage:
    """Read the (H, W) depth of a file; NaN = unknown.

    Whole numbers (.png, .tiff, .npy) are in units, 0 and 65535 = unknown; fractions (.npy, .tiff,
    .pfm, .exr) are metres.

    Raises:
        FrameError: it is no such file.
    """
    stored = _numpy_file(file) if file.suffix.lower() == ".npy" else _depth_image(file)
    if stored.ndim == 3 and 1 in (stored.shape[0], stored.shape[2]):
        stored = stored[0] if stored.shape[0] == 1 else stored[:, :, 0]
    is_whole = stored.dtype in (np.uint16, np.uint32, np.int32, np.int64)
    if stored.ndim != 2 or not (is_whole or np.issubdtype(stored.dtype, np.floating)):
        raise FrameError(
            f"{file} holds {stored.dtype} {stored.shape}, expected (H, W) metres, or a 16-bit "
            "depth image"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        depth_m: DepthImage = stored.astype(np.float32)
    if is_whole:
        depth_m /= np.float32(units_per_m)
    if stored.dtype == np.uint16:
        depth_m[stored == _NO_DEPTH] = np.nan
    with np.errstate(invalid="ignore"):
        depth_m[~(np.isfinite(depth_m) & (depth_m > 0.0))] = np.nan
    return depth_m


def _depth_image(file: Path) -> npt.NDArray[Any]:
    raw = _decoded(file, cv2.IMREAD_UNCHANGED)
    if raw is None and file.suffix.lower() == ".exr":
        raise FrameError(
            f"OpenCV does not read {file}: set OPENCV_IO_ENABLE_OPENEXR=1 if you trust it, or "
            "write depth as .npy, float32 metres"
        )
    if raw is None or raw.dtype == np.uint8:
        raise FrameError(f"{file} is not a 16-bit depth image")
    return np.asarray(raw)


def _numpy_file(file: Path) -> npt.NDArray[Any]:
    """Return the array of a .npy file, which is as large as its header claims."""
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray) or mapped.size > _MAX_PIXELS:
            raise FrameError(f"{file} is not an array of depth")
        return np.array(mapped)
    except FrameError:
        raise
    except Exception as error:  # the parser of the header has errors of many kinds
        raise FrameError(f"{file} is damaged or not a .npy file: {str(error)[:200]}") from error


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder in the order of the numbers in their names."""
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_TYPES)
    return sorted((file for file in files if not is_hidden(file)), key=_numbers_of_name)


def is_hidden(file: Path) -> bool:
    """Tell whether a file is one that a system keeps beside others, such as ._1.png of macOS."""
    return file.name.startswith(".")


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
    (EuRoC, 1403636579763555584), micro- or milliseconds since 1970. Times must grow from file to
    file.
    """
    is_fraction = all(re.fullmatch(r"\d{1,12}\.\d+", stem) for stem in stems)
    is_whole = all(re.fullmatch(r"[1-9]\d{12,18}", stem) for stem in stems)
    if not stems or not (is_fraction or is_whole):
        return None
    times_ns = [stamp_ns_of(stem) for stem in stems]
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

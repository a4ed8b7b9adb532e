"""Writes images as an MP4 video: H.264 where imageio-ffmpeg is installed, else MPEG-4."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from mono_depth.data import RgbImage
from mono_depth.errors import MonoDepthError

_log = logging.getLogger(__name__)


class VideoWriter:
    """A video of images of one size. Use it in a `with` block.

    Args:
        path: file to write, ending in .mp4.
        rate_hz: images per second.

    Raises:
        MonoDepthError: no encoder can write the file, or images differ in size.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self._path, self._rate_hz = path, rate_hz
        self._sink: _H264 | _Mpeg4 | None = None
        self._size = (0, 0)

    @property
    def codec(self) -> str:
        """The codec in use, empty before the first image."""
        return "" if self._sink is None else self._sink.codec

    def add(self, rgb: RgbImage) -> None:
        """Append an (H, W, 3) image; an odd last row or column is left out."""
        even = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        size = even.shape[1], even.shape[0]
        if self._sink is None:
            self._size = size
            self._sink = _open(self._path, size, self._rate_hz)
        if size != self._size:
            raise MonoDepthError(f"image of {size} pixels in a video of {self._size}")
        self._sink.add(np.ascontiguousarray(even))

    def close(self) -> None:
        """Finish the file."""
        if self._sink is not None:
            self._sink.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open(path: Path, size: tuple[int, int], rate_hz: float) -> _H264 | _Mpeg4:
    try:
        return _H264(path, size, rate_hz)
    except (ImportError, RuntimeError, OSError) as error:
        _log.warning(
            "%s becomes MPEG-4, which browsers do not play (%s); for H.264: "
            "pip install imageio-ffmpeg",
            path.name,
            error,
        )
        return _Mpeg4(path, size, rate_hz)


class _H264:
    codec = "h264"

    def __init__(self, path: Path, size: tuple[int, int], rate_hz: float) -> None:
        import imageio_ffmpeg

        self._writer: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
            str(path),
            size,
            fps=rate_hz,
            codec="libx264",
            macro_block_size=2,
            quality=None,
            output_params=["-crf", "21", "-preset", "veryfast", "-movflags", "+faststart"],
        )
        self._writer.send(None)

    def add(self, rgb: RgbImage) -> None:
        self._writer.send(rgb)

    def close(self) -> None:
        self._writer.close()


class _Mpeg4:
    codec = "mp4v"

    def __init__(self, path: Path, size: tuple[int, int], rate_hz: float) -> None:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(path), fourcc, rate_hz, size)
        if not self._writer.isOpened():
            raise MonoDepthError(f"OpenCV cannot write the video {path}")

    def add(self, rgb: RgbImage) -> None:
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()

"""Image files that must not be decoded: too large, or cut off."""

from __future__ import annotations

from pathlib import Path

import cv2

from mono_depth.errors import FrameError
from mono_depth.messages.decode_image import MAX_PIXELS
from mono_depth.messages.image_header import read_header
from mono_depth.messages.jpeg_end import decode_unended


def check_image_file(file: Path, most_pixels: int = MAX_PIXELS) -> bytes:
    """Return the content of a file that may be decoded.

    One that is cut off may not: OpenCV fills what is missing of a JPEG with grey.
    Kinds of files that `read_header` does not know pass: the decoder judges them.

    Raises:
        FrameError: it cannot be read, is cut off, or has too many pixels.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FrameError(f"{file} cannot be read: {error}") from error
    try:
        header = read_header(data)
    except FrameError:
        return data
    if header.width * header.height > most_pixels:
        raise FrameError(
            f"{file} is {header.width}x{header.height}, expected at most {most_pixels} pixels"
        )
    is_whole = header.is_complete or (
        header.kind == "JPEG" and decode_unended(data, cv2.IMREAD_COLOR) is not None
    )
    if not is_whole:
        raise FrameError(f"{file} is cut off after {len(data)} bytes")
    return data

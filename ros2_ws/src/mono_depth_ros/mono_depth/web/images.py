"""From the bytes of an upload to an upright image; what is too large is never decoded."""

from __future__ import annotations

import cv2
import numpy as np

from mono_depth.data import RgbImage
from mono_depth.errors import FrameError
from mono_depth.messages.image_header import read_header
from mono_depth.messages.jpeg_end import decode_unended
from mono_depth.web.api_error import NOT_AN_IMAGE, TOO_LARGE, WRONG_TYPE, ApiError

_ASKED_FOR = "send JPEG, PNG, WebP or TIFF"
_OTHER_FORMATS = (  # where a file begins, and what it then is
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (4, b"ftyp", "HEIC, AVIF or a video"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML"),
)


def check_upload(data: bytes, *, max_pixels: int) -> None:
    """Refuse what is no image, or too large a one, by its header alone.

    Raises:
        ApiError: it is.
    """
    try:
        header = read_header(data)
    except FrameError as error:
        for at, mark, name in _OTHER_FORMATS:
            if data[at : at + len(mark)] == mark:
                raise ApiError(WRONG_TYPE, f"this is {name}; {_ASKED_FOR}") from None
        raise ApiError(NOT_AN_IMAGE, f"{error}; {_ASKED_FOR}") from None
    size = f"{header.width}x{header.height}"
    if header.width * header.height > max_pixels:
        most = f"{max_pixels / 1e6:.3g} million pixels at most"
        raise ApiError(TOO_LARGE, f"the image has {size} pixels; {most}")
    if header.width < 1 or header.height < 1:
        raise ApiError(NOT_AN_IMAGE, f"the image has {size} pixels")


def decode_upload(data: bytes) -> RgbImage:
    """Decode what `check_upload` let pass, upright as its EXIF data says.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ApiError: it is damaged or cut off.
    """
    header, flags = read_header(data), cv2.IMREAD_COLOR
    try:
        if header.is_complete:
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        else:
            bgr = decode_unended(data, flags) if header.kind == "JPEG" else None
    except cv2.error:
        bgr = None
    if bgr is None:
        raise ApiError(NOT_AN_IMAGE, f"the {header.kind} is damaged or cut off")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

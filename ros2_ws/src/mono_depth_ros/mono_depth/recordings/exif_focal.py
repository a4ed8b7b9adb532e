"""The focal length that a camera or phone writes into its JPEGs."""

from __future__ import annotations

import math
import struct

_APP1, _SCAN = 0xE1, 0xDA
_EXIF_FOLDER, _FOCAL_35MM = 0x8769, 0xA405
_SHORT = 3
_DIAGONAL_35MM = math.hypot(36.0, 24.0)


def focal_px_of(data: bytes, width: int, height: int) -> float | None:
    """Return the focal length in pixels of a JPEG, None where it does not tell it.

    Of the tags only FocalLengthIn35mmFilm needs no size of the sensor. It is that of the whole
    image: one that was cropped later has a wrong one.

    Args:
        data: of the file.
        width: of the image [px].
        height: of the image [px].

    Source: CIPA DC-008 (Exif 2.3), 4.6.5; CIPA DCG-001 (equivalent by the diagonal).
    """
    try:
        tiff = _exif_of(data)
        if tiff is None:
            return None
        order = "<" if tiff[:2] == b"II" else ">"
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        folder = _entry(tiff, order, first, _EXIF_FOLDER)
        focal_mm = None if folder is None else _entry(tiff, order, folder, _FOCAL_35MM)
    except (struct.error, IndexError):  # damaged: the camera is not known
        return None
    return focal_mm / _DIAGONAL_35MM * math.hypot(width, height) if focal_mm else None


def _exif_of(data: bytes) -> bytes | None:
    """Return the TIFF structure in the APP1 segment of a JPEG."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while data[at] == 0xFF and data[at + 1] != _SCAN:
        (length,) = struct.unpack_from(">H", data, at + 2)
        content = data[at + 4 : at + 2 + length]
        if data[at + 1] == _APP1 and content.startswith(b"Exif\0\0"):
            return content[6:]
        at += 2 + length
    return None


def _entry(tiff: bytes, order: str, folder: int, wanted: int) -> int | None:
    """Return the value of a tag of whole numbers, None where the folder lacks it."""
    (count,) = struct.unpack_from(order + "H", tiff, folder)
    for at in range(folder + 2, folder + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, at)
        if tag == wanted:
            value = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, at + 8)
            return int(value[0])
    return None

"""Size of a compressed image, read from its first bytes without decoding it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mono_depth.errors import FrameError

_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})  # no length follows
_JPEG_SCAN = 0xDA
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH = 256, 257, 322


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What the header of a compressed image promises."""

    kind: str  # "JPEG", "PNG", "WebP" or "TIFF"
    width: int
    height: int
    is_complete: bool  # False = the end of the file is certainly missing


def read_header(data: bytes) -> ImageHeader:
    """Read format and size of a compressed image.

    Raises:
        FrameError: not JPEG, PNG, WebP or plain TIFF, or the header is cut off or damaged.

    Source: ITU-T T.81 annex B; PNG specification 11.2.2; RFC 6386 9.1, RFC 9649; TIFF 6.0.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
        if data.startswith((b"II*\x00", b"MM\x00*")):
            return _tiff(data)
    except (struct.error, IndexError):
        raise FrameError(f"compressed image of {len(data)} bytes ends inside its header") from None
    raise FrameError(
        f"compressed image of {len(data)} bytes begins with {data[:4].hex(' ') or 'nothing'}, "
        "expected JPEG, PNG, WebP or TIFF"
    )


def _jpeg(data: bytes) -> ImageHeader:
    at, size = 2, (0, 0)
    while True:
        if data[at] != 0xFF:
            raise FrameError(f"JPEG header is damaged at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_BARE_MARKERS:
            at += 2
            continue
        if marker in _JPEG_SIZE_MARKERS:
            size = struct.unpack_from(">HH", data, at + 5)
        if marker == _JPEG_SCAN:
            # Entropy-coded data never holds FF D9, so one after the scan began is the end.
            is_complete = data.rfind(b"\xff\xd9", at) >= 0
            return ImageHeader(kind="JPEG", width=size[1], height=size[0], is_complete=is_complete)
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length


def _png(data: bytes) -> ImageHeader:
    if data[12:16] != b"IHDR":
        raise FrameError(f"PNG begins with chunk {data[12:16]!r}, expected b'IHDR'")
    width, height = struct.unpack_from(">II", data, 16)
    # OpenCV allocates what a chunk claims to hold, up to 4 GB, before it looks for the bytes.
    at, name = 8, b""
    while at + 12 <= len(data) and name != b"IEND":
        chunk_bytes, name = struct.unpack_from(">I4s", data, at)
        at += 12 + chunk_bytes
    is_complete = name == b"IEND" and at <= len(data)
    return ImageHeader(kind="PNG", width=width, height=height, is_complete=is_complete)


def _webp(data: bytes) -> ImageHeader:
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        width, height = (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1
    else:
        raise FrameError(f"WebP begins with chunk {chunk!r}, expected b'VP8 ', b'VP8L' or b'VP8X'")
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    is_complete = len(data) >= riff_bytes + 8
    return ImageHeader(kind="WebP", width=width, height=height, is_complete=is_complete)


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    tags: dict[int, int] = {}
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    if _TIFF_TILE_WIDTH in tags:
        # The size of the tiles, not of the image, decides what a decoder allocates.
        raise FrameError("tiled TIFF, expected one in strips")
    width, height = tags.get(_TIFF_WIDTH, 0), tags.get(_TIFF_HEIGHT, 0)
    return ImageHeader(kind="TIFF", width=width, height=height, is_complete=True)

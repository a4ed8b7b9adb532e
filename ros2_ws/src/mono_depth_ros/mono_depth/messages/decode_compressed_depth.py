"""The compressedDepth transport of image_transport, as it comes in."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from mono_depth.data import DepthImage
from mono_depth.errors import FrameError
from mono_depth.messages.depth_reading import DepthReading, read_metres
from mono_depth.messages.image_header import read_header
from mono_depth.messages.protocols import CompressedImageMessage

_HEADER = struct.Struct("<iff")  # format, scale and offset of inverse depth


def decode_compressed_depth(msg: CompressedImageMessage, *, max_pixels: int) -> DepthImage:
    """Turn a compressedDepth message into (H, W) metres, as `read_compressed_depth`."""
    return read_compressed_depth(msg, max_pixels=max_pixels).depth_m


def read_compressed_depth(
    msg: CompressedImageMessage, *, max_pixels: int, max_depth_m: float | None = None
) -> DepthReading:
    """Turn a compressedDepth message into metres.

    Args:
        msg: format `16UC1; compressedDepth png` in millimetres, or `32FC1; ...` in inverse depth.
        max_pixels: larger images are refused before they are decoded.
        max_depth_m: as of `read_metres`.

    Returns:
        (H, W) float32 metres, > 0 or NaN.

    Raises:
        FrameError: another format or unit, damaged, cut off or too large.

    Source: image_transport_plugins, compressed_depth_image_transport/codec.cpp.
    """
    encoding, _, transport = (part.strip() for part in msg.format.partition(";"))
    if encoding not in ("16UC1", "32FC1") or not transport.startswith("compressedDepth"):
        raise FrameError(
            f"compressed depth of format {msg.format!r}, expected '16UC1; compressedDepth png' or "
            "'32FC1; compressedDepth png'"
        )
    if "rvl" in transport:
        raise FrameError(f"compressed depth of format {msg.format!r}: set the publisher to png")
    data = bytes(msg.data)
    header = read_header(data[_HEADER.size :])
    what = f"compressed depth of {header.width}x{header.height} in {len(data)} bytes"
    if header.width * header.height > max_pixels:
        raise FrameError(f"{what}, expected at most {max_pixels} pixels")
    pixels = np.frombuffer(data, np.uint8, offset=_HEADER.size)
    stored = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED) if header.is_complete else None
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        raise FrameError(f"{what} is damaged, cut off or not one channel of 16 bit")
    if encoding == "16UC1":
        return read_metres(stored, msg.format, max_depth_m)
    _, scale, offset = _HEADER.unpack_from(data)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = np.divide(np.float32(scale), stored - np.float32(offset), dtype=np.float32)
    depth_m[stored == 0] = np.nan
    return read_metres(depth_m, msg.format, max_depth_m)

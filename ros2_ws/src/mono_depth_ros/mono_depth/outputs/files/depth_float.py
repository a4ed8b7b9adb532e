"""Depth as floating-point images in metres: NPY, TIFF, OpenEXR. NaN = unknown in all three."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np

from mono_depth.data import DepthImage

_EXR_MAGIC = struct.pack("<II", 20000630, 2)  # version 2, one part of scan lines
_EXR_ZIP, _EXR_ZIP_ROWS = 3, 16
_EXR_FLOAT = 2


def depth_npy(depth_m: DepthImage) -> bytes:
    """Return (H, W) float32 depth as a NumPy file."""
    stored = io.BytesIO()
    np.save(stored, np.ascontiguousarray(depth_m, np.float32), allow_pickle=False)
    return stored.getvalue()


def depth_tiff(depth_m: DepthImage) -> bytes:
    """Return (H, W) float32 depth as a TIFF of one channel of 32-bit floats."""
    _, encoded = cv2.imencode(".tiff", np.ascontiguousarray(depth_m, np.float32))
    return encoded.tobytes()


def depth_exr(depth_m: DepthImage) -> bytes:
    """Return (H, W) float32 depth as an OpenEXR image of one 32-bit channel, `Y`, ZIP-compressed.

    The channel has the name that OpenCV and imageio read a single one by. Written here, for OpenCV
    writes EXR only in processes that were started with OPENCV_IO_ENABLE_OPENEXR.

    Source: OpenEXR File Layout, Academy Software Foundation.
    """
    height, width = depth_m.shape
    header = _EXR_MAGIC + _exr_attributes(width, height)
    rows = np.ascontiguousarray(depth_m, "<f4")
    blocks = [
        struct.pack("<i", top) + _sized(rows[top : top + _EXR_ZIP_ROWS].tobytes())
        for top in range(0, height, _EXR_ZIP_ROWS)
    ]
    first = len(header) + 8 * len(blocks)
    starts = first + np.cumsum([0, *(len(block) for block in blocks[:-1])])
    return b"".join([header, starts.astype("<u8").tobytes(), *blocks])


def _exr_attributes(width: int, height: int) -> bytes:
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channel = b"Y\0" + struct.pack("<iB3xii", _EXR_FLOAT, 0, 1, 1) + b"\0"
    attributes = (
        (b"channels", b"chlist", channel),
        (b"compression", b"compression", bytes([_EXR_ZIP])),
        (b"dataWindow", b"box2i", box),
        (b"displayWindow", b"box2i", box),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1.0)),
        (b"screenWindowCenter", b"v2f", struct.pack("<2f", 0.0, 0.0)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1.0)),
    )
    packed = (
        name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return b"".join(packed) + b"\0"


def _sized(raw: bytes) -> bytes:
    """Return the rows of a block, compressed unless they would become longer, after their length.

    EXR compresses differences of bytes, those of even places before those of odd ones.
    """
    values = np.frombuffer(raw, np.uint8)
    ordered = np.concatenate((values[::2], values[1::2]))
    changes = ordered.copy()
    changes[1:] = ordered[1:] - ordered[:-1] + np.uint8(128)
    packed = zlib.compress(changes.tobytes(), 4)
    stored = packed if len(packed) < len(raw) else raw
    return struct.pack("<i", len(stored)) + stored

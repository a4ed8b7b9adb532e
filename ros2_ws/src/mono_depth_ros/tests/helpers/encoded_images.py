"""Images as messages of every encoding, written from the description of the encodings.

Source: sensor_msgs/image_encodings.hpp.
"""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np

# Six blocks of 2x2 pixels, so that chroma at half resolution loses nothing.
RED, GREEN, BLUE = (250, 10, 20), (30, 240, 10), (20, 40, 230)
WHITE, GREY, BLACK = (255, 255, 255), (128, 128, 128), (0, 0, 0)
BLOCKS = np.array([[RED, GREEN, BLUE], [WHITE, GREY, BLACK]], np.uint8)
BLOCKS = BLOCKS.repeat(2, axis=0).repeat(2, axis=1)  # (4, 6, 3)
ORANGE = np.full((4, 6, 3), (200, 100, 50), np.uint8)

COLOR_ORDER = {
    "rgb8": "rgb",
    "bgr8": "bgr",
    "rgba8": "rgba",
    "bgra8": "bgra",
    "8UC3": "bgr",
    "8UC4": "bgra",
    "rgb16": "rgb",
    "bgr16": "bgr",
    "rgba16": "rgba",
    "bgra16": "bgra",
    "16UC3": "bgr",
    "16UC4": "bgra",
}
YUV = ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"]
MONO = ["mono8", "8UC1", "mono16", "16UC1"]
BAYER = [
    f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)
]
ALL = [*COLOR_ORDER, *YUV, *MONO, *BAYER]


def shown_by(encoding: str) -> np.ndarray:
    """Return a (4, 6, 3) image that an encoding shows as it is: YUV within 3, others exactly."""
    if encoding in BAYER:
        return ORANGE
    return np.stack((BLOCKS[..., 0],) * 3, -1) if encoding in MONO else BLOCKS


def encoded(
    encoding: str, rgb: np.ndarray, *, padding: int = 0, big: bool = False
) -> SimpleNamespace:
    """Return the fields of an image message, data as rclpy has it; mono encodings show red."""
    if encoding in YUV:
        rows = yuv_rows(encoding, rgb)
    else:
        if encoding in BAYER:
            samples = mosaic_of(rgb, encoding[6:10])
        elif encoding in MONO:
            samples = rgb[..., 0]
        else:
            planes = {c: rgb[..., i] for i, c in enumerate("rgb")}
            planes["a"] = np.full(rgb.shape[:2], 7, np.uint8)
            samples = np.stack([planes[c] for c in COLOR_ORDER[encoding]], -1)
        rows = [sample_bytes(row, encoding, big) for row in samples]
    return message(encoding, rgb.shape[1], rgb.shape[0], rows, padding=padding, big=big)


def message(
    encoding: str,
    width: int,
    height: int,
    rows: list[bytes],
    *,
    padding: int = 0,
    big: bool = False,
) -> SimpleNamespace:
    """Join rows; one of twice the length, as chroma has in NV24, gets twice the padding."""
    shortest = min(map(len, rows))
    data = b"".join(row + b"\xaa" * (padding * len(row) // shortest) for row in rows)
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big),
        step=shortest + padding,
        data=array("B", data),
    )


def as_rosbags_has_it(msg: SimpleNamespace) -> SimpleNamespace:
    """Return the same message with data in an array of numpy that cannot be written to."""
    fields: dict[str, Any] = {**vars(msg), "data": np.frombuffer(bytes(msg.data), np.uint8)}
    return SimpleNamespace(**fields)


def sample_bytes(samples: np.ndarray, encoding: str, big: bool) -> bytes:
    """Write 8 bit samples in the depth of the encoding; the low byte of 16 bits is noise."""
    if "16" not in encoding:
        return samples.tobytes()
    return (samples.astype(np.uint16) * 256 + 77).astype(">u2" if big else "<u2").tobytes()


def yuv_of(rgb: np.ndarray) -> np.ndarray:
    """Return BT.601 Y, Cb, Cr in studio swing."""
    r, g, b = np.moveaxis(rgb / 255.0, -1, 0)
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    cb = 128 - 37.797 * r - 74.203 * g + 112.0 * b
    cr = 128 + 112.0 * r - 93.786 * g - 18.214 * b
    return np.rint(np.stack((y, cb, cr), -1)).astype(np.uint8)


def yuv_rows(encoding: str, rgb: np.ndarray) -> list[bytes]:
    """Return the rows of YUV data; luma first where the planes are apart."""
    y, cb, cr = np.moveaxis(yuv_of(rgb), -1, 0)
    if encoding in ("uyvy", "yuv422"):
        packed = np.stack((cb[:, ::2], y[:, ::2], cr[:, ::2], y[:, 1::2]), -1)
        return [row.tobytes() for row in packed]
    if encoding in ("yuyv", "yuv422_yuy2"):
        packed = np.stack((y[:, ::2], cb[:, ::2], y[:, 1::2], cr[:, ::2]), -1)
        return [row.tobytes() for row in packed]
    pair = (cr, cb) if encoding == "nv21" else (cb, cr)
    chroma = np.stack(pair, -1) if encoding == "nv24" else np.stack(pair, -1)[::2, ::2]
    return [row.tobytes() for row in y] + [row.tobytes() for row in chroma]


def mosaic_of(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Return the one channel that a sensor behind a colour filter sees."""
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for i, color in enumerate(pattern):
        row, column = divmod(i, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(color)]
    return mosaic

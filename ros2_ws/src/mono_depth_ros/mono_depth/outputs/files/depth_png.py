"""Depth as 16-bit PNG in millimetres, and what its numbers mean."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage

UNKNOWN = 0
BEYOND = 65535  # farther than 16 bits of millimetres can say; readers take it for no value
MAX_M = 65.534  # the farthest that is stored as a distance

# The keys of a description that tell how to read the image.
FORMAT: dict[str, Any] = {
    "unit": "mm",
    "metres_per_unit": 0.001,
    "unknown": UNKNOWN,
    "beyond": BEYOND,
    "beyond_m": MAX_M,
    "axis": "z, along the optical axis",
}


def as_millimetres(depth_m: DepthImage) -> npt.NDArray[np.uint16]:
    """Return depth as whole millimetres, rounded.

    Args:
        depth_m: (H, W) float32 metres, NaN = unknown, +Inf = far.

    Returns:
        (H, W) uint16: 0 = unknown, 65535 = farther than 65.534 m.
    """
    known = depth_m > 0.0  # a comparison with NaN is false
    near = known & (depth_m < MAX_M + 0.0005)
    millimetres = np.rint(np.where(near, depth_m, 0.0) * 1000.0)
    return np.where(known & ~near, BEYOND, millimetres).astype(np.uint16)


def depth_png(depth_m: DepthImage) -> bytes:
    """Return a 16-bit grey PNG of depth, as `as_millimetres`.

    Args:
        depth_m: (H, W) float32 metres, NaN = unknown, +Inf = far.
    """
    _, encoded = cv2.imencode(".png", as_millimetres(depth_m))
    return encoded.tobytes()

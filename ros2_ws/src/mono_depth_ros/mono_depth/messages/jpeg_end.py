"""JPEGs without the marker of their end, as some UVC cameras send them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_END = b"\xff\xd9"
# Bytes without FF, which would be a marker: long codes, short ones, and a mixture.
_MORE_PIXELS = (b"\xfe" * 512, b"\x55" * 512, bytes((113 + 37 * i) % 251 for i in range(512)))


def decode_unended(data: bytes, flags: int) -> npt.NDArray[Any] | None:
    """Decode a JPEG whose end marker is missing, None if pixels are missing, too.

    A decoder stops reading at the last pixel. So bytes behind the data change nothing in a
    complete image, and what they change was missing.

    Args:
        data: from the start of the image to where it ends without `FF D9`.
        flags: of cv2.imdecode.

    Source: ITU-T T.81 F.2.2.5: a decoder fills up with zeros where the data ends early.
    """
    data = data.removesuffix(b"\xff")  # half of the marker
    image = _decoded(data, flags)
    if image is None:
        return None
    for more in _MORE_PIXELS:
        longer = _decoded(data + more, flags)
        if longer is None or not np.array_equal(image, longer):
            return None
    return image


def _decoded(data: bytes, flags: int) -> npt.NDArray[Any] | None:
    return cv2.imdecode(np.frombuffer(data + _END, np.uint8), flags)

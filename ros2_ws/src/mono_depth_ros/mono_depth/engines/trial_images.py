"""The pictures that every engine is tried on: a room and a street of the synthetic scenes."""

from __future__ import annotations

import cv2
import numpy as np

from mono_depth.data import RgbImage
from mono_depth.system.resources import share_dir

_NAMES = ("room.jpg", "street.jpg")


def trial_images() -> list[RgbImage]:
    """Return two (480, 640, 3) images, the same on every machine.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    folder = share_dir() / "models" / "pictures"
    return [_read(str(folder / name)) for name in _NAMES]


def _read(path: str) -> RgbImage:
    bgr = cv2.imread(path, cv2.IMREAD_COLOR)
    if bgr is None:
        raise FileNotFoundError(f"cannot read {path}: the installation is incomplete")
    rgb: RgbImage = np.ascontiguousarray(bgr[..., ::-1], np.uint8)
    return rgb

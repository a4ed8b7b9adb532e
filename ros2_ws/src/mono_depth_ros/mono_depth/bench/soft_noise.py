"""Images to measure time on where there are no others."""

from __future__ import annotations

import cv2
import numpy as np

from mono_depth.data import RgbImage


def soft_noise(width: int, height: int, count: int = 8) -> list[RgbImage]:
    """Make images of soft coloured noise: without content, but the same everywhere."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, max(2, height // 16), max(2, width // 16), 3))
    images = coarse.astype(np.uint8)
    return [np.asarray(cv2.resize(image, (width, height)), np.uint8) for image in images]

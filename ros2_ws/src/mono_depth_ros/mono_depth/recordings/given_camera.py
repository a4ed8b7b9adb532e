"""Whether the numbers of a camera can be of the images beside them."""

from __future__ import annotations

import logging
from pathlib import Path

from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.images import read_image

_LOG = logging.getLogger(__name__)
_LEAST_FOCAL = 0.02  # of the side; a view of 175 degrees has 0.022


def check_camera(fx: float, fy: float, cx: float, cy: float, image: Path) -> None:
    """Refuse a camera in another unit than pixels, and tell one of images of another size.

    Args:
        fx: in pixels.
        fy: in pixels.
        cx: in pixels.
        cy: in pixels.
        image: one of the camera; what is wrong with the file itself is left to who reads it.

    Raises:
        ConfigError: its focal lengths are no pixels.
    """
    try:
        height, width = read_image(image, upright=False).shape[:2]
    except FrameError:
        return
    told = f"fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g} for images of {width}x{height}"
    if fx < _LEAST_FOCAL * width or fy < _LEAST_FOCAL * height:
        raise ConfigError(
            f"{told} ({image.parent}): expected pixels; those in shares of the image are to be "
            "multiplied by its width and height"
        )
    if not (0.0 <= cx < width and 0.0 <= cy < height):
        _LOG.warning("%s (%s): are they those of images of another size?", told, image.parent)

"""What the camera node asks of a source of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sensor_msgs.msg import CameraInfo

from mono_depth.data import RgbImage
from mono_depth.errors import MonoDepthError


class SourceError(MonoDepthError):
    """There are no images where the user said there are."""


class ImageSource(Protocol):
    """A finite recording or an endless camera."""

    @property
    def rate_hz(self) -> float | None:
        """Rate of the recording; None for a camera, which sets its own pace."""

    @property
    def info(self) -> CameraInfo | None:
        """Calibration that is part of the source."""

    def frames(self) -> Iterator[tuple[RgbImage, int | None]]:
        """Yield each (H, W, 3) image with its recorded time [ns], from the start at every call.

        Raises:
            MonoDepthError: an image cannot be read.
        """

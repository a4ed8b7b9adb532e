"""The pictures that every engine is tried on: a room and a street of the synthetic scenes."""

from __future__ import annotations

from mono_depth.data import RgbImage
from mono_depth.errors import FrameError
from mono_depth.recordings.images import read_image
from mono_depth.system.resources import share_dir

_NAMES = ("room.jpg", "street.jpg")


def trial_images() -> list[RgbImage]:
    """Return two (480, 640, 3) images, the same on every machine.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    folder = share_dir() / "models" / "pictures"
    try:
        return [read_image(folder / name) for name in _NAMES]
    except FrameError as error:
        raise FileNotFoundError(f"{error}: the installation is incomplete") from error

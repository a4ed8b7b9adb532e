"""The images that every engine is tried on: a room and a street of the synthetic scenes."""

from __future__ import annotations

import numpy as np
import torch

from mono_depth.data import Intrinsics, RgbImage
from mono_depth.errors import FrameError
from mono_depth.models.protocol import DepthModel, GuidedModel, Hints
from mono_depth.recordings.images import read_image
from mono_depth.system.resources import share_dir

_NAMES = ("room.jpg", "street.jpg")
_POINT_STEP_PX = 40
_NEAREST_M, _FARTHEST_M = 1.5, 6.0  # of the points
_CAMERA_HEIGHT_M = 1.2


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


def trial_hints(rgb: RgbImage) -> tuple[Intrinsics, Hints]:
    """Return a camera for an image, and hints of all kinds that could be true of it.

    Points in the left half only, farther towards the top; and level ground.
    """
    height, width = rgb.shape[:2]
    depth_m = torch.full((height, width), torch.nan)
    rows = torch.arange(_POINT_STEP_PX // 2, height, _POINT_STEP_PX)
    known_m = torch.linspace(_FARTHEST_M, _NEAREST_M, len(rows))
    for column in range(_POINT_STEP_PX // 2, width // 2, _POINT_STEP_PX):
        depth_m[rows, column] = known_m
    hints = Hints(
        depth_m=depth_m,
        gravity_camera=np.array([0.0, 1.0, 0.0]),
        camera_height_m=_CAMERA_HEIGHT_M,
    )
    return Intrinsics.assumed(width, height), hints


def show(model: DepthModel, rgb: RgbImage) -> None:
    """Let a model see an image so that each of its networks runs: with hints if it takes any.

    Raises:
        FrameError: the model fails on it.
    """
    image = torch.from_numpy(rgb).to(model.device)
    if isinstance(model, GuidedModel):
        model.infer_guided(image, *trial_hints(rgb))
    else:
        model.infer(image, None)

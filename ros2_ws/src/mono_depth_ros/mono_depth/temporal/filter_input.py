"""One frame at the size that the temporal filters work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.outputs.upsampling import luma

_LONG_SIDE = 320  # of the maps [pixels]


@dataclass(frozen=True, kw_only=True)
class FilterInput:
    """What a temporal filter takes of one frame."""

    values: torch.Tensor  # (h, w) float32 of the network, in the domain of the filter
    grey: torch.Tensor  # (h, w) uint8
    camera: Intrinsics
    stamp_ns: int
    T_odom_camera: Pose | None = None

    @cached_property
    def host_grey(self) -> npt.NDArray[np.uint8]:
        """The image in the memory of the CPU, for optical flow."""
        return np.asarray(self.grey.cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """The present frame after a temporal filter."""

    values: torch.Tensor  # (h, w) float32 as they came in, changed by the filter
    confidence: torch.Tensor  # (h', w') float32, 0..1
    mode: str  # where the motion came from: "pose", "flow", "static"
    reset: str  # why the past was forgotten with this frame, "" = it was not
    doubt: str = ""  # why odometry was not used for this frame, "" = it was, or there is none


def working_camera(intrinsics: Intrinsics) -> Intrinsics:
    """Return the camera of the same view at the size of the filter."""
    shrink = min(1.0, _LONG_SIDE / max(intrinsics.width, intrinsics.height))
    return intrinsics.scaled_to(
        max(1, round(intrinsics.width * shrink)), max(1, round(intrinsics.height * shrink))
    )


def grey_of(rgb: torch.Tensor, camera: Intrinsics) -> torch.Tensor:
    """Return (h, w) uint8 brightness. Source: ITU-R BT.601 luma."""
    size = (camera.height, camera.width)
    if rgb.device.type == "cpu":
        grey = cv2.cvtColor(rgb.numpy(), cv2.COLOR_RGB2GRAY)
        return torch.from_numpy(cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA))
    bright = (rgb.float() @ luma(rgb.device))[None, None]
    return functional.interpolate(bright, size, mode="area")[0, 0].round().to(torch.uint8)

"""One frame at the size that the temporal filters work on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.system.transfers import uploaded

LONG_SIDE_PX = 320  # of the maps


@dataclass(frozen=True, kw_only=True)
class FilterInput:
    """What a temporal filter takes of one frame."""

    values: torch.Tensor  # (h, w) float32 of the network, in the domain of the filter
    host_grey: npt.NDArray[np.uint8]  # (h, w) the image in the memory of the CPU, for corners
    camera: Intrinsics
    stamp_ns: int
    T_odom_camera: Pose | None = None

    @cached_property
    def grey(self) -> torch.Tensor:
        """(h, w) uint8, the image where the values are."""
        return uploaded(self.host_grey, self.values.device)


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """The present frame after a temporal filter."""

    values: torch.Tensor  # (h, w) float32 as they came in, changed by the filter
    confidence: torch.Tensor  # (h', w') float32, 0..1
    mode: str  # where the motion came from: "pose", "flow", "static"
    reset: str  # why the past was forgotten with this frame, "" = it was not
    doubt: str = ""  # why odometry was not used for this frame, "" = it was, or there is none

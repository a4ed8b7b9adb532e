"""Points of known depth that the motion of the camera has shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class MotionPoints:
    """Points of known depth in one image, and why there are no more."""

    pixels: npt.NDArray[np.float64]  # (N, 2) column and row of the image
    depth_m: npt.NDArray[np.float64]  # (N,) along z
    sigma_rel: npt.NDArray[np.float64]  # (N,) relative deviation of the depth
    views: npt.NDArray[np.intp]  # (N,) that each was measured in
    age_s: npt.NDArray[np.float64]  # (N,) since each was followed last, 0 = it is
    followed: int = 0  # corners
    refused: float = 0.0  # share of the followed ones that do not move as resting things do
    parallax_px: float = 0.0  # median of the corners since the newest key view
    reason: str = ""  # why there are none, "" = there are some

    def __len__(self) -> int:
        return len(self.depth_m)

    @classmethod
    def none(cls, reason: str, *, followed: int = 0) -> MotionPoints:
        """Return no points."""
        nothing = np.empty(0)
        return cls(
            pixels=np.empty((0, 2)),
            depth_m=nothing,
            sigma_rel=nothing,
            views=np.empty(0, np.intp),
            age_s=nothing,
            followed=followed,
            reason=reason,
        )

"""Where every pixel of this frame was in the last one, by dense optical flow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

_MIN_SIDE_PX = 16  # of an image that the search takes
_LOOP_PX2 = 0.5  # a flow whose way back misses its start by more is wrong (squared pixels),
_LOOP_SHARE = 0.01  # and by this share of its squared length
# Source: Sundaram, Brox and Keutzer, Dense Point Trajectories, ECCV 2010, equation 5.


@dataclass(frozen=True, kw_only=True)
class DenseFlow:
    """Motion of the image in pixels: the pixel (x, y) now was at (x + dx, y + dy)."""

    dx: npt.NDArray[np.float32]  # (h, w)
    dy: npt.NDArray[np.float32]  # (h, w)
    is_good: npt.NDArray[np.bool_]  # (h, w), the way there and back closes

    def grid(self) -> npt.NDArray[np.float32]:
        """Return (h, w, 2) where to look in the last frame, -1 and +1 on its edges."""
        height, width = self.dx.shape
        grid = np.empty((height, width, 2), np.float32)
        column, row = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
        grid[..., 0] = (self.dx + (column + 0.5)) * (2.0 / width) - 1.0
        grid[..., 1] = (self.dy + (row + 0.5)[:, None]) * (2.0 / height) - 1.0
        return grid


class DenseFlowEstimator:
    """Dense inverse search in both directions.

    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016.
    """

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def estimate(self, grey: npt.NDArray[np.uint8], last_grey: npt.NDArray[np.uint8]) -> DenseFlow:
        """Return the flow from this (h, w) frame to the last one; none is good in a tiny one."""
        if min(grey.shape) < _MIN_SIDE_PX:
            return replace(no_flow(grey.shape), is_good=np.zeros(grey.shape, np.bool_))
        start = np.zeros((*grey.shape, 2), np.float32)
        there = np.asarray(self._search.calc(grey, last_grey, start.copy()), np.float32)
        back = np.asarray(self._search.calc(last_grey, grey, start), np.float32)
        dx, dy = cv2.split(there)
        column = np.arange(grey.shape[1], dtype=np.float32)
        row = np.arange(grey.shape[0], dtype=np.float32)[:, None]
        returned = cv2.remap(back, dx + column, dy + row, cv2.INTER_LINEAR)
        back_dx, back_dy = cv2.split(returned)
        miss_px2 = np.square(dx + back_dx) + np.square(dy + back_dy)
        length_px2 = dx * dx + dy * dy + back_dx * back_dx + back_dy * back_dy
        return DenseFlow(
            dx=np.asarray(dx, np.float32),
            dy=np.asarray(dy, np.float32),
            is_good=miss_px2 < _LOOP_SHARE * length_px2 + _LOOP_PX2,
        )


def no_flow(shape: tuple[int, ...]) -> DenseFlow:
    """Return the flow of a camera that stands still."""
    still = np.zeros(shape, np.float32)
    return DenseFlow(dx=still, dy=still, is_good=np.ones(shape, np.bool_))

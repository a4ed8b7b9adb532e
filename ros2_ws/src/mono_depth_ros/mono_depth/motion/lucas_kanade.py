"""Points of one image, found in another."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def found_in(
    second: npt.NDArray[np.uint8],
    first: npt.NDArray[np.uint8],
    points: npt.NDArray[np.float32],
    guess: npt.NDArray[np.float32],
    *,
    window_px: int,
    levels: int,
    iterations: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return where (N, 2) points of the first image are in the second one, and which are found.

    Args:
        second: (h, w).
        first: (h, w).
        points: columns and rows in the first image.
        guess: where they may be in the second one.
        window_px: side of what is compared around a point.
        levels: of the pyramid beside the image itself.
        iterations: at most, on each level.

    Source: Bouguet, Pyramidal Implementation of the Lucas Kanade Feature Tracker, 2000.
    """
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        points,
        guess.copy(),
        winSize=(window_px, window_px),
        maxLevel=levels,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, iterations, 0.02),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(found, np.float32), np.asarray(status).ravel() > 0

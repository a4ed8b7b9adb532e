"""Whether the depth edges of a prediction stand where those of the truth do."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.evaluation.measures.metrics import Depths

Bools = npt.NDArray[np.bool_]

_RATIOS = np.linspace(1.05, 1.25, 10)
_SHADOW_PX = 6  # what a depth camera does not see beside a near thing is background


def boundary_f1(
    prediction_m: Depths, truth_m: Depths, reach_px: int = 1, step_px: int = 1
) -> float:
    """Return the F1 score of the depth edges of a prediction, 0 to 1.

    An edge lies between two pixels, `step_px` apart, whose depths differ by more than a ratio; it
    has a direction. The score is the mean over ratios of 1.05 to 1.25, weighted by them. The scale
    of the prediction does not matter.

    Args:
        prediction_m: (H, W) of any scale, finite and positive.
        truth_m: (H, W), NaN = not known: there an edge is neither wanted nor wrong.
        reach_px: how far from each other edges may stand; the depth of sensors is not aligned
            better.
        step_px: a small network spreads its edges over some pixels; between neighbours it has
            none.

    Returns:
        NaN where the truth has no edge.

    Source: Bochkovskii et al., "Depth Pro", ICLR 2025, section 4 and appendix; the tolerance is
    this project's own.
    """
    truth = np.log(bridged(truth_m))
    prediction = np.log(np.asarray(prediction_m, np.float64))
    scores, weights = [], []
    for ratio in _RATIOS:
        said = hit = wanted = reached = 0
        for axis in (0, 1):
            steps = _steps(truth, axis, step_px)
            known = np.isfinite(steps)
            guess = _steps(prediction, axis, step_px)
            for sign in (1.0, -1.0):
                is_edge = known & (sign * np.nan_to_num(steps) > np.log(ratio))
                is_said = known & (sign * guess > np.log(ratio))
                said += int(is_said.sum())
                hit += int((is_said & _grown(is_edge, reach_px)).sum())
                wanted += int(is_edge.sum())
                reached += int((is_edge & _grown(is_said, reach_px)).sum())
        if wanted:
            precision, recall = hit / max(said, 1), reached / wanted
            scores.append(2.0 * precision * recall / max(precision + recall, 1e-9))
            weights.append(ratio)
    return float(np.average(scores, weights=weights)) if scores else np.nan


def bridged(truth_m: Depths, most_px: int = _SHADOW_PX) -> npt.NDArray[np.float64]:
    """Return a depth map with its narrow gaps filled by the farther of both sides.

    A depth camera with two eyes sees nothing beside a near thing; what it misses lies behind it.

    Args:
        truth_m: (H, W), NaN or 0 = not known.
        most_px: width of a gap up to which it is filled.
    """
    known_m = np.asarray(truth_m, np.float64).copy()
    known_m[~(known_m > 0.0)] = np.nan
    across = _bridged_rows(known_m, most_px)
    down = _bridged_rows(known_m.T, most_px).T
    return np.where(np.isfinite(across), across, down)


def _bridged_rows(depth_m: npt.NDArray[np.float64], most_px: int) -> npt.NDArray[np.float64]:
    known = np.isfinite(depth_m)
    width = depth_m.shape[1]
    place = np.broadcast_to(np.arange(width), depth_m.shape)
    before = np.maximum.accumulate(np.where(known, place, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, place, width)[:, ::-1], axis=1)[:, ::-1]
    is_gap = ~known & (before >= 0) & (after < width) & (after - before <= most_px + 1)
    left = np.take_along_axis(depth_m, before.clip(min=0), axis=1)
    right = np.take_along_axis(depth_m, after.clip(max=width - 1), axis=1)
    return np.where(is_gap, np.fmax(left, right), depth_m)


def _steps(log_depth: npt.NDArray[np.float64], axis: int, step_px: int) -> npt.NDArray[np.float64]:
    along = np.moveaxis(log_depth, axis, 0)
    return np.moveaxis(along[step_px:] - along[:-step_px], 0, axis)


def _grown(mask: Bools, reach_px: int) -> Bools:
    side = 2 * reach_px + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0

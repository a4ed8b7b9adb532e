"""What a confidence is worth, in raw metres: whether it ranks the error, and catches the worst.

Metres are compared as they are given, no scale is taken out: a robot has none to take out either.
Pixels are ranked within bands of true distance too, lest what is near is simply confident.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.evaluation.measures.temporal_metrics import confidence_ratio
from mono_depth.evaluation.measures.tracks import Maps

BANDS_M = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 100.0)
GATE = 0.1  # of the obstacle outputs
NEAR_M = 4.0
TOO_FAR = 1.25  # times the truth
_LEAST_IN_BAND = 50  # pixels of one frame
_BINS = 10

Curve = tuple[tuple[float, float, float], ...]  # mean confidence, share within 25 %, mean error


@dataclass(frozen=True, kw_only=True)
class ConfidenceScores:
    """What the confidence of a recording is worth; NaN = nothing to measure."""

    half: float  # error of the more confident half of each frame over that of all
    half_in_bands: float  # the same within bands of true distance, weighted by their pixels
    best_in_bands: float  # what a perfect ranking would have there
    too_far: float  # share of the near pixels that are too far
    caught: float  # of these, the share below the gate
    gated: float  # share of the near pixels that are not too far and below the gate: the price
    curve: Curve  # tenths of the pixels, least confident first


def confidence_scores(depth_m: Maps, truth_m: Maps, confidence: Maps) -> ConfidenceScores:
    """Return all measures of (n, h, w) depth and confidence against the truth.

    Args:
        depth_m: NaN or Inf = not given.
        truth_m: NaN = not known.
        confidence: 0..1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(depth_m / truth_m - 1.0)
        error = np.where(np.isfinite(error), error, np.nan)
        is_near = np.isfinite(error) & (truth_m < NEAR_M)
        is_too_far = is_near & (depth_m > TOO_FAR * truth_m)
    is_below = confidence < GATE
    perfect = np.where(np.isfinite(error), -error, np.nan)
    return ConfidenceScores(
        half=confidence_ratio(error, confidence),
        half_in_bands=_in_bands(error, truth_m, confidence),
        best_in_bands=_in_bands(error, truth_m, perfect),
        too_far=_share(is_too_far, is_near),
        caught=_share(is_below, is_too_far),
        gated=_share(is_below, is_near & ~is_too_far),
        curve=_curve(error, confidence),
    )


def _in_bands(error: Maps, truth_m: Maps, confidence: Maps) -> float:
    """Return `confidence_ratio` of each band of each frame, weighted by its pixels."""
    ratios, weights = [], []
    for frame_error, frame_truth_m, rank in zip(error, truth_m, confidence, strict=True):
        band = np.digitize(frame_truth_m, BANDS_M)
        for index in range(1, len(BANDS_M)):
            inside = (band == index) & np.isfinite(frame_error)
            count = int(inside.sum())
            if count >= _LEAST_IN_BAND:
                ratios.append(confidence_ratio(frame_error[inside][None], rank[inside][None]))
                weights.append(count)
    return float(np.average(ratios, weights=weights)) if ratios else np.nan


def _share(of: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return float(of[among].mean()) if among.any() else np.nan


def _curve(error: Maps, confidence: Maps) -> Curve:
    known = np.isfinite(error)
    if known.sum() < _BINS:
        return ()
    order = np.argsort(confidence[known], kind="stable")
    parts = zip(
        np.array_split(confidence[known][order], _BINS),
        np.array_split(error[known][order], _BINS),
        strict=True,
    )
    return tuple(
        (float(rank.mean()), float((off < TOO_FAR - 1.0).mean()), float(off.mean()))
        for rank, off in parts
    )

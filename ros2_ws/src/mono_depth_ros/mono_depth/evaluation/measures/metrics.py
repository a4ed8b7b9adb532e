"""Error measures of a depth map against ground truth.

All functions take (H, W) or flat arrays of one shape in metres and use the pixels where both are
finite and positive. NaN comes back where no such pixel is left.

Source: Eigen, Puhrsch, Fergus, "Depth Map Prediction from a Single Image using a Multi-Scale Deep
Network", NeurIPS 2014, section 4.2 (AbsRel, RMSE, delta); Zhou et al., "Unsupervised Learning of
Depth and Ego-Motion from Video", CVPR 2017, section 4.1 (scaling by the ratio of medians). The
correlation and contrast of log depth are this project's own: they show structure, which a good
guess of the mean depth does not have, and smoothing, which buys a low AbsRel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Depths = npt.NDArray[np.floating]

_DELTA_BASE = 1.25


@dataclass(frozen=True, kw_only=True)
class DepthScores:
    """Measures of one frame, or the mean of several."""

    abs_rel: float  # mean |prediction - truth| / truth
    rmse_m: float  # root of the mean squared error
    delta1: float  # share of pixels with max(prediction / truth, truth / prediction) < 1.25
    delta2: float  # ... < 1.25^2
    delta3: float  # ... < 1.25^3
    log_correlation: float  # Pearson, of log depth; NaN where either is constant
    log_contrast: float  # std(log prediction) / std(log truth); below 1 = flatter than the truth


def valid_pairs(prediction_m: Depths, truth_m: Depths) -> tuple[Depths, Depths]:
    """Return the values, as flat float64, of the pixels where both are finite and positive.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction_m.shape != truth_m.shape:
        raise ValueError(f"prediction of shape {prediction_m.shape}, truth of {truth_m.shape}")
    with np.errstate(invalid="ignore"):
        both = (prediction_m > 0) & (truth_m > 0)
    both &= np.isfinite(prediction_m) & np.isfinite(truth_m)
    return prediction_m[both].astype(np.float64), truth_m[both].astype(np.float64)


def median_scale(prediction_m: Depths, truth_m: Depths) -> float:
    """Return median(truth) / median(prediction), the factor that aligns the prediction."""
    prediction, truth = valid_pairs(prediction_m, truth_m)
    return float(np.median(truth) / np.median(prediction)) if truth.size else np.nan


def abs_rel(prediction_m: Depths, truth_m: Depths) -> float:
    """Return mean(|prediction - truth| / truth)."""
    prediction, truth = valid_pairs(prediction_m, truth_m)
    return float(np.mean(np.abs(prediction - truth) / truth)) if truth.size else np.nan


def rmse_m(prediction_m: Depths, truth_m: Depths) -> float:
    """Return sqrt(mean((prediction - truth)^2)) in metres."""
    prediction, truth = valid_pairs(prediction_m, truth_m)
    return float(np.sqrt(np.mean((prediction - truth) ** 2))) if truth.size else np.nan


def delta(prediction_m: Depths, truth_m: Depths, power: int = 1) -> float:
    """Return the share of pixels that are wrong by a factor less than 1.25^power."""
    prediction, truth = valid_pairs(prediction_m, truth_m)
    ratio = np.maximum(prediction / truth, truth / prediction)
    return float(np.mean(ratio < _DELTA_BASE**power)) if truth.size else np.nan


def log_correlation(prediction_m: Depths, truth_m: Depths) -> float:
    """Return the Pearson correlation of log depth, NaN where either map is constant."""
    a, b = (np.log(values) for values in valid_pairs(prediction_m, truth_m))
    if a.size < 2 or _is_constant(a) or _is_constant(b):
        return np.nan
    return float(np.corrcoef(a, b)[0, 1])


def log_contrast(prediction_m: Depths, truth_m: Depths) -> float:
    """Return std(log prediction) / std(log truth), NaN where the truth is constant."""
    a, b = (np.log(values) for values in valid_pairs(prediction_m, truth_m))
    if a.size < 2 or _is_constant(b):
        return np.nan
    return float(a.std() / b.std())


def depth_scores(
    prediction_m: Depths, truth_m: Depths, *, align_median: bool = False
) -> DepthScores:
    """Return all measures of one frame.

    Args:
        prediction_m: metres, or of unknown scale with `align_median`.
        truth_m: metres, NaN or 0 = unknown.
        align_median: multiply the prediction by `median_scale` first.
    """
    prediction, truth = valid_pairs(prediction_m, truth_m)
    if align_median:
        prediction = prediction * median_scale(prediction, truth)
    return DepthScores(
        abs_rel=abs_rel(prediction, truth),
        rmse_m=rmse_m(prediction, truth),
        delta1=delta(prediction, truth, 1),
        delta2=delta(prediction, truth, 2),
        delta3=delta(prediction, truth, 3),
        log_correlation=log_correlation(prediction, truth),
        log_contrast=log_contrast(prediction, truth),
    )


def mean_scores(scores: Iterable[DepthScores]) -> DepthScores:
    """Return the mean over frames of each measure, over the frames that have it."""
    table = list(scores)
    means = {}
    for item in fields(DepthScores):
        values = np.array([getattr(score, item.name) for score in table], dtype=np.float64)
        values = values[~np.isnan(values)]
        means[item.name] = float(values.mean()) if values.size else np.nan
    return DepthScores(**means)


def _is_constant(values: Depths) -> bool:
    return bool(np.ptp(values) <= 1e-9)

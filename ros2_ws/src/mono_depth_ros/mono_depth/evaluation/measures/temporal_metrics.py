"""Measures of depth over time against the truth.

No single one of them says that a filter is good: constant depth has no flicker, and depth warped
along optical flow without regard to forward motion has a low TAE while obstacles are reported
too far. Read flicker, AbsRel and near bias together.

Maps are (n, h, w): n frames in order. NaN = unknown, and NaN comes back where nothing is left to
measure. Errors in log depth are written as fractions: 0.05 is 5 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.evaluation.measures.tracks import Maps, Masks, Track, TrueScene

NEAR_M = 1.5
_NEAR_SHARE = 0.15  # the nearest part of the scene, where nothing is nearer than that
_ENOUGH_NEAR = 0.001  # of all pixels
_EDGE_JUMP = 0.1  # depth of direct neighbours differs by more than this fraction
_EDGE_RADIUS_PX = 3
_RANKING_SEED = 0


@dataclass(frozen=True, kw_only=True)
class TemporalScores:
    """Measures of a sequence; after one scale for the whole sequence where a scale matters."""

    scale: float  # what the depth was multiplied with: exp(median log(truth / depth))
    scale_spread: float  # see `scale_spread`
    flicker: float  # see `flicker`
    tepe_per_m: float  # see `tepe`
    tepe_relative: float
    near_bias: float  # see `near_bias`
    edge_error: float  # AbsRel within 3 pixels of a depth edge of the truth
    mover_error: float  # AbsRel of what moves
    confidence_ratio: float  # see `confidence_ratio`


def temporal_scores(
    depth_m: Maps,
    confidence: Maps,
    scene: TrueScene,
    scene_tracks: Sequence[Track | None],
    near_m: float,
) -> TemporalScores:
    """Return all measures of this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN here
        scale = sequence_scale(depth_m, scene.depth_m)
        log_error = log_errors(depth_m * scale, scene.depth_m)
        error = np.abs(np.expm1(log_error))
        absolute, relative = tepe(depth_m * scale, scene.depth_m, scene_tracks)
        return TemporalScores(
            scale=scale,
            scale_spread=scale_spread(log_error),
            flicker=flicker(log_error, scene_tracks),
            tepe_per_m=absolute,
            tepe_relative=relative,
            near_bias=near_bias(log_error, scene.depth_m, near_m),
            edge_error=float(np.nanmean(error[edge_band(scene.depth_m)])),
            mover_error=float(np.nanmean(error[scene.mover])),
            confidence_ratio=confidence_ratio(error, confidence),
        )


def log_errors(depth_m: Maps, truth_m: Maps) -> Maps:
    """Return log(depth / truth), NaN where either is unknown or not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(depth_m / truth_m)
    return np.asarray(np.where(np.isfinite(ratio), ratio, np.nan))


def sequence_scale(depth_m: Maps, truth_m: Maps) -> float:
    """Return the one factor that fits the depth of a sequence: exp(median log(truth / depth))."""
    return float(np.exp(-np.nanmedian(log_errors(depth_m, truth_m))))


def frame_scales(log_error: Maps) -> npt.NDArray[np.float64]:
    """Return the median of log(depth / truth) of each frame."""
    return np.nanmedian(log_error.reshape(len(log_error), -1), axis=1).astype(np.float64)


def scale_spread(log_error: Maps) -> float:
    """Return the standard deviation over frames of the median log(depth / truth).

    A scale that breathes bends maps and makes walls come and go, even if each frame looks right.
    """
    return float(np.nanstd(frame_scales(log_error)))


def flicker_of_frames(
    log_error: Maps, scene_tracks: Sequence[Track | None]
) -> npt.NDArray[np.float64]:
    """Return the mean |change of log(depth / truth)| along the tracks into each frame."""
    values = np.full(len(log_error), np.nan)
    for index, track in enumerate(scene_tracks):
        if track is not None:
            now, last = log_error[index].ravel(), log_error[index - 1].ravel()
            values[index] = np.nanmean(np.abs(now[track.now] - last[track.last]))
    return values


def flicker(log_error: Maps, scene_tracks: Sequence[Track | None]) -> float:
    """Return the mean over frames of |change of log(depth / truth)| along true tracks.

    The truth in the quotient takes out what the motion of the camera does to depth, so perfect
    depth scores 0 whatever the camera does; an error that stays with its surface costs nothing.
    """
    return float(np.nanmean(flicker_of_frames(log_error, scene_tracks)))


def tepe(depth_m: Maps, truth_m: Maps, scene_tracks: Sequence[Track | None]) -> tuple[float, float]:
    """Return the temporal end-point error of inverse depth, absolute [1/m] and relative.

    |change of 1/depth - change of 1/truth| along the true flow; the relative form divides by
    |change of 1/truth| + 0.001. The original takes disparity in pixels, which one camera has not.

    Source: Li et al., "Temporally Consistent Online Depth Estimation in Dynamic Scenes", WACV
    2023, `t_epe_metric` of the authors' code (CODD).
    """
    absolute, relative = [], []
    with np.errstate(divide="ignore"):
        inverse, true_inverse = 1.0 / depth_m, 1.0 / truth_m
    for index, track in enumerate(scene_tracks):
        if track is None:
            continue
        change, true_change = (
            maps[index].ravel()[track.now] - maps[index - 1].ravel()[track.last]
            for maps in (inverse, true_inverse)
        )
        error = np.abs(change - true_change)
        absolute.append(np.nanmean(error))
        relative.append(np.nanmean(error / (np.abs(true_change) + 1e-3)))
    return float(np.nanmean(absolute)), float(np.nanmean(relative))


def near_limit_m(truth_m: Maps, near_m: float = NEAR_M) -> float:
    """Return `near_m`, or where nothing is that near the depth of the nearest 15 %."""
    known = truth_m[np.isfinite(truth_m)]
    if known.size and np.mean(known < near_m) < _ENOUGH_NEAR:
        return float(np.quantile(known, _NEAR_SHARE))
    return near_m


def near_bias(log_error: Maps, truth_m: Maps, near_m: float = NEAR_M) -> float:
    """Return the signed mean of log(depth / truth) where the truth is nearer than `near_m`.

    Positive = obstacles are reported farther than they are, the dangerous side.
    """
    with np.errstate(invalid="ignore"):
        return float(np.nanmean(log_error[truth_m < near_m]))


def edge_band(truth_m: Maps) -> Masks:
    """Return the pixels within 3 of a place where the true depth jumps by more than 10 %."""
    marked = np.zeros(truth_m.shape, np.uint8)
    limit = 1.0 + _EDGE_JUMP
    with np.errstate(invalid="ignore"):
        for a, b, of_a, of_b in (
            (truth_m[:, :-1], truth_m[:, 1:], marked[:, :-1], marked[:, 1:]),
            (truth_m[:, :, :-1], truth_m[:, :, 1:], marked[:, :, :-1], marked[:, :, 1:]),
        ):
            jump = (a > limit * b) | (b > limit * a)
            of_a |= jump
            of_b |= jump
    # the marked pixels touch the edge, so they are its first pixel on either side
    kernel = np.ones((2 * _EDGE_RADIUS_PX - 1,) * 2, np.uint8)
    return np.stack([cv2.dilate(mask, kernel) > 0 for mask in marked])


def confidence_ratio(error: Maps, confidence: Maps) -> float:
    """Return the mean error of the most confident half of the pixels over that of all.

    The mean over frames; 1 = confidence says nothing, 0 = the confident half is right. Pixels of
    equal confidence are drawn by chance, so a constant scores 1.
    """
    random = np.random.default_rng(_RANKING_SEED)
    ratios = []
    for frame_error, frame_confidence in zip(error, confidence, strict=True):
        known = np.isfinite(frame_error) & np.isfinite(frame_confidence)
        values = frame_error[known].astype(np.float64)
        if values.size < 2 or values.mean() == 0.0:
            continue
        order = np.lexsort((random.random(values.size), -frame_confidence[known]))
        ratios.append(values[order[: values.size // 2]].mean() / values.mean())
    return float(np.mean(ratios)) if ratios else np.nan

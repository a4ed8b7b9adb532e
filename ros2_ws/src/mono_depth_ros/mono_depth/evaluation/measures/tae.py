"""Temporal alignment error, as it is published and as one should measure it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import Pose
from mono_depth.data import Intrinsics
from mono_depth.evaluation.measures.temporal_metrics import sequence_scale
from mono_depth.evaluation.measures.tracks import Maps, TrueScene, projected

_TINY = 1e-3  # m and 1/m, as the original clips


def tae_published(depth_m: Maps, scene: TrueScene, max_depth_m: float = 10.0) -> float:
    """Return the temporal alignment error as Video Depth Anything measures it, as a fraction.

    One scale and shift of inverse depth is fitted by least squares over all pixels of the
    sequence whose truth is nearer than `max_depth_m`; depth is clipped to that; each frame is
    projected with the true pose onto the next and back, to the nearest pixel, where the last
    point written stays even if it lies behind; mean of |depth - projected| / depth. Perfect depth
    does not score 0. What is left out: the crop of 8 rows and 11 columns, made for the black
    borders of ScanNet.

    Source: Chen et al., "Video Depth Anything", CVPR 2025, `benchmark/eval/eval_tae.py` of the
    authors' code.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.maximum(1.0 / depth_m.astype(np.float64), _TINY)
        fit = np.isfinite(inverse) & (scene.depth_m > _TINY) & (scene.depth_m < max_depth_m)
    x = inverse[fit]
    a, b = np.linalg.lstsq(
        np.stack((x, np.ones_like(x)), axis=1), 1.0 / scene.depth_m[fit], rcond=None
    )[0]
    aligned_m = np.clip(1.0 / np.maximum(a * inverse + b, _TINY), _TINY, max_depth_m)
    return _mean_error(aligned_m, scene, nearest_wins=False)


def tae_zbuffered(depth_m: Maps, scene: TrueScene) -> float:
    """Return the temporal alignment error of static surfaces with a z-buffer, as a fraction.

    As the published one, but: one scale for the sequence and no shift, so a filter cannot gain
    by a shift; the nearest point of those that fall on a pixel counts; movers are left out.
    """
    scaled = depth_m * sequence_scale(depth_m, scene.depth_m)
    return _mean_error(np.where(scene.mover, np.nan, scaled), scene, nearest_wins=True)


def _mean_error(depth_m: Maps, scene: TrueScene, *, nearest_wins: bool) -> float:
    errors = []
    for index in range(1, len(scene)):
        T_last_now = scene.T_last_now(index)
        if T_last_now is None:
            continue
        last, now, K = depth_m[index - 1], depth_m[index], scene.intrinsics
        T_now_last: Pose = np.linalg.inv(T_last_now).astype(np.float64)
        errors.append(_one_way(last, now, K, T_now_last, nearest_wins))
        errors.append(_one_way(now, last, K, T_last_now, nearest_wins))
    return float(np.mean(errors)) if errors else np.nan


def _one_way(
    source_m: Maps, target_m: Maps, K: Intrinsics, T_target_source: Pose, nearest_wins: bool
) -> float:
    """Return mean |target - projected source| / target; 0 if nothing meets, as the original."""
    index, z = projected(source_m, K, T_target_source)
    written = np.zeros(target_m.size)
    order = np.flatnonzero(index >= 0)
    if nearest_wins:
        order = order[np.argsort(-z[order], kind="stable")]
    written[index[order]] = z[order]  # of equal indices the last value stays
    return _abs_rel(written, target_m.ravel().astype(np.float64))


def _abs_rel(written: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):
        both = (written > 0.0) & (target > 0.0)
    if not both.any():
        return 0.0
    return float(np.mean(np.abs(target[both] - written[both]) / target[both]))

"""How wrong a model is where depth is known, whatever kind of output it has."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from mono_depth.data import OutputKind
from mono_depth.evaluation.measures.metrics import DepthScores, depth_scores, mean_scores
from mono_depth.models.protocol import DepthModel
from mono_depth.recordings.sequence import SequenceFrame

_MIN_KNOWN_SHARE = 0.05
_MIN_INVERSE = 1e-3  # [1/m] farther is taken to be there

Depths = npt.NDArray[np.floating]


def model_error(model: DepthModel, frames: Iterable[SequenceFrame]) -> DepthScores:
    """Return the mean scores of a model after the best scale (and shift) of each frame.

    Frames that know less than 5 % of their depth are left out.
    """
    scores = []
    for frame in tqdm(frames, desc="comparing", unit="frame", file=sys.stderr):
        if np.isfinite(frame.depth_m).mean() < _MIN_KNOWN_SHARE:
            continue
        values = model.infer(torch.from_numpy(frame.rgb), frame.intrinsics).values.cpu().numpy()
        height, width = frame.depth_m.shape
        resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
        values = np.asarray(resized, np.float32)
        scores.append(depth_scores(aligned_m(values, model.kind, frame.depth_m), frame.depth_m))
    return mean_scores(scores)


def aligned_m(values: Depths, kind: OutputKind, truth_m: Depths) -> Depths:
    """Return the depth that comes closest to the truth among what a network may mean.

    Metres are multiplied by the ratio of medians; depth and inverse depth up to scale and shift
    are fitted to the truth by least squares.

    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation", TPAMI 2022, section 5.
    """
    is_known = np.isfinite(values) & np.isfinite(truth_m) & (truth_m > 0)
    said, true = values[is_known].astype(np.float64), truth_m[is_known].astype(np.float64)
    if not said.size:
        return np.full(values.shape, np.nan)
    if kind in (OutputKind.METRIC, OutputKind.METRIC_FOCAL, OutputKind.COMPLETION):
        return np.asarray(values * (np.median(true) / np.median(said)))
    is_inverse = kind is OutputKind.INVERSE_AFFINE
    columns = np.stack([said, np.ones_like(said)], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(columns, 1.0 / true if is_inverse else true, rcond=None)
    fitted = scale * values + shift
    return np.asarray(1.0 / np.maximum(fitted, _MIN_INVERSE) if is_inverse else fitted)

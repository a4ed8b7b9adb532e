"""What weights of the built-in network reach on frames of a recording that taught them nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch

from mono_depth.evaluation.measures.metrics import depth_scores, mean_scores, median_scale
from mono_depth.evaluation.measures.obstacles import count_obstacles, find_obstacles, total_of
from mono_depth.models.nano.model import Nano
from mono_depth.recordings.sequence import SequenceFrame
from mono_depth.training.finetune import Figures


def figures_of(weights: Path, frames: Iterable[SequenceFrame]) -> Figures:
    """Return the mean figures of a weights file on frames with depth."""
    nano = Nano.load(weights, torch.device("cpu"))
    raw, aligned, counts = [], [], []
    for frame in frames:
        values = nano.infer(torch.from_numpy(frame.rgb), frame.intrinsics).values.numpy()
        size = values.shape[1], values.shape[0]
        truth_m = np.asarray(
            cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST), np.float32
        )
        raw.append(depth_scores(values, truth_m))
        aligned.append(depth_scores(values, truth_m, align_median=True))
        camera = frame.intrinsics.scaled_to(*size)
        said_m = np.asarray(values * median_scale(values, truth_m), np.float32)
        counts.append(count_obstacles(said_m, truth_m, camera, find_obstacles(truth_m, camera)))
    total = total_of(counts)
    return Figures(
        abs_rel=mean_scores(aligned).abs_rel,
        raw_abs_rel=mean_scores(raw).abs_rel,
        delta1=mean_scores(aligned).delta1,
        obstacles_found=total.found / total.all if total.all else np.nan,
    )

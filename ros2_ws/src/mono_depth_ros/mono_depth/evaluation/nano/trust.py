"""Measure how far metres and confidence of the built-in network can be trusted.

Frames of one recording look alike, so how metres follow the focal length is judged on many scenes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mono_depth.evaluation.measures.temporal_metrics import confidence_ratio
from mono_depth.evaluation.nano.table import (
    MAX_SENSOR_DEPTH_M,
    MAX_SYNTHETIC_DEPTH_M,
    load_named,
    real_sets,
    unseen_scenes,
)
from mono_depth.evaluation.promises.scale_proof import longer_lens_ratio
from mono_depth.evaluation.replay import predict
from mono_depth.models.nano.model import Nano
from mono_depth.recordings.sequence import SequenceFrame


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What one network reaches on one set of frames."""

    frames: str
    network: str
    count: int
    lens_median: float  # of the logs of metres through a longer lens over metres
    lens_size: float  # median of their absolute values
    confident_half: float  # error of the more confident half of the pixels over that of all


def measure_all(data: Path | None, weights: Sequence[Path] | None) -> list[Trust]:
    """Measure networks on every set of frames.

    Args:
        data: folder with the real recordings; None = only scenes that no training has seen.
        weights: files to compare; None = the one that ships.
    """
    nanos = load_named(weights)
    rows: list[Trust] = []
    for name, frames in (real_sets(data) if data else {}).items():
        rows += measure(name, frames, nanos, MAX_SENSOR_DEPTH_M)
    return [*rows, *measure("unseen scenes", unseen_scenes(), nanos, MAX_SYNTHETIC_DEPTH_M)]


def measure(
    name: str, frames: Iterable[SequenceFrame], nanos: dict[str, Nano], max_depth_m: float
) -> list[Trust]:
    """Measure every network on every frame, where the truth is `max_depth_m` or less."""
    ratios: dict[str, list[float]] = {key: [] for key in nanos}
    halves: dict[str, list[float]] = {key: [] for key in nanos}
    for frame in tqdm(frames, desc=name, unit="frame", file=sys.stderr):
        for key, nano in nanos.items():
            ratios[key].append(longer_lens_ratio(frame, nano))
            halves[key].append(_confident_half(frame, nano, max_depth_m))
    return [
        Trust(
            frames=name,
            network=key,
            count=len(ratios[key]),
            lens_median=float(np.median(ratios[key])),
            lens_size=float(np.median(np.abs(ratios[key]))),
            confident_half=_mean_of_known(halves[key]),
        )
        for key in nanos
    ]


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def _confident_half(frame: SequenceFrame, nano: Nano, max_depth_m: float) -> float:
    """Return `confidence_ratio` of the relative error after the ratio of medians is taken out."""
    prediction, _ = predict(nano, frame.as_camera_frame())
    values, confidence = prediction.values.numpy(), prediction.confidence
    height, width = values.shape
    truth_m = cv2.resize(frame.depth_m, (width, height), interpolation=cv2.INTER_NEAREST)
    truth_m = np.where(truth_m <= max_depth_m, truth_m, np.nan)
    if confidence is None or not np.isfinite(truth_m).any():
        return np.nan
    scale = np.nanmedian(truth_m) / np.median(values[np.isfinite(truth_m)])
    error = np.abs(scale * values / truth_m - 1.0)
    return confidence_ratio(error[None], confidence.numpy()[None])


def markdown(rows: Sequence[Trust]) -> str:
    """Return the table, one line per set and network."""
    lines = [
        "| frames | network | lens x1.5: metres change by [%] | size of the change [%] "
        "| error of the confident half |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.frames} ({row.count}) | {row.network} | {100.0 * row.lens_median:.1f} "
        f"| {100.0 * row.lens_size:.1f} | {row.confident_half:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)

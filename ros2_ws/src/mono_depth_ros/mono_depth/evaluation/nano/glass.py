"""How well the built-in network knows glass and mirrors, in scenes that no training has seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from mono_depth.evaluation.measures.metrics import abs_rel, median_scale
from mono_depth.models.nano.model import Nano
from mono_depth.synthetic.dataset import HELD_OUT_SEED, training_views
from mono_depth.synthetic.frame import SyntheticFrame

_SIZE = (320, 240)
_FARTHEST_M = 80.0
_IS_GLASS = 0.5  # probability


@dataclass(frozen=True, kw_only=True)
class GlassScores:
    """Over all pixels of all frames; NaN where there is nothing to divide by."""

    share: float  # of the pixels that are glass or mirror
    precision: float
    recall: float
    brier: float  # mean squared error of the probability
    brier_of_share: float  # the same of a network that always says the share
    abs_rel_glass: float  # of depth on glass and mirrors, the ratio of medians taken out
    abs_rel_rest: float


def glass_frames(scenes: int) -> Iterator[SyntheticFrame]:
    """Yield two images of each of some scenes that no training draws."""
    for number in range(scenes):
        yield from training_views(HELD_OUT_SEED + number, *_SIZE, 2)


def glass_scores(nano: Nano, frames: Iterable[SyntheticFrame]) -> GlassScores | None:
    """Score a network on rendered frames, None if it does not say what is glass."""
    said, true, depths, truths = [], [], [], []
    for frame in frames:
        prediction = nano.infer(torch.from_numpy(frame.rgb), frame.intrinsics)
        if prediction.glass is None:
            return None
        values = prediction.values.numpy()
        size = values.shape[1], values.shape[0]
        truth_m = np.asarray(
            cv2.resize(frame.depth_m, size, interpolation=cv2.INTER_NEAREST), np.float32
        )
        truth_m[~(truth_m <= _FARTHEST_M)] = np.nan
        labels = cv2.resize(frame.glassy.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        said.append(prediction.glass.numpy().ravel())
        true.append(labels.ravel() > 0)
        depths.append((values * median_scale(values, truth_m)).ravel())
        truths.append(truth_m.ravel())
    chance, is_glass = np.concatenate(said), np.concatenate(true)
    depth_m, all_truth_m = np.concatenate(depths), np.concatenate(truths)
    share = float(is_glass.mean())
    hits = float((is_glass & (chance > _IS_GLASS)).sum())
    claimed = float((chance > _IS_GLASS).sum())
    return GlassScores(
        share=share,
        precision=hits / claimed if claimed else np.nan,
        recall=hits / float(is_glass.sum()) if share else np.nan,
        brier=float(np.mean((chance - is_glass) ** 2)),
        brier_of_share=share * (1.0 - share),
        abs_rel_glass=abs_rel(depth_m[is_glass], all_truth_m[is_glass]),
        abs_rel_rest=abs_rel(depth_m[~is_glass], all_truth_m[~is_glass]),
    )


def markdown(scores: dict[str, GlassScores | None]) -> str:
    """Return the table, one line for each network."""
    lines = [
        "| network | glass | precision | recall | Brier | of the share alone | AbsRel on glass "
        "| elsewhere |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in scores.items():
        cells = ["-"] * 7 if row is None else [f"{value:.3f}" for value in vars(row).values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)

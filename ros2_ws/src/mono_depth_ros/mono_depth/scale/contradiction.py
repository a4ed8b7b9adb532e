"""Whether metres are so far from what the network says of the image alone that one must be wrong.

A network of metres is wrong by 25 % as a rule, and by a factor of 2 on scenes unlike its training.
Beyond that a wrong height, a table taken for the ground, wheels that slip or points of something
else are as likely, and they are what puts obstacles too far.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

import numpy as np
import torch

from mono_depth.data import OutputKind, Prediction
from mono_depth.scale.scale_shift import METRIC_KINDS

# A ground or a step that is taken for another looks as good as a right one; points do not.
_MOST_FARTHER = 1.6
_MOST_FARTHER_OF_POINTS = 3.0
_MOST_NEARER = 3.0
_CELLS = 3000
_NEAR_SHARE = 0.33  # of the pixels: hints bend what is near more than the rest
_EASE = 1.1  # times nearer to one another they must be to agree again
_LEAP = 0.4  # log depth
_USUAL_FRAMES = 100
_LEAST_FRAMES = 5


class HintLeap:
    """Notices hints that put all much farther than they did before.

    Points behind a thing that has stepped in the way move a guided network onto them, and agree
    with what they have made of it.
    """

    def __init__(self) -> None:
        self._moved: deque[float] = deque(maxlen=_USUAL_FRAMES)

    def add(self, moved: float) -> str:
        """Return what is wrong, "" = nothing; `moved` is log depth, > 0 = farther."""
        usual = statistics.median(self._moved) if len(self._moved) >= _LEAST_FRAMES else moved
        self._moved.append(moved)
        if moved - usual < _LEAP:
            return ""
        percent = 100.0 * math.expm1(moved - usual)
        return f"hints put all {percent:.0f} % farther than before: the model sees something nearer"


def contradiction(
    depth_m: torch.Tensor, prediction: Prediction, source: str, *, by: str, already: bool
) -> str:
    """Return how metres contradict those of the network alone, "" = they do not.

    Args:
        depth_m: (h, w) metres that are to be given.
        prediction: what they were made from.
        source: that they come from, for the text.
        by: what moved them: sparse_points, or anything else.
        already: they did in the frame before: then they must agree better to be believed again.
    """
    own_m = prediction.values if prediction.image_only is None else prediction.image_only
    completes = prediction.kind is OutputKind.COMPLETION and prediction.image_only is None
    if prediction.kind not in METRIC_KINDS or completes or own_m.shape != depth_m.shape:
        return ""
    step = max(1, round(math.sqrt(depth_m.numel() / _CELLS)))
    parts = torch.stack([part[::step, ::step] for part in (depth_m, own_m)])
    given, own = parts.reshape(2, -1).cpu().numpy()  # one download
    known = np.isfinite(given) & np.isfinite(own) & (own > 0.0)
    if not known.any():
        return ""
    off, own = np.log(given[known] / own[known]), own[known]
    near = own <= np.quantile(own, _NEAR_SHARE)
    shifts = float(np.median(off)), float(np.median(off[near]))
    most = _MOST_FARTHER_OF_POINTS if by == "sparse_points" else _MOST_FARTHER
    ease = math.log(_EASE) if already else 0.0
    if max(shifts) > math.log(most) - ease:
        return _text(source, max(shifts))
    if min(shifts) < ease - math.log(_MOST_NEARER):
        return _text(source, min(shifts))
    return ""


def _text(source: str, off: float) -> str:
    percent, looks = 100.0 * math.expm1(abs(off)), "nearer" if off > 0.0 else "farther"
    return f"{source} and model differ by {percent:.0f} %: by the image alone all is {looks}"

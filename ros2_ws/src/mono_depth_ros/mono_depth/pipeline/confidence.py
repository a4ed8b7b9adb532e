"""How far each pixel is to be believed: all that is known of it, in one number from 0 to 1.

    pixel = agreement of views x the network's own x jump x hole
    confidence = pixel ** share x scale x nearness ** (1 - share) x clarity

Agreement of views is the rating of the temporal filter. `scale_is_right` and `share_of_pixels`
follow from the deviation of the scale. Where it is measured the parts of the pixel count, and
share is 1. Where the network alone claims the metres, their common error is most of the error of
each pixel: then only little of it is known, and what is said to be far is what may be too far.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch.nn.functional import max_pool2d

from mono_depth.data import Prediction, ScaleStatus
from mono_depth.outputs.holes import HoleReason, split_holes
from mono_depth.outputs.upsampling import resized

RIGHT = 1.25  # times the truth at most: depth that is called right
_CAUTION = 2.0  # power of its probability: too far costs more than too near
_PIXEL_SIGMA = 0.1  # relative error of a pixel that agreement of views can tell, beside the scale
_HALF_M = 2.0  # distance at which metres that nothing measured are half believed
_CONTRADICTED = 0.3  # at most, where two sources contradict one another
_JUMP_REACH_PX = 2  # of the network: over so many it smears the edge of a thing
_JUMP_LOG = 0.25  # log depth beyond the nearest within reach: confidence falls to 1/e
_RIM_SHARE = 0.25  # of the width: how far the rim of a hole is looked for
_BEHIND = 1.25  # times as far as the rim: what is seen there lies behind a pane, or in a mirror
_SEEN_THROUGH, _FILLED = 0.05, 0.5


def rated(
    rating: torch.Tensor | None,
    depth_m: torch.Tensor | None,
    prediction: Prediction,
    scale: ScaleStatus,
    *,
    completed: str = "",
    clarity: float = 1.0,
) -> torch.Tensor | None:
    """Return float32 confidence, (h, w) as the metres, or as `rating` where there are none.

    None where there is nothing to lower it.

    Args:
        rating: (h', w') 0..1, agreement of views times the network's own; None = there is neither.
        depth_m: (h, w) metres that are given, NaN = unknown; None = there are none.
        prediction: that they were made of.
        scale: of the metres.
        completed: see `DepthResult.completed`.
        clarity: of the image, 0..1.
    """
    if depth_m is None:
        whole = torch.ones_like(prediction.values) if rating is None else rating
        return rating if clarity == 1.0 else whole * clarity
    share = share_of_pixels(scale)
    log_frame = _log_near_jumps(depth_m).mul_(share)
    mask = prediction.mask
    if completed == "sensor_depth" and mask is not None:
        filled = filled_holes(depth_m, mask).log_().mul_(share)
        log_frame = torch.where(mask, log_frame + filled, 0.0)
    if share < 1.0:
        log_frame.add_(_log_nearness(depth_m), alpha=1.0 - share)
    frame = log_frame.exp_()
    if rating is not None:
        frame.mul_(resized(rating, (frame.shape[0], frame.shape[1])).pow(share))
    certainty: float = clarity * scale_is_right(scale) ** _CAUTION
    return frame * certainty


def share_of_pixels(scale: ScaleStatus) -> float:
    """Return the share of the variance of a pixel's error that is not of the scale, 0..1."""
    sigma = scale.sigma_rel
    variance = sigma * sigma if math.isfinite(sigma) else 0.0
    return _PIXEL_SIGMA**2 / (_PIXEL_SIGMA**2 + variance)


def _log_nearness(depth_m: torch.Tensor) -> torch.Tensor:
    """Return (h, w) 0 = at the camera, below = far; what is unknown lowers nothing."""
    return (depth_m.nan_to_num(nan=0.0) / _HALF_M).log1p_().neg_()


def scale_is_right(scale: ScaleStatus) -> float:
    """Return the probability that metres are wrong by less than a quarter, by their deviation.

    1 where no deviation is told: of a calibration, or of a depth camera.
    """
    sigma = scale.sigma_rel
    is_told = math.isfinite(sigma) and sigma > 0.0
    right = math.erf(math.log(RIGHT) / (sigma * math.sqrt(2.0))) if is_told else 1.0
    return min(right, _CONTRADICTED) if scale.conflict else right


def near_jumps(depth_m: torch.Tensor) -> torch.Tensor:
    """Return (h, w) 1 = as near as all around, towards 0 = far beside something near.

    A network smears the edge of a thing over some pixels, and all of them are too far.

    Args:
        depth_m: (h, w) metres, NaN = unknown: speaks neither for nor against.
    """
    return _log_near_jumps(depth_m).exp_()


def _log_near_jumps(depth_m: torch.Tensor) -> torch.Tensor:
    nearest_m = _nearest_around(depth_m, _JUMP_REACH_PX, _JUMP_REACH_PX)
    beyond = (depth_m / nearest_m).log_().nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
    return beyond.mul_(-1.0 / _JUMP_LOG)


def filled_holes(depth_m: torch.Tensor, is_hole: torch.Tensor) -> torch.Tensor:
    """Return (h, w) how far the depth of holes of a depth camera is to be believed, else 1.

    Wide holes are glass, mirrors and black things. What was filled in there is a guess, and where
    it lies behind the nearest rim of the hole it is most likely the room behind a pane.

    Args:
        depth_m: (h, w) metres, the holes filled.
        is_hole: (h, w) bool.
    """
    wide = split_holes(is_hole) == int(HoleReason.HOLE)
    reach = max(1, round(_RIM_SHARE * depth_m.shape[1]))
    at_rim_m = torch.where(is_hole, torch.inf, depth_m)
    rim_m = _nearest_around(_nearest_around(at_rim_m, 0, reach), reach, 0)
    through = wide & (depth_m > _BEHIND * rim_m)
    kept = torch.where(wide, _FILLED, 1.0)
    return torch.where(through, _SEEN_THROUGH, kept)


def _nearest_around(depth_m: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return (h, w) the least within so many rows and columns, +Inf = nothing is known there."""
    known_m = depth_m.nan_to_num(nan=torch.inf, posinf=torch.inf)
    window = (2 * rows + 1, 2 * columns + 1)
    if depth_m.device.type == "cpu":  # a hundredth of the time
        return torch.from_numpy(cv2.erode(known_m.numpy(), np.ones(window, np.uint8)))
    return -max_pool2d(-known_m[None, None], window, stride=1, padding=(rows, columns))[0, 0]

"""What the built-in network is trained to minimise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from mono_depth.training.views import Matches

SKY_DEPTH_M = 80.0  # sky should come out at least this far ...
_SKY_LOG_RANGE = 1.4  # ... and not much farther than four times that: int8 holds one range
MIN_VALID_FRACTION = 0.05

_METRIC_WEIGHT = 0.4
_GRADIENT_WEIGHT = 0.5
_SPREAD_WEIGHT = 0.1
_SKY_WEIGHT = 1.0
_CONSISTENCY_WEIGHT = 0.3
_GROUND_WEIGHT = 0.2
_EDGE_WEIGHT = 0.5
_GLASS_WEIGHT = 0.2
_GROUND_LOG = 0.08  # log depth beside the ground up to which a pixel belongs to it
_ALL_KNOWN = 0.999
_GRADIENT_STRIDES = (1, 2, 4, 8)
_EDGE_STRIDES = (1, 2, 4, 8, 16)
_EDGE_LOG = 0.1  # log depth between two pixels, beyond which an edge is between them
_MOST_EDGE_ERROR = 1.0  # log depth; a street behind a post is no better lesson than a wall
_TRUSTED = 0.95  # of the pixels of a sensor: the worst are beside edges, or wrong
_LOG_SPREAD_RANGE = (-4.0, 2.0)


Combine = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Terms of the loss of one batch, each a scalar tensor."""

    shape: torch.Tensor  # mean |log error| after the mean error of each image is removed
    metric: torch.Tensor  # |mean log error| of each image
    gradient: torch.Tensor  # mean |difference of neighbouring log errors|, over strides
    spread: torch.Tensor  # negative log likelihood of a Laplace distribution
    sky: torch.Tensor  # how much too near or too far the sky is, in log depth
    consistency: torch.Tensor  # mean |difference of the log errors of two views of a point|
    ground: torch.Tensor  # cross entropy of what is ground, where it can be; 0 without hints
    edge: torch.Tensor  # mean |difference of log errors| across the depth edges of the truth
    glass: torch.Tensor  # cross entropy of what is glass or a mirror; 0 where nobody says

    def total(self) -> torch.Tensor:
        """Return the weighted sum."""
        return (
            self.shape
            + _METRIC_WEIGHT * self.metric
            + _GRADIENT_WEIGHT * self.gradient
            + _SPREAD_WEIGHT * self.spread
            + _SKY_WEIGHT * self.sky
            + _CONSISTENCY_WEIGHT * self.consistency
            + _GROUND_WEIGHT * self.ground
            + _EDGE_WEIGHT * self.edge
            + _GLASS_WEIGHT * self.glass
        )


def depth_losses(
    log_depth: torch.Tensor,
    log_spread: torch.Tensor,
    target: torch.Tensor,
    sky_log: torch.Tensor,
    matches: Matches | None = None,
    is_measured: torch.Tensor | None = None,
) -> Losses:
    """Compare what the network says with the truth.

    Args:
        log_depth: (B, h, w) at the canonical focal length.
        log_spread: (B, h, w) log of the expected error of it.
        target: (B, h, w) log depth at the canonical focal length; NaN = unknown, +inf = sky.
        sky_log: (B,) the least log depth of sky at the canonical focal length.
        matches: views that shall agree on the points that both show.
        is_measured: (B,) bool, the truth is of a sensor: it has holes and wrong pixels, so the
            worst are left out; None = none is.

    Source: scale-shifted log error after Eigen et al., NeurIPS 2014, equation 4, with L1 in place
    of L2; multi-scale gradients after Ranftl et al. (MiDaS), TPAMI 2022, equation 11; Laplace
    likelihood after Kendall and Gal, NeurIPS 2017, equation 5. The spread learns from errors that
    are held fixed, so it cannot excuse wrong depth.
    """
    log_spread = log_spread.clamp(*_LOG_SPREAD_RANGE)
    valid = torch.isfinite(target)
    sky = torch.isposinf(target)
    usable = valid.flatten(1).float().mean(1) >= MIN_VALID_FRACTION  # (B,)
    valid = valid & usable[:, None, None]

    error = torch.where(valid, log_depth - torch.where(valid, target, 0.0), 0.0)
    count = valid.flatten(1).sum(1).clamp(min=1)
    mean_error = error.flatten(1).sum(1) / count  # (B,)
    centred = torch.where(valid, (error - mean_error[:, None, None]).abs(), 0.0)
    if is_measured is not None:
        valid = valid & ~_distrusted(centred, valid, is_measured)
    beyond = log_depth - sky_log[:, None, None]
    misplaced = torch.where(sky, F.relu(-beyond) + F.relu(beyond - _SKY_LOG_RANGE), 0.0)

    fixed = (centred + misplaced).detach()
    likelihood = fixed * torch.exp(-log_spread) + log_spread
    return Losses(
        shape=_masked_mean(centred, valid),
        metric=mean_error.abs().sum() / usable.sum().clamp(min=1),
        gradient=_gradient_loss(error, valid),
        edge=_edge_loss(error, target, valid),
        glass=error.new_zeros(()),
        spread=_masked_mean(likelihood, valid | sky),
        sky=misplaced.mean(),
        consistency=_consistency_loss(error, valid, matches),
        ground=error.new_zeros(()),
    )


def ground_loss(
    on_ground: torch.Tensor, ground: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Return the cross entropy between what is said to be ground and what is.

    Args:
        on_ground: (B, h, w) how likely each pixel is ground.
        ground: (B, h, w) log depth of level ground as it is told, NaN = none.
        target: (B, h, w) log depth; NaN = unknown, +inf = sky.
    """
    can_be = ground.isfinite() & ~target.isnan()
    is_ground = (target.nan_to_num() - ground.nan_to_num()).abs() < _GROUND_LOG
    entropy = F.binary_cross_entropy(
        on_ground.clamp(1e-4, 1.0 - 1e-4), is_ground.to(on_ground), reduction="none"
    )
    return _masked_mean(entropy, can_be)


def glass_loss(logit: torch.Tensor, glass: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy between what is said to be glass and what is.

    Args:
        logit: (B, h, w) of the probability of glass or a mirror.
        glass: (B, h, w) 1 = it is, 0 = it is not, NaN = nobody knows.
    """
    known = glass.isfinite()
    entropy = F.binary_cross_entropy_with_logits(logit, glass.nan_to_num(), reduction="none")
    return _masked_mean(entropy, known)


def _distrusted(
    centred: torch.Tensor, valid: torch.Tensor, is_measured: torch.Tensor
) -> torch.Tensor:
    """Return (B, h, w) bool: the pixels of a sensor that are farthest off.

    Source: trimmed loss of Ranftl et al. (MiDaS), TPAMI 2022, equation 10, with a smaller share.
    """
    known = torch.where(valid, centred.detach(), torch.nan).flatten(1)
    most = known.nanquantile(_TRUSTED, dim=1).nan_to_num(torch.inf)
    return is_measured[:, None, None] & (centred.detach() > most[:, None, None])


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def _consistency_loss(
    error: torch.Tensor, valid: torch.Tensor, matches: Matches | None
) -> torch.Tensor:
    """Return how much two views differ in their error at the same point: flicker, when it moves."""
    if matches is None or not len(matches.first):
        return error.new_zeros(())
    planes = torch.stack((error, valid.to(error.dtype)), 1)[matches.second]
    other, known = F.grid_sample(planes, matches.there, align_corners=True).unbind(1)
    both = matches.is_same & valid[matches.first] & (known > _ALL_KNOWN)
    return _masked_mean((error[matches.first] - other).abs(), both)


def _gradient_loss(error: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    total = error.new_zeros(())
    for stride in _GRADIENT_STRIDES:
        e, v = error[:, ::stride, ::stride], valid[:, ::stride, ::stride]
        across = _masked_mean((e[:, :, 1:] - e[:, :, :-1]).abs(), v[:, :, 1:] & v[:, :, :-1])
        down = _masked_mean((e[:, 1:] - e[:, :-1]).abs(), v[:, 1:] & v[:, :-1])
        total = total + across + down
    return total / len(_GRADIENT_STRIDES)


def _edge_loss(error: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return how much too weak or strong the depth edges of the truth come out, over strides.

    A thing covers few pixels, and so the mean over all of them forgets it: edges count apart.
    """
    truth = torch.where(valid, target, 0.0)
    total = error.new_zeros(())
    for stride in _EDGE_STRIDES:
        e, t, v = (part[:, ::stride, ::stride] for part in (error, truth, valid))
        for step in (_across, _down):
            is_edge = step(v, torch.logical_and) & (step(t, torch.sub).abs() > _EDGE_LOG)
            off = step(e, torch.sub).abs().clamp(max=_MOST_EDGE_ERROR)
            total = total + _masked_mean(off, is_edge)
    return total / (2 * len(_EDGE_STRIDES))


def _across(plane: torch.Tensor, combine: Combine) -> torch.Tensor:
    return combine(plane[:, :, 1:], plane[:, :, :-1])


def _down(plane: torch.Tensor, combine: Combine) -> torch.Tensor:
    return combine(plane[:, 1:], plane[:, :-1])

"""Where level ground was drawn on although the image shows it falling away."""

from __future__ import annotations

import torch

_ON_GROUND = 0.02  # log depth
_FOOT_SHARE = 0.33  # of the ground in view: the nearest
_FLOOR_AT_FOOT = 0.6  # quantile: what stands there is nearer, so higher, than the floor
_FALLS = (0.15, 0.4)  # log depth below the ground: confidence is still whole, and none


def drawn_on(
    predicted: torch.Tensor, log_depth: torch.Tensor, ground: torch.Tensor
) -> torch.Tensor:
    """Return (B, h, w) 1 = not put on the ground, or as the image says, to 0 = against the image.

    A floor that ends, a kerb, stairs that lead down: behind the edge the image shows floor that is
    farther than level ground, and the rule that nothing is below draws the floor on. How far below
    the ground the floor near the robot seems to lie is the network's scale; what seems to lie
    deeper by more than its noise fell off the edge.

    Args:
        predicted: (B, h, w) log depth of the network for images.
        log_depth: (B, h, w) of all that is known.
        ground: (B, h, w) as `ground_log` gives it, NaN = none.
    """
    below = predicted - ground
    at_foot = ground <= _quantile(ground, _FOOT_SHARE)
    fallen = below - _quantile(torch.where(at_foot, below, torch.nan), _FLOOR_AT_FOOT)
    least, most = _FALLS
    kept = ((most - fallen) / (most - least)).clamp(0.0, 1.0)
    is_on = (log_depth - ground).abs() < _ON_GROUND
    return torch.where(is_on & kept.isfinite(), kept, 1.0)


def _quantile(values: torch.Tensor, share: float) -> torch.Tensor:
    """Return (B, 1, 1) the quantile of what is known at every second pixel, NaN = nothing is."""
    return values[:, ::2, ::2].flatten(1).nanquantile(share, dim=1)[:, None, None]

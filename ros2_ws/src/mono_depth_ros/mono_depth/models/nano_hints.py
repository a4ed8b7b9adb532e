"""What the built-in network may be told beside the image: some depth, and where the ground is.

All depth here is log depth at the canonical focal length, the network's own language; NaN means
not known. Sides are multiples of 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

FARTHEST_GROUND_M = 100.0

_N_LEVELS = 5
_MIDDLE = 1.0  # log depth that is usual: hints are small numbers around zero
_LEAST_WEIGHT = 1e-6
# of the camera's height: within it, a degree in gravity changes the ground by less than 20 %
_GROUND_REACH = 10.0
_GROUND_QUANTILE = 0.3  # of the pixels that look at ground, the nearest: the others see walls
_LEAST_GROUND = 0.1  # of the view
_MAX_CORRECTION = 0.7  # log depth; a known value farther off the others is taken for wrong


def ground_log(
    rays: torch.Tensor,
    down_camera: torch.Tensor,
    camera_height_m: torch.Tensor,
    focal_factor: torch.Tensor,
) -> torch.Tensor:
    """Return the log depth of level ground, as if nothing stood on it.

    Args:
        rays: (B, 2, h, w) x/z and y/z of the viewing rays.
        down_camera: (B, 3) unit vector of gravity in the optical frame.
        camera_height_m: (B,) of the optical centre over the ground, NaN = not known.
        focal_factor: (B,) metres per canonical metre.

    Returns:
        (B, h, w), NaN at and above the horizon and beyond `FARTHEST_GROUND_M`.
    """
    down = down_camera[:, :, None, None]
    # a point at depth t lies t * fall below the camera
    fall = rays[:, 0] * down[:, 0] + rays[:, 1] * down[:, 1] + down[:, 2]
    height = camera_height_m[:, None, None]
    is_ground = fall * FARTHEST_GROUND_M > height  # never for NaN
    depth_m = torch.where(is_ground, height / fall.clamp(min=1e-6), torch.nan)
    return (depth_m / focal_factor[:, None, None]).log()


def hint_channels(known_log: torch.Tensor, ground: torch.Tensor) -> torch.Tensor:
    """Return what the network sees of the hints.

    Args:
        known_log: (B, h, w) log depth where it is known.
        ground: (B, h, w) as `ground_log` gives it.

    Returns:
        (B, 4, h, w): known log depth spread over the image and how near it is (1 = at the
        pixel), log depth of the ground and where it is. All 0 where nothing is known.
    """
    spread, nearness = spread_out(known_log)
    there = nearness > 0.0
    is_ground = ground.isfinite()
    return torch.stack(
        (
            torch.where(there, spread - _MIDDLE, 0.0),
            nearness,
            torch.where(is_ground, ground.nan_to_num() - _MIDDLE, 0.0),
            is_ground.to(ground.dtype),
        ),
        1,
    )


def spread_out(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill an image from some known pixels: means of ever larger cells, blended smoothly.

    Args:
        values: (B, h, w), NaN = not known.

    Returns:
        (B, h, w) each: the filled image, 0 if nothing is known; and 1 where a value is known,
        half as much for each doubling of the cell in which one is, 0 if nothing is known.

    Source: Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4 (pull-push).
    """
    known = values.isfinite()[:, None]
    weight = known.to(values.dtype)
    total = torch.where(known, values[:, None], 0.0)
    levels = [(total, weight)]
    for _ in range(_N_LEVELS):
        total, weight = F.avg_pool2d(total, 2), F.avg_pool2d(weight, 2)
        levels.append((total, weight))
    everywhere = weight.mean(dim=(2, 3), keepdim=True)
    mean = total.mean(dim=(2, 3), keepdim=True) / everywhere.clamp(min=_LEAST_WEIGHT)
    filled = mean.expand_as(total)
    nearness = (everywhere > 0.0).to(values.dtype).expand_as(total) * 0.5 ** (_N_LEVELS + 1)
    for level in range(_N_LEVELS, -1, -1):
        total, weight = levels[level]
        if level < _N_LEVELS:
            filled = F.interpolate(filled, scale_factor=2.0, mode="bilinear")
            nearness = F.interpolate(nearness, scale_factor=2.0, mode="bilinear")
        there = weight > 0.0
        filled = torch.where(there, total / weight.clamp(min=_LEAST_WEIGHT), filled)
        nearness = torch.where(there, 0.5**level, nearness)
    return filled[:, 0], nearness[:, 0]


def above_ground(
    log_depth: torch.Tensor,
    ground: torch.Tensor,
    camera_height_m: torch.Tensor,
    focal_factor: torch.Tensor,
) -> torch.Tensor:
    """Bring a prediction nearer where it would lie below the ground, as nothing does.

    First all of it by one factor, for a part of a view that is too far says that all is; then the
    pixels that are still too far. The factor is never above 1: what stands on the ground hides it.

    Args:
        log_depth: (B, h, w) of the network.
        ground: (B, h, w) as `ground_log` gives it.
        camera_height_m: (B,) of the optical centre over the ground, NaN = not known.
        focal_factor: (B,) metres per canonical metre.
    """
    limit = (_GROUND_REACH * camera_height_m / focal_factor).log()[:, None, None]
    near = torch.where(ground < limit, ground, torch.nan)
    margin = (near - log_depth.detach())[:, ::2, ::2].flatten(1)
    share = margin.isfinite().to(margin.dtype).mean(1)
    shift = margin.nanquantile(_GROUND_QUANTILE, dim=1).clamp(max=0.0)
    shift = torch.where(share > _LEAST_GROUND, shift, 0.0)[:, None, None]
    return torch.minimum(log_depth + shift, near.nan_to_num(torch.inf))


def anchored(log_depth: torch.Tensor, known_log: torch.Tensor) -> torch.Tensor:
    """Move a prediction so that it agrees with the known depth, smoothly in between.

    Args:
        log_depth: (B, h, w) of the network.
        known_log: (B, h, w) where it is known; an image without any is left as it is.
    """
    error = known_log - log_depth
    middle = error.detach().flatten(1).nanmedian(1).values[:, None, None]
    # one wrong point must not bend its surroundings
    error = error.clamp(middle - _MAX_CORRECTION, middle + _MAX_CORRECTION)
    return log_depth + spread_out(error)[0]

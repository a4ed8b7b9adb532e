"""What the built-in network may be told beside the image: some depth, and where the ground is.

All depth here is log depth at the canonical focal length, the network's own language; NaN means
not known. Sides are multiples of 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

_N_LEVELS = 5
_MIDDLE = 1.0  # log depth that is usual: networks like small numbers around zero
_MIDDLE_SPREAD = -1.5  # the same of the log of the expected error
_MOST_OFF = 2.0  # log depth, of what the network for hints sees
_SELDOM = 4.0  # what looks like ground to an untrained network: one pixel in 55
_LEAST_WEIGHT = 1e-6
# of the camera's height: within it, a degree in gravity changes the ground by less than 20 %
_GROUND_REACH = 10.0
_GROUND_QUANTILE = 0.3  # of the pixels that look at ground, the nearest: the others see walls
_LEAST_GROUND = 0.06  # of the view, below which the ground says nothing; twice that is enough
# of the view, how much must look like ground to the network for hints, and how much is enough
_LIKELY_SHARES = (0.05, 0.3)
_MOST_POINTS = 128
_POINT_NOISE = 0.02  # variance of an error that is not shared by its neighbours, of all
_ABSENT = 1e6
_GOLDEN = 0.6180339887498949  # its multiples are spread evenly
_ALIKE_WIDTHS = 0.8  # distance over which errors stay alike, in widths of the image
_ALIKE_LOG = 1.5  # the same in log depth
_ALONE = (0.4, 0.9)  # log depth that a pixel moves: its confidence is still whole, and none
_MAX_CORRECTION = 0.7  # log depth; a known value farther off the others is taken for wrong


def ground_log(
    rays: torch.Tensor,
    gravity_camera: torch.Tensor,
    camera_height_m: torch.Tensor,
    focal_factor: torch.Tensor,
) -> torch.Tensor:
    """Return the log depth of level ground, as if nothing stood on it.

    Args:
        rays: (B, 2, h, w) x/z and y/z of the viewing rays.
        gravity_camera: (B, 3) unit vector of gravity in the optical frame.
        camera_height_m: (B,) of the optical centre over the ground, NaN = not known.
        focal_factor: (B,) metres per canonical metre.

    Returns:
        (B, h, w), NaN at and above the horizon and beyond ten times the height.
    """
    down = gravity_camera[:, :, None, None]
    # a point at depth t lies t * fall below the camera
    fall = rays[:, 0] * down[:, 0] + rays[:, 1] * down[:, 1] + down[:, 2]
    height = camera_height_m[:, None, None]
    is_ground = (fall * _GROUND_REACH > 1.0) & height.isfinite()
    depth_m = torch.where(is_ground, height / fall.clamp(min=1e-6), torch.nan)
    return (depth_m / focal_factor[:, None, None]).log()


def follow(
    log_depth: torch.Tensor,
    known_log: torch.Tensor,
    ground: torch.Tensor,
    *,
    has_known: bool | None = None,
) -> torch.Tensor:
    """Make a prediction agree with all that is known, by rule.

    Args:
        log_depth: (B, h, w) of the network.
        known_log: (B, h, w) log depth where it is known.
        ground: (B, h, w) as `ground_log` gives it.
        has_known: whether any depth is known; None = look, which waits for a GPU.
    """
    kept = above_ground(log_depth, ground)
    if has_known is None:
        has_known = bool(known_log.isfinite().any())
    return anchored(kept, known_log) if has_known else kept


def evidence(
    predicted: torch.Tensor,
    followed: torch.Tensor,
    known_log: torch.Tensor,
    ground: torch.Tensor,
) -> torch.Tensor:
    """Return what the network for hints sees beside the image.

    Args:
        predicted: (B, 2, h, w) output of the network for images.
        followed: (B, h, w) its log depth after `follow`.
        known_log: (B, h, w) log depth where it is known.
        ground: (B, h, w) as `ground_log` gives it.

    Returns:
        (B, 6, h, w): log depth so far, how much the rules have changed it, the log of its expected
        error, how near something known is (1 = at the pixel), how much farther the ground is, and
        where ground is.
    """
    log_depth, log_spread = predicted.unbind(1)
    _, nearness = spread_out(known_log)
    is_ground = ground.isfinite()
    farther = torch.where(is_ground, ground.nan_to_num() - followed, 0.0)
    return torch.stack(
        (
            followed - _MIDDLE,
            (followed - log_depth).clamp(-_MOST_OFF, _MOST_OFF),
            log_spread - _MIDDLE_SPREAD,
            nearness,
            farther.clamp(-_MOST_OFF, _MOST_OFF),
            is_ground.to(log_depth.dtype),
        ),
        1,
    )


def with_hints(
    predicted: torch.Tensor,
    followed: torch.Tensor,
    known_log: torch.Tensor,
    ground: torch.Tensor,
    said: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log depth and log of its expected error, (B, h, w) each, in the light of hints.

    What looks like ground is put there. Unless some depth is known, all of the image moves with
    it, and nothing stays below the ground.

    Args:
        predicted: (B, 2, h, w) output of the network for images.
        followed: (B, h, w) its log depth after `follow`.
        known_log: (B, h, w) log depth where it is known.
        ground: (B, h, w) as `ground_log` gives it.
        said: (B, 2, h, w) output of the network for hints.
    """
    spread_change, likeness = said.unbind(1)
    on_ground = ground_share(likeness, ground)
    is_guess = ~known_log.isfinite().any(2).any(1)[:, None, None]
    shift = _ground_shift(ground.nan_to_num() - followed, on_ground.detach())
    moved = torch.minimum(followed + shift, ground.nan_to_num(torch.inf))
    moved = torch.where(is_guess, moved, followed)
    log_depth = moved + on_ground * (ground.nan_to_num() - moved)
    return log_depth, predicted[:, 1] + spread_change


def unmoved(moved: torch.Tensor) -> torch.Tensor:
    """Return (B, h, w) 1 = moved like the others, to 0 = moved much farther than they were.

    What hints have moved alone may be right, yet neither the image nor they say so: a floor that
    is drawn on where it ends looks like any other.

    Args:
        moved: (B, h, w) change of log depth by hints.
    """
    common = moved.flatten(1).median(1).values[:, None, None]
    least, most = _ALONE
    return ((most - (moved - common).abs()) / (most - least)).clamp(0.0, 1.0)


def _ground_shift(off: torch.Tensor, on_ground: torch.Tensor) -> torch.Tensor:
    """Return (B, 1, 1) the median of `off` over what is likely ground, 0 if too little is."""
    values, weights = (part[:, ::2, ::2].flatten(1) for part in (off, on_ground))
    values, order = values.sort(1)
    reached = weights.gather(1, order).cumsum(1)
    index = (reached < 0.5 * reached[:, -1:]).sum(1, keepdim=True)
    # little by little, lest the scale jumps when ground comes into view
    least, enough = _LIKELY_SHARES
    trust = ((weights.mean(1, keepdim=True) - least) / (enough - least)).clamp(0.0, 1.0)
    return (values.gather(1, index) * trust)[:, :, None]


def ground_share(likeness: torch.Tensor, ground: torch.Tensor) -> torch.Tensor:
    """Return (B, h, w) how likely each pixel is ground, 0 where none can be.

    Args:
        likeness: (B, h, w) the last channel of the network for hints, about zero before training.
        ground: (B, h, w) as `ground_log` gives it.
    """
    return torch.sigmoid(likeness - _SELDOM) * ground.isfinite()


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


def above_ground(log_depth: torch.Tensor, ground: torch.Tensor) -> torch.Tensor:
    """Bring a prediction nearer where it would lie below the ground, as nothing does.

    First all of it by one factor, for a part of a view that is too far says that all is; then the
    pixels that are still too far. The factor is never above 1: what stands on the ground hides it.

    Args:
        log_depth: (B, h, w) of the network.
        ground: (B, h, w) as `ground_log` gives it.
    """
    margin = (ground - log_depth)[:, ::2, ::2].flatten(1)
    share = margin.isfinite().to(margin.dtype).mean(1)
    shift = margin.nanquantile(_GROUND_QUANTILE, dim=1).clamp(max=0.0)
    # little by little, as in `_ground_shift`
    trust = ((share - _LEAST_GROUND) / _LEAST_GROUND).clamp(0.0, 1.0)
    shift = (shift.nan_to_num() * trust)[:, None, None]
    return torch.minimum(log_depth + shift, ground.nan_to_num(torch.inf))


def anchored(log_depth: torch.Tensor, known_log: torch.Tensor) -> torch.Tensor:
    """Move a prediction so that it agrees with the known depth, and change the rest to suit.

    Args:
        log_depth: (B, h, w) of the network.
        known_log: (B, h, w) where it is known; an image without any is left as it is.
    """
    error = known_log - log_depth
    middle = error.flatten(1).nanmedian(1).values[:, None, None]
    # one wrong point must not bend its surroundings
    error = error.clamp(middle - _MAX_CORRECTION, middle + _MAX_CORRECTION)
    likely = _likely_error(error, log_depth, middle.nan_to_num())
    return log_depth + likely + spread_out(error - likely)[0]


def _likely_error(
    error: torch.Tensor, log_depth: torch.Tensor, middle: torch.Tensor
) -> torch.Tensor:
    """Predict the error everywhere from some of the pixels where it is known.

    Pixels near each other and of like depth are wrong alike: that is what a thing is.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equation 2.23,
    with the exponential covariance of equation 4.18; both lengths and the noise were chosen on
    synthetic recordings.
    """
    chosen, noise = _some_known(error)
    places = _places(log_depth)
    at = places.gather(1, chosen[..., None].expand(-1, -1, places.shape[2]))
    near = torch.exp(-torch.cdist(at, at)) + torch.diag_embed(noise)
    coarse = places.reshape(*error.shape, -1)[:, ::2, ::2].flatten(1, 2)
    everywhere = torch.exp(-torch.cdist(coarse, at))
    known = torch.where(noise < _ABSENT, error.flatten(1).gather(1, chosen), middle[:, :, 0])
    # regular, for there is noise; to be told so a GPU would be waited for
    share = torch.linalg.solve_ex(near, (known - middle[:, :, 0])[..., None]).result
    off = (everywhere @ share)[..., 0]
    off = off.reshape(-1, error.shape[1] // 2, error.shape[2] // 2)
    return middle + F.interpolate(off[:, None], scale_factor=2.0, mode="bilinear")[:, 0]


def _some_known(error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, n) indices of pixels and their (B, n) noise, which is huge if it is not known.

    Where more are known they are picked evenly, and by place, so that the next image has the
    same ones.
    """
    index = torch.arange(error[0].numel(), device=error.device)
    rank = 1.0 + (index * _GOLDEN) % 1.0
    score = error.isfinite().flatten(1) * rank
    best, chosen = score.topk(_MOST_POINTS, dim=1)
    return chosen, torch.where(best > 0.0, _POINT_NOISE, _ABSENT)


def _places(log_depth: torch.Tensor) -> torch.Tensor:
    """Return (B, h * w, 3) column, row and log depth, in units over which errors stay alike."""
    count, height, width = log_depth.shape
    scale = 1.0 / (_ALIKE_WIDTHS * width)
    columns = torch.arange(width, dtype=log_depth.dtype, device=log_depth.device) * scale
    rows = torch.arange(height, dtype=log_depth.dtype, device=log_depth.device) * scale
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    parts = (u.expand_as(log_depth), v.expand_as(log_depth), log_depth / _ALIKE_LOG)
    return torch.stack(parts, -1).reshape(count, height * width, 3)

"""Depth that agrees with points of the camera's motion, and never goes farther without support.

The rule, for depth of any network in metres. What points say about its error is spread along the
image and along depth, as errors of networks are alike in neighbours. Where that brings a surface
nearer it is believed. Where it would push one farther it is bounded:

* by points of the surface's own, of which several must be there, near in the image and of like
  depth. What has none keeps its distance, however far its surroundings are pushed;
* by the corners about them. Where as many do not move as resting things do, or do not yet tell
  their depth, there is something that may move, and nothing is pushed;
* by the points about, at like depth and behind. What moves along with the camera shows too little
  parallax and comes out too far, all of its points alike and in all views. That cannot be seen in
  the points themselves, but they stand out from what is beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from mono_depth.data import Intrinsics, MotionPoints
from mono_depth.motion.point_choice import chosen_points
from mono_depth.system.transfers import uploaded

_MOST_POINTS = 128  # that the error is predicted from
_LEAST_POINTS = 8  # of fewer nothing is learned
_MOST_ERROR = 0.7  # log depth beyond the middle of all, that a point may claim
_ALIKE_WIDTHS = 0.8  # distance over which errors stay alike, in widths of the image
_ALIKE_LOG = 1.5  # the same in log depth
_NOISE = 0.02  # variance of an error that is not shared by its neighbours, of all
_ABOUT_WIDTHS = 0.4  # within which other points are asked, in widths of the image,
_ABOUT_LOG = 0.5  # and in log depth
_LEAST_ABOUT = 5  # points; of fewer none may push
_LOW = 0.3  # the share of them that says less
_STANDS_OUT = 0.08  # log depth beyond what these say
_SIGMAS = 2.0
_CELL_WIDTHS = 1.0 / 28.0  # of support, in widths of the image
_LAYER_LOG = 0.15  # the same in log depth
_LAYERS = 48
_NEAREST_LOG = math.log(0.05)
_REACH = (1, 2, 2)  # cells to each side: layers, rows, columns
_LEAST_OWN = 3.0  # points, less what speaks against them
_AGAINST_UNKNOWN = 0.5  # of a point: a corner that does not tell its depth,
_AGAINST_MOVING = 2.0  # and one that moves
_EDGE_PX = 2  # about what is supported, over which support fades


@dataclass(frozen=True, kw_only=True)
class _At:
    """Where things are in the depth map."""

    columns: torch.Tensor  # (N,)
    rows: torch.Tensor  # (N,)
    log_depth: torch.Tensor  # (N,) of the network there


def corrected(
    depth_m: torch.Tensor,
    points: MotionPoints,
    camera: Intrinsics,
    *,
    most_middle: float = math.inf,
) -> torch.Tensor:
    """Return depth that agrees with points where it may.

    Args:
        depth_m: (h, w) float32 metres of the view, NaN = unknown.
        points: of the image of the view.
        camera: of that image.
        most_middle: of the points' log depth beyond that of the map. Where their middle is farther
            beyond, they contradict another measurement, and nothing is pushed.

    Returns:
        (h, w) float32 metres, NaN as in `depth_m`.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equation 2.23,
    with the exponential covariance of equation 4.18. The cells of support are a bilateral grid:
    Chen, Paris, Durand, "Real-time edge-aware image processing with the bilateral grid", 2007.
    """
    if len(points) < _LEAST_POINTS:
        return depth_m
    size = depth_m.shape
    log_depth = depth_m.log()
    filled = log_depth.nan_to_num(nan=0.0, posinf=5.0, neginf=-3.0)
    at = _places(filled, points.pixels, camera)
    error = _errors(depth_m, at, uploaded(points.depth_m.astype(np.float32), depth_m.device))
    sigma = uploaded(points.sigma_rel.astype(np.float32), depth_m.device)
    some = uploaded(chosen_points(points, camera, _MOST_POINTS), depth_m.device)
    middle = error.nanmedian()
    error = error.clamp(middle - _MOST_ERROR, middle + _MOST_ERROR)
    pushes_alone = _stands_out(error, sigma, at, some, size[1])
    believed = error.isfinite() & ~pushes_alone
    likely = _likely_error(filled, at, error, sigma, some, believed)
    doubtful = [_places(filled, pixels, camera) for pixels in (points.unknown, points.moving)]
    limit = _most_push(filled, at, error, believed, doubtful)
    limit = torch.where(middle > most_middle, torch.zeros_like(limit), limit)
    return depth_m * torch.minimum(likely, limit).exp()


def _places(log_depth: torch.Tensor, pixels: npt.NDArray[np.float64], camera: Intrinsics) -> _At:
    """Return where (N, 2) pixels of the image lie in the map."""
    height, width = log_depth.shape
    columns = np.rint((pixels[:, 0] + 0.5) * (width / camera.width) - 0.5).astype(np.int64)
    rows = np.rint((pixels[:, 1] + 0.5) * (height / camera.height) - 0.5).astype(np.int64)
    u = uploaded(columns.clip(0, width - 1), log_depth.device)
    v = uploaded(rows.clip(0, height - 1), log_depth.device)
    return _At(columns=u, rows=v, log_depth=log_depth[v, u])


def _errors(depth_m: torch.Tensor, at: _At, known_m: torch.Tensor) -> torch.Tensor:
    """Return (N,) log(known depth / depth), 0 within what the pixels about say, NaN = no depth.

    A corner is often at an edge, where a pixel off is another surface.
    """
    height, width = depth_m.shape
    by = torch.tensor((-1, 0, 1), device=depth_m.device)
    rows = (at.rows[:, None, None] + by[:, None]).clamp(0, height - 1)
    columns = (at.columns[:, None, None] + by).clamp(0, width - 1)
    near = depth_m[rows, columns].flatten(1).log()
    known = known_m.log()
    return known - torch.minimum(torch.maximum(known, near.amin(1)), near.amax(1))


def _stands_out(
    error: torch.Tensor, sigma: torch.Tensor, at: _At, some: torch.Tensor, width: int
) -> torch.Tensor:
    """Return (N,) whether a point pushes farther than those about it, which are not all its own.

    Of those at like depth, and of these and what is behind, a few in ten may be of the same thing
    that moves; so it is not their middle that counts.
    """
    far_px = torch.maximum(
        (at.columns[:, None] - at.columns[some]).abs(), (at.rows[:, None] - at.rows[some]).abs()
    )
    behind = at.log_depth[some] - at.log_depth[:, None]
    is_about = (far_px < _ABOUT_WIDTHS * width) & error[some].isfinite() & (behind > -_ABOUT_LOG)
    allowed = torch.minimum(
        _low(error[some], is_about & (behind < _ABOUT_LOG)), _low(error[some], is_about)
    )
    return error > allowed + _STANDS_OUT + _SIGMAS * sigma


def _low(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return (N,) a low quantile of the chosen of (M,) values, 0 if it is below or they are few."""
    ordered = torch.where(chosen, values, torch.inf).sort(1).values
    count = chosen.sum(1, keepdim=True)
    low = ordered.gather(1, (_LOW * count).long().clamp(max=ordered.shape[1] - 1))
    return torch.where(count >= _LEAST_ABOUT, low.clamp(min=0.0), 0.0)[:, 0]


def _likely_error(
    log_depth: torch.Tensor,
    at: _At,
    error: torch.Tensor,
    sigma: torch.Tensor,
    some: torch.Tensor,
    believed: torch.Tensor,
) -> torch.Tensor:
    """Return (h, w) the error of log depth that some of the points make likely.

    Pixels near each other and of like depth are wrong alike: that is what a thing is.
    """
    height, width = log_depth.shape
    is_used = believed[some]
    known = torch.where(is_used, error[some], torch.nan)
    middle = known.nanmedian().nan_to_num()
    noise = torch.where(is_used, _NOISE + sigma[some].square(), 1e6)
    scale = 1.0 / (_ALIKE_WIDTHS * width)
    places = torch.stack(
        (at.columns[some] * scale, at.rows[some] * scale, at.log_depth[some] / _ALIKE_LOG), 1
    )
    near = torch.exp(-torch.cdist(places, places)) + torch.diag_embed(noise)
    off = (known - middle).nan_to_num()
    # regular, for there is noise; to be told so a GPU would be waited for
    share = torch.linalg.solve_ex(near, off[:, None]).result
    coarse = log_depth[::2, ::2]
    rows, columns = torch.meshgrid(
        *(
            torch.arange(0, side, 2, dtype=log_depth.dtype, device=log_depth.device) * scale
            for side in (height, width)
        ),
        indexing="ij",
    )
    everywhere = torch.stack((columns, rows, coarse / _ALIKE_LOG), -1).reshape(-1, 3)
    likely = torch.exp(-torch.cdist(everywhere, places)) @ share
    likely = likely.reshape(1, 1, *coarse.shape)
    size = (height, width)
    return middle + F.interpolate(likely, size, mode="bilinear", align_corners=False)[0, 0]


def _most_push(
    log_depth: torch.Tensor,
    at: _At,
    error: torch.Tensor,
    believed: torch.Tensor,
    doubtful: list[_At],
) -> torch.Tensor:
    """Return (h, w) how much farther each pixel may get, in log depth, by points of its own."""
    height, width = log_depth.shape
    side_px = width * _CELL_WIDTHS
    shape = (_LAYERS, math.ceil(height / side_px), math.ceil(width / side_px))
    weight = believed.to(log_depth.dtype)
    push = error.nan_to_num().clamp(min=0.0) * weight
    grid = _spread(at, torch.stack((weight, weight, push)), shape, side_px)
    for where, cost in zip(doubtful, (_AGAINST_UNKNOWN, _AGAINST_MOVING), strict=True):
        against = torch.zeros_like(where.log_depth) - cost
        none = torch.zeros_like(against)
        grid = grid + _spread(where, torch.stack((against, none, none)), shape, side_px)
    own, count, total = grid
    most = torch.where(own >= _LEAST_OWN, total / count.clamp(min=1.0), 0.0)
    rows, columns = (
        (torch.arange(side, device=log_depth.device) / side_px).long() for side in (height, width)
    )
    limit = most[_cell(_layer(log_depth), rows[:, None], columns, shape)][None]
    around = 2 * _EDGE_PX + 1
    least = -F.max_pool2d(-limit, around, 1, _EDGE_PX)
    return F.avg_pool2d(least, around, 1, _EDGE_PX, count_include_pad=False)[0]


def _spread(
    at: _At, values: torch.Tensor, shape: tuple[int, int, int], side_px: float
) -> torch.Tensor:
    """Return (C, cells) the sums of (C, N) values over the cells within reach of each point."""
    device = values.device
    centre = (_layer(at.log_depth), (at.rows / side_px).long(), (at.columns / side_px).long())
    steps = torch.meshgrid(
        *(torch.arange(-reach, reach + 1, device=device) for reach in _REACH), indexing="ij"
    )
    where = [c[:, None] + step.reshape(-1) for c, step in zip(centre, steps, strict=True)]
    is_inside = torch.ones_like(where[0], dtype=torch.bool)
    for index, side in zip(where, shape, strict=True):
        is_inside &= (index >= 0) & (index < side)
    layers, rows, columns = (
        index.clamp(0, side - 1) for index, side in zip(where, shape, strict=True)
    )
    spread = (values[:, :, None] * is_inside).flatten(1)
    grid = values.new_zeros((len(values), math.prod(shape)))
    return grid.index_add_(1, _cell(layers, rows, columns, shape).reshape(-1), spread)


def _cell(
    layers: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, shape: tuple[int, int, int]
) -> torch.Tensor:
    return (layers * shape[1] + rows) * shape[2] + columns


def _layer(log_depth: torch.Tensor) -> torch.Tensor:
    return ((log_depth - _NEAREST_LOG) / _LAYER_LOG).long().clamp(0, _LAYERS - 1)

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

Floors and walls, which recede, do not move: their points speak for all of them, see `receding`.
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
from mono_depth.motion.receding import Witnesses, is_receding
from mono_depth.motion.receding import most_push as most_push_of_receding
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
_LEAST_OWN = 4.0  # points, less what speaks against them
_AGAINST_UNKNOWN = 0.5  # of a point: a corner that does not tell its depth,
_AGAINST_MOVING = 2.0  # and one that moves
_MOST_AGAINST = 0.75  # more than that nearby, and what recedes does not speak for a surface
_AGAINST_RECEDING = 1.5  # of what both count where a surface recedes
_EDGE_CELLS = 1  # of two pixels, about what is supported, over which support fades


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
    # half the size, of the nearest of each four: what is thin keeps its own
    known = log_depth.nan_to_num(nan=5.0, posinf=5.0, neginf=-3.0)
    coarse = -F.max_pool2d(-known[None], 2, ceil_mode=True)[0]
    is_surface = is_receding(coarse, camera)
    on_surface = is_surface[at.rows // 2, at.columns // 2]
    stands_out, stands_out_there = _stand_out(error, sigma, at, some, on_surface, size[1])
    believed = error.isfinite() & ~stands_out
    believed_there = error.isfinite() & on_surface & ~stands_out_there
    likely = _likely_error(coarse, size[1], at, error, sigma, some, believed | believed_there)
    doubtful = _doubtful(filled, points, camera)
    alone = error.isfinite() & ~(believed | believed_there)
    limit, may_move = _most_push(coarse, size[1], at, error, believed, alone, doubtful)
    witnesses = _witnesses(at, error, believed_there, doubtful, is_surface)
    wide = most_push_of_receding(is_surface, _layer(coarse), witnesses, _LAYERS)
    limit = torch.maximum(limit, torch.where(may_move, 0.0, wide))
    limit = torch.where(middle > most_middle, torch.zeros_like(limit), limit)
    limit = -F.max_pool2d(-limit[None], 2 * _EDGE_CELLS + 1, 1, _EDGE_CELLS)[0]
    change = F.interpolate(torch.minimum(likely, limit)[None, None], size, mode="bilinear")[0, 0]
    return depth_m * change.exp()


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


def _stand_out(
    error: torch.Tensor,
    sigma: torch.Tensor,
    at: _At,
    some: torch.Tensor,
    on_surface: torch.Tensor,
    width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N,) whether a point pushes farther than those about it, which are not all its own.

    Of those at like depth, and of these and what is behind, a few in ten may be of the same thing
    that moves; so it is not their middle that counts. The second is for points of surfaces that
    recede, (N,) `on_surface`: only others of such surfaces are asked, at like depth.
    """
    some = some[error[some].nan_to_num(nan=torch.inf).argsort()]
    far_px = torch.maximum(
        (at.columns[:, None] - at.columns[some]).abs(), (at.rows[:, None] - at.rows[some]).abs()
    )
    behind = at.log_depth[some] - at.log_depth[:, None]
    is_about = (far_px < _ABOUT_WIDTHS * width) & error[some].isfinite() & (behind > -_ABOUT_LOG)
    is_alike = is_about & (behind < _ABOUT_LOG)
    asked = torch.stack((is_about, is_alike, is_alike & on_surface[some]))
    of_all, of_alike, of_surface = _low(error[some], asked)
    beyond = error - _STANDS_OUT - _SIGMAS * sigma
    return beyond > torch.minimum(of_all, of_alike), beyond > of_surface


def _low(rising: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return (C, N) a low quantile of the (C, N, M) chosen of (M,) rising values.

    It is 0 where it is below, or few are chosen.
    """
    so_far = chosen.cumsum(-1, dtype=torch.int32)
    count = so_far[..., -1]
    place = (so_far <= (_LOW * count[..., None]).int()).sum(-1).clamp(max=len(rising) - 1)
    return torch.where(count >= _LEAST_ABOUT, rising[place].clamp(min=0.0), 0.0)


def _likely_error(
    coarse: torch.Tensor,
    width: int,
    at: _At,
    error: torch.Tensor,
    sigma: torch.Tensor,
    some: torch.Tensor,
    believed: torch.Tensor,
) -> torch.Tensor:
    """Return (h, w) the error of log depth that some of the points make likely.

    Pixels near each other and of like depth are wrong alike: that is what a thing is.

    Args:
        coarse: (h, w) log depth of cells of two pixels.
        width: of the map [px].
        at: where the points are.
        error: (N,) of log depth there.
        sigma: (N,) of it.
        some: (M,) indices of points.
        believed: (N,).
    """
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
    sparse = -F.max_pool2d(-coarse[None], 2, ceil_mode=True)[0]
    rows, columns = torch.meshgrid(
        *(
            (torch.arange(side, dtype=coarse.dtype, device=coarse.device) * 4.0 + 1.5) * scale
            for side in sparse.shape
        ),
        indexing="ij",
    )
    everywhere = torch.stack((columns, rows, sparse / _ALIKE_LOG), -1).reshape(-1, 3)
    likely = torch.exp(-torch.cdist(everywhere, places)) @ share
    likely = likely.reshape(1, 1, *sparse.shape)
    return middle + F.interpolate(likely, coarse.shape, mode="bilinear")[0, 0]


@dataclass(frozen=True, kw_only=True)
class _Doubtful:
    """Corners that tell no depth, or move."""

    at: _At
    cost: torch.Tensor  # (M,) points that each outweighs


def _doubtful(log_depth: torch.Tensor, points: MotionPoints, camera: Intrinsics) -> _Doubtful:
    pixels = np.concatenate((points.unknown, points.moving))
    cost = np.full(len(pixels), _AGAINST_UNKNOWN, np.float32)
    cost[len(points.unknown) :] = _AGAINST_MOVING
    return _Doubtful(at=_places(log_depth, pixels, camera), cost=uploaded(cost, log_depth.device))


def _witnesses(
    at: _At,
    error: torch.Tensor,
    believed: torch.Tensor,
    doubtful: _Doubtful,
    is_surface: torch.Tensor,
) -> Witnesses:
    """Return what points and doubtful corners of surfaces that recede say."""
    weight, there = believed.to(error.dtype), doubtful.at
    against = doubtful.cost * is_surface[there.rows // 2, there.columns // 2] * -_AGAINST_RECEDING
    return Witnesses(
        columns=torch.cat((at.columns, there.columns)) // 2,
        layers=_layer(torch.cat((at.log_depth, there.log_depth))),
        count=torch.cat((weight, against)),
        push=torch.cat((error.nan_to_num().clamp(min=0.0) * weight, torch.zeros_like(against))),
    )


def _most_push(
    coarse: torch.Tensor,
    width: int,
    at: _At,
    error: torch.Tensor,
    believed: torch.Tensor,
    alone: torch.Tensor,
    doubtful: _Doubtful,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much farther each (h, w) cell may get by points of its own, and if it may move."""
    side_px = width * _CELL_WIDTHS
    height_cells, width_cells = (math.ceil(2 * side / side_px) for side in coarse.shape)
    shape = _LAYERS, height_cells, width_cells
    weight, none = believed.to(coarse.dtype), torch.zeros_like(doubtful.cost)
    push = error.nan_to_num().clamp(min=0.0) * weight
    everyone = _At(
        columns=torch.cat((at.columns, doubtful.at.columns)),
        rows=torch.cat((at.rows, doubtful.at.rows)),
        log_depth=torch.cat((at.log_depth, doubtful.at.log_depth)),
    )
    said = (
        torch.cat((weight, -doubtful.cost)),
        torch.cat((weight, none)),
        torch.cat((push, none)),
        torch.cat((alone.to(coarse.dtype), none)),
    )
    own, count, total, against = _spread(everyone, torch.stack(said), shape, side_px)
    most = torch.where(own >= _LEAST_OWN, total / count.clamp(min=1.0), 0.0)
    rows, columns = (
        (torch.arange(side, device=coarse.device) * 2 / side_px).long() for side in coarse.shape
    )
    cell = _cell(_layer(coarse), rows[:, None], columns, shape)
    return most[cell], (own - against < -_MOST_AGAINST)[cell]


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

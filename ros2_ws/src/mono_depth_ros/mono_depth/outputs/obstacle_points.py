"""Points for the costmap of a planner: what is in the way, and what is seen to be free."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from mono_depth.outputs.obstacle_view import ObstacleView
from mono_depth.outputs.point_cloud import ray_grid
from mono_depth.outputs.scan import CELL_M, Scan

_TABLE = 1 << 18  # places for voxels; where two share one, a point is kept twice
_CLEARING_POINTS = 4000  # about; rays farther apart than a voxel leave some of them uncleared


@dataclass(frozen=True, kw_only=True)
class ObstaclePoints:
    """Finite points in the optical frame (REP 103), each with its height over the ground."""

    points: torch.Tensor  # (n, 4) float32: x, y, z, height [m]


def obstacle_points(seen: ObstacleView, scan: Scan) -> ObstaclePoints:
    """Return what is in the way: one point for each voxel, the nearest `max_points` of them.

    What `scan` takes for noise, being nearer than its range, is left out. The edge of a drop-off
    has a point over it, in the middle of the band.
    """
    view, config = seen.view, seen.config
    marks = seen.votes.flatten().nonzero()[:, 0]
    bearing = view.bearing.flatten()[marks]
    beside_all = scan.ranges_m.new_zeros(1)  # bearings without a range leave everything out
    nearest = torch.cat((scan.ranges_m.nan_to_num(math.inf, math.inf), beside_all + math.inf))
    range_m = seen.mark_m.flatten()[marks]
    is_kept = range_m.clamp(min=config.range_min_m) >= nearest[bearing] - CELL_M
    marks, range_m = marks[is_kept], range_m[is_kept]
    depth_m = seen.depth_m.flatten()[marks]
    height_m = seen.height_m.flatten()[marks]
    lift_m = None
    if seen.is_drop is not None:
        is_drop = seen.is_drop.flatten()[marks]
        middle_m = 0.5 * (config.min_height_m + config.max_height_m)
        depth_m = torch.where(is_drop, range_m / view.reach.flatten()[marks], depth_m)
        height_m = torch.where(is_drop, middle_m, height_m)
        lift_m = is_drop * middle_m
    one = _first_of_voxels(
        (
            view.ahead.flatten()[marks] * depth_m,
            view.left.flatten()[marks] * depth_m,
            height_m,
        ),
        config.voxel_m,
    )
    if one.numel() > config.max_points:
        one = one[range_m[one].argsort()[: config.max_points]]
    lift_m = None if lift_m is None else lift_m[one]
    points = _in_camera(seen, marks[one], depth_m[one], height_m[one], lift_m)
    return ObstaclePoints(points=points)


def clearing_points(seen: ObstacleView, scan: Scan) -> ObstaclePoints:
    """Return ends of rays that are seen to be free: sky, open ground, and the way to obstacles.

    Each lies on the ray of a pixel, where that leaves the band of obstacles, or before what the
    pixel shows, or before the obstacle of its bearing, whichever is nearest. So none is cut off by
    limits of height, and none clears beyond what its bearing shows.
    """
    view, config = seen.view, seen.config
    height, width = seen.depth_m.shape
    most = min(_CLEARING_POINTS, config.max_points)
    step = max(1, math.ceil(math.sqrt(height * width / most)))
    some = (slice(step // 2, None, step), slice(step // 2, None, step))
    free_m = torch.cat((scan.free_m, scan.free_m.new_zeros(1)))[view.bearing[some]]
    is_short = free_m < config.range_max_m  # there an obstacle ends it
    end_m = torch.minimum(seen.range_m[some], torch.where(is_short, free_m, math.inf))
    end_m = torch.minimum(end_m - config.voxel_m, view.leaves_m[some])
    is_free = view.is_needed[some] & ~seen.is_unknown[some] & (end_m > view.enters_m[some])
    rows, columns = is_free.nonzero(as_tuple=True)
    pixels = (rows * step + step // 2) * width + columns * step + step // 2
    end_m = end_m[rows, columns]
    depth_m = end_m / view.reach.flatten()[pixels]
    height_m = view.camera_height_m + depth_m * view.up.flatten()[pixels]
    return ObstaclePoints(points=_in_camera(seen, pixels, depth_m, height_m, None))


def _in_camera(
    seen: ObstacleView,
    pixels: torch.Tensor,
    depth_m: torch.Tensor,
    height_m: torch.Tensor,
    lift_m: torch.Tensor | None,
) -> torch.Tensor:
    """Return (n, 4) points of pixels, moved up by `lift_m` where it is given."""
    intrinsics = seen.view.intrinsics
    x, y = ray_grid(intrinsics, device=depth_m.device)
    columns = pixels % intrinsics.width
    rows = torch.div(pixels, intrinsics.width, rounding_mode="floor")
    axes = [x[0][columns] * depth_m, y[:, 0][rows] * depth_m, depth_m]
    if lift_m is not None:
        up = seen.view.R_level_camera[2]
        axes = [axis + float(part) * lift_m for axis, part in zip(axes, up, strict=True)]
    return torch.stack([*axes, height_m], dim=1)


def _first_of_voxels(position_m: tuple[torch.Tensor, ...], voxel_m: float) -> torch.Tensor:
    """Return the indices of points that stand for their voxels, one for each."""
    x, y, z = ((axis * (1.0 / voxel_m)).floor().long() for axis in position_m)
    key = (x * 8192 + y) * 8192 + z
    place = (x * 73856093 ^ y * 19349663 ^ z * 83492791) & (_TABLE - 1)
    here = torch.arange(len(key), device=key.device)
    winner = torch.empty(_TABLE, dtype=torch.int64, device=key.device)
    winner[place] = here
    won_by = winner[place]
    return ((won_by == here) | (key[won_by] != key)).nonzero()[:, 0]

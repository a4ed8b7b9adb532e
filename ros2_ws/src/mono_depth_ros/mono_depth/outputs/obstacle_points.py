"""Points for the costmap of a planner: what is in the way, and what is seen to be free."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from mono_depth.outputs.indices import indices_of
from mono_depth.outputs.level_view import LevelView
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
    marks, config = seen.marks, seen.config
    nearest = torch.cat((scan.ranges_m.nan_to_num(math.inf, math.inf), _beside(scan, math.inf)))
    is_kept = marks.range_m.clamp(min=config.range_min_m) >= nearest[marks.bearing] - CELL_M
    kept = indices_of(is_kept)
    pixels, depth_m = marks.pixels[kept], marks.depth_m[kept]
    height_m = marks.height_m[kept]
    ahead, left = _ahead_and_left(seen.view, pixels, depth_m)
    one = _first_of_voxels((ahead, left, height_m), config.voxel_m)
    if one.numel() > config.max_points:
        one = one[depth_m[one].argsort()[: config.max_points]]
    height_m = height_m[one]
    lift_m = marks.is_drop[kept[one]] * height_m  # what the map has there is the ground
    return ObstaclePoints(points=_in_camera(seen.view, pixels[one], depth_m[one], height_m, lift_m))


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
    free_m = torch.cat((scan.free_m, _beside(scan, 0.0)))[view.bearing[some]]
    reach = view.reach[some]
    is_ended = free_m < config.range_max_m  # by an obstacle
    end_m = torch.minimum(seen.depth_m[some] * reach, torch.where(is_ended, free_m, math.inf))
    end_m = torch.minimum(end_m - config.voxel_m, view.leaves_z[some] * reach)
    starts_m = (view.enters_z[some] * reach).clamp_(min=config.range_min_m)
    is_free = view.is_needed[some] & ~seen.is_unsure[some] & (end_m > starts_m)
    rows, columns = is_free.nonzero(as_tuple=True)
    depth_m = (end_m / reach)[rows, columns]
    pixels = (rows * step + step // 2) * width + columns * step + step // 2
    height_m = view.camera_height_m + depth_m * view.up.flatten()[pixels]
    return ObstaclePoints(points=_in_camera(view, pixels, depth_m, height_m, None))


def _beside(scan: Scan, value: float) -> torch.Tensor:
    """Return (1,) value of what lies beside all bearings."""
    return scan.free_m.new_full((1,), value)


def _rays_of(view: LevelView, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (n,) x / z and y / z of pixels."""
    intrinsics = view.intrinsics
    x, y = ray_grid(intrinsics, device=pixels.device)
    rows = torch.div(pixels, intrinsics.width, rounding_mode="floor")
    return x[0][pixels - rows * intrinsics.width], y[:, 0][rows]


def _ahead_and_left(
    view: LevelView, pixels: torch.Tensor, depth_m: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = _rays_of(view, pixels)
    (a, b, c), (d, e, f) = view.R_level_camera[:2].tolist()
    return (a * x + b * y + c) * depth_m, (d * x + e * y + f) * depth_m


def _in_camera(
    view: LevelView,
    pixels: torch.Tensor,
    depth_m: torch.Tensor,
    height_m: torch.Tensor,
    lift_m: torch.Tensor | None,
) -> torch.Tensor:
    """Return (n, 4) points of pixels, moved up by `lift_m` where it is given."""
    x, y = _rays_of(view, pixels)
    axes = [x * depth_m, y * depth_m, depth_m]
    if lift_m is not None:
        up = view.R_level_camera[2]
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
    return indices_of((won_by == here) | (key[won_by] != key))

"""Where the rays of a camera go over level ground: by bearing, through the band of obstacles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from mono_depth.camera.level import Rotation
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics
from mono_depth.outputs.indices import indices_of
from mono_depth.outputs.point_cloud import ray_grid

_PIXELS_PER_BEARING = 1.5  # at least, so that no bearing falls between two columns
_DROP_OF_HEIGHT = 0.1  # of the camera's height: what an error of scale makes of level ground
_DROP_REACH = 10.0  # heights of the camera: farther away a drop-off is seen at too flat an angle
_SPARE = math.radians(5.0)  # bearings that are not seen any more are kept so long
_SWAY = math.radians(2.0)  # more than is seen, once a camera is known to sway
_SAME_TURN = math.radians(0.2)  # 2 cm at 6 m
_SAME_HEIGHT_M = 0.005


@dataclass(frozen=True, kw_only=True)
class Bearings:
    """Directions of a scan in the level frame, counter-clockwise from x (REP 103)."""

    first_rad: float  # the middle of the first bearing
    step_rad: float
    count: int

    @property
    def last_rad(self) -> float:
        """The middle of the last bearing."""
        return self.first_rad + (self.count - 1) * self.step_rad


@dataclass(frozen=True, kw_only=True)
class LevelView:
    """The rays of a camera over level ground. Maps are (h, w), on one device.

    Ranges are horizontal distances from the camera; heights are over the ground. Limits of depth
    along z are made once for a tilt, so that a frame only needs to be compared with them.
    """

    intrinsics: Intrinsics
    R_level_camera: Rotation  # (3, 3)
    camera_height_m: float
    bearings: Bearings
    up: torch.Tensor  # rise of the ray for each metre of depth
    reach: torch.Tensor  # range for each metre of depth
    bearing: torch.Tensor  # int64, index of the bearing; `bearings.count` = beside all
    ground_m: torch.Tensor  # range at which the ray meets the ground, +Inf = nowhere
    enters_z: torch.Tensor  # depth at which the ray comes into the band, +Inf = it does not
    leaves_z: torch.Tensor  # depth at which it has left the band, or has come to range_max_m
    end_z: torch.Tensor  # depth of range_max_m where the ray is in the band there, else +Inf
    drop_z: torch.Tensor  # depth beyond which the ground has fallen off, +Inf = cannot be told
    is_needed: torch.Tensor  # bool, it is in the band somewhere between range_min_m and range_max_m
    in_corridor: torch.Tensor  # bool, it meets the ground, or the end, of the robot's corridor
    needed: torch.Tensor  # (count + 1,) rays of each bearing that are needed
    at_end: torch.Tensor  # (count + 1,) those of them that are in the band at range_max_m


class LevelViews:
    """Makes level views; keeps the last one while the camera does not tilt."""

    def __init__(self) -> None:
        self._view: LevelView | None = None
        self._made_of: tuple[object, ...] = ()

    def of(
        self,
        intrinsics: Intrinsics,
        R_level_camera: Rotation,
        camera_height_m: float,
        config: ScanConfig,
        device: torch.device,
    ) -> LevelView:
        """Return the view of a camera.

        The bearings stay as they are while they cover what is seen: some consumers expect as many
        in each scan.
        """
        made_of = (intrinsics, config, device)
        view = self._view if made_of == self._made_of else None
        if view is not None and _is_same(view, R_level_camera, camera_height_m):
            return view
        bearings = None if view is None else view.bearings
        self._made_of = made_of
        self._view = level_view(
            intrinsics, R_level_camera, camera_height_m, config, device=device, before=bearings
        )
        return self._view


def level_view(
    intrinsics: Intrinsics,
    R_level_camera: Rotation,
    camera_height_m: float,
    config: ScanConfig,
    *,
    device: torch.device | None = None,
    before: Bearings | None = None,
) -> LevelView:
    """Return the rays of a camera in the level frame.

    Args:
        intrinsics: of the map of depth.
        R_level_camera: (3, 3), see `level_rotation`.
        camera_height_m: of the optical centre over the ground, > 0.
        config: band of obstacles, ranges, corridor.
        device: of the maps.
        before: bearings to keep if they cover what is seen.
    """
    x, y = ray_grid(intrinsics, device=device)
    ahead, left, up = ((float(r[0]) * x + float(r[2])) + float(r[1]) * y for r in R_level_camera)
    reach = (ahead * ahead + left * left).sqrt_().clamp_(min=1e-6)
    slope = up / reach
    enters_m, leaves_m = _in_band(slope, camera_height_m, config)
    is_needed = enters_m.clamp(min=config.range_min_m) < leaves_m
    end_m = camera_height_m + slope * config.range_max_m
    lowest_m = config.min_height_m + config.tilt_tolerance * config.range_max_m
    is_at_end = is_needed & (end_m >= lowest_m) & (end_m <= config.max_height_m)
    angle = torch.atan2(left, ahead)
    bearings = _bearings(intrinsics, angle, is_needed, config, before)
    index = ((angle - bearings.first_rad) * (1.0 / bearings.step_rad) + 0.5).floor_()
    outside = (index < 0.0) | (index >= bearings.count)
    bearing = index.masked_fill_(outside, bearings.count).long()
    ground_m = (-camera_height_m / slope).masked_fill_(slope >= 0.0, math.inf)
    count = bearings.count + 1
    return LevelView(
        intrinsics=intrinsics,
        R_level_camera=np.array(R_level_camera),
        camera_height_m=camera_height_m,
        bearings=bearings,
        up=up,
        reach=reach,
        bearing=bearing,
        ground_m=ground_m,
        enters_z=(enters_m / reach).masked_fill_(enters_m >= leaves_m, math.inf),
        leaves_z=leaves_m / reach,
        end_z=(config.range_max_m / reach).masked_fill_(~is_at_end, math.inf),
        drop_z=_drop_z(ground_m, up, reach, camera_height_m, config),
        is_needed=is_needed,
        in_corridor=_in_corridor(ahead, left, up, ground_m / reach, camera_height_m, config),
        needed=torch.bincount(bearing.flatten()[indices_of(is_needed)], minlength=count),
        at_end=torch.bincount(bearing.flatten()[indices_of(is_at_end)], minlength=count),
    )


def _is_same(view: LevelView, R_level_camera: Rotation, camera_height_m: float) -> bool:
    turned = float(np.abs(view.R_level_camera - R_level_camera).max())
    return turned < _SAME_TURN and abs(view.camera_height_m - camera_height_m) < _SAME_HEIGHT_M


def _in_band(
    slope: torch.Tensor, camera_height_m: float, config: ScanConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ranges between which rays that rise by `slope` a metre are in the band."""
    over_lower = camera_height_m - config.min_height_m, slope - config.tilt_tolerance
    under_upper = config.max_height_m - camera_height_m, -slope
    enters = torch.zeros_like(slope)
    leaves = torch.full_like(slope, config.range_max_m)
    for at_camera, change in (over_lower, under_upper):  # both shall be at_camera + change r >= 0
        limit = -at_camera / torch.where(change == 0.0, -1e-9, change)
        enters = torch.where(change > 0.0, torch.maximum(enters, limit), enters)
        leaves = torch.where(change > 0.0, leaves, torch.minimum(leaves, limit))
    return enters, leaves


def _drop_z(
    ground_m: torch.Tensor,
    up: torch.Tensor,
    reach: torch.Tensor,
    camera_height_m: float,
    config: ScanConfig,
) -> torch.Tensor:
    """Return the depth beyond which a ray is lower than errors of tilt and scale make it."""
    if config.drop_m == 0.0:
        return torch.full_like(up, math.inf)
    lost_m = config.drop_m + (1.0 + _DROP_OF_HEIGHT) * camera_height_m
    falls = -(up + config.tilt_tolerance * reach)
    reach_m = min(config.range_max_m, _DROP_REACH * camera_height_m)
    return (lost_m / falls).masked_fill_((falls <= 0.0) | (ground_m > reach_m), math.inf)


def _in_corridor(
    ahead: torch.Tensor,
    left: torch.Tensor,
    up: torch.Tensor,
    ground_depth_m: torch.Tensor,
    camera_height_m: float,
    config: ScanConfig,
) -> torch.Tensor:
    """Tell which rays meet the ground of the strip before the robot, or its end, in the band."""
    half_m, length_m = 0.5 * config.corridor_width_m, config.corridor_length_m
    end_depth_m = length_m / ahead.clamp(min=1e-6)
    depth_m = torch.minimum(ground_depth_m, end_depth_m)
    is_between = (left * depth_m).abs() < half_m
    at_end_m = camera_height_m + up * end_depth_m
    return is_between & (ahead > 0.0) & (at_end_m < config.max_height_m)


def _bearings(
    intrinsics: Intrinsics,
    angle: torch.Tensor,
    is_needed: torch.Tensor,
    config: ScanConfig,
    before: Bearings | None,
) -> Bearings:
    """Return the bearings of the rays that come through the band."""
    seen = angle.flatten()[indices_of(is_needed)]
    first, last = (float(seen.min()), float(seen.max())) if seen.numel() else (0.0, 0.0)
    if before is not None:
        half = 0.5 * before.step_rad
        spare = first - (before.first_rad - half), before.last_rad + half - last
        if all(0.0 <= rad <= _SPARE for rad in spare):
            return before
        first, last = first - _SWAY, last + _SWAY
    step = max(math.radians(config.angle_step_deg), _PIXELS_PER_BEARING / intrinsics.fx)
    middle = 0.5 * (first + last)
    count = max(1, math.ceil((last - first) / step))
    return Bearings(first_rad=middle - 0.5 * (count - 1) * step, step_rad=step, count=count)

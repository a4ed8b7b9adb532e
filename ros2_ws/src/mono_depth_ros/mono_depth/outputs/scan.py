"""A scan, as of a level 2-D lidar, from a whole depth map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from mono_depth.camera.level import Rotation
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics
from mono_depth.outputs.indices import indices_of
from mono_depth.outputs.level_view import Bearings
from mono_depth.outputs.obstacle_view import ObstacleView, obstacle_view_of

CELL_M = 0.02  # of ranges: what is given is the near end of a cell
_THICK_M = 0.1  # pixels of one obstacle lie within it
_CLEAR_AT_END = 0.5  # of the rays that stay in the band: so many see to the end of a clear bearing
_CLEAR_UNKNOWN = 0.2  # of the rays of a bearing that may be unsure, or it is not clear


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Ranges in the level frame of the camera: x ahead, y left, z up (REP 103)."""

    bearings: Bearings
    # (n,) float32 horizontal [m]: finite = an obstacle, not nearer than range_min_m; +Inf = seen
    # and clear up to range_max_m; NaN = not seen.
    ranges_m: torch.Tensor
    # (n,) float32: the bearing may be cleared so far, by what was seen at least so far away.
    free_m: torch.Tensor
    range_min_m: float
    range_max_m: float

    def without_clear(self) -> Scan:
        """Return what may mark but not clear: nothing is told of bearings that look clear."""
        ranges_m = self.ranges_m.masked_fill(self.ranges_m.isinf(), math.nan)
        return Scan(
            bearings=self.bearings,
            ranges_m=ranges_m,
            free_m=torch.zeros_like(self.free_m),
            range_min_m=self.range_min_m,
            range_max_m=self.range_max_m,
        )


def scan_of(
    depth_m: torch.Tensor,
    confidence: torch.Tensor | None,
    intrinsics: Intrinsics,
    R_level_camera: Rotation,
    camera_height_m: float,
    config: ScanConfig,
) -> Scan:
    """Return the scan of one depth map; see `scan_from` for a stream of them.

    Args:
        depth_m: (h, w) float32 metres along z, NaN = unknown, +Inf = beyond range.
        confidence: (h, w) float32, 0..1; None = all is sure.
        intrinsics: of the depth pixels.
        R_level_camera: (3, 3), see `level_rotation`.
        camera_height_m: of the optical centre over the ground, > 0.
        config: band of obstacles, ranges, gates.
    """
    return scan_from(
        obstacle_view_of(depth_m, confidence, intrinsics, R_level_camera, camera_height_m, config)
    )


def scan_from(seen: ObstacleView) -> Scan:
    """Return the scan of a depth map in its level view.

    The range of a bearing is that of its k-th nearest pixel, k = `nearest_count`, among those
    within 10 cm and one bearing to either side: a pole has as many, scattered noise has not.
    """
    view, config = seen.view, seen.config
    count = view.bearings.count
    ranges_m, voices = _nearest(seen, count)
    far = _rays(seen, ~seen.is_unsure & (seen.depth_m >= view.end_z))
    is_seen = _rays(seen, seen.is_unsure & view.is_needed) <= _CLEAR_UNKNOWN * view.needed[:count]
    is_quiet = voices == 0.0
    at_end = view.at_end[:count]
    is_clear = is_quiet & is_seen & (at_end > 0) & (far >= _CLEAR_AT_END * at_end)
    is_hit = ranges_m.isfinite()
    ranges_m = torch.where(is_hit, ranges_m.clamp(min=config.range_min_m), math.nan)
    free_m = torch.where(is_hit, ranges_m, torch.where(is_quiet, config.range_max_m, 0.0))
    return Scan(
        bearings=view.bearings,
        ranges_m=ranges_m.masked_fill(is_clear & ~is_hit, math.inf),
        free_m=torch.where(is_seen & (view.needed[:count] > 0), free_m, 0.0),
        range_min_m=config.range_min_m,
        range_max_m=config.range_max_m,
    )


def _rays(seen: ObstacleView, mask: torch.Tensor) -> torch.Tensor:
    """Return (count,) how many rays of each bearing are in a mask."""
    count = seen.view.bearings.count
    bearing = seen.view.bearing.flatten()[indices_of(mask)]
    return torch.bincount(bearing, minlength=count + 1)[:count]


def _nearest(seen: ObstacleView, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (count,) ranges, +Inf where there are too few votes, and the votes of each bearing."""
    cells = math.ceil(seen.config.range_max_m / CELL_M) + 1
    cell = (seen.marks.range_m * (1.0 / CELL_M)).long()
    place = seen.marks.bearing * cells + cell.clamp_(max=cells - 1)
    votes = torch.bincount(place, seen.marks.votes, minlength=(count + 1) * cells)
    votes = votes.view(count + 1, cells)[:count].float()
    summed = votes.cumsum(1)
    thick = round(_THICK_M / CELL_M)
    within = summed.clone()
    within[:, thick:] -= summed[:, :-thick]
    beside = within.clone()  # a thing one pixel high has too few in one bearing
    beside[1:] += within[:-1]
    beside[:-1] += within[1:]
    is_enough = (within > 0.0) & (beside >= float(seen.config.nearest_count))
    first = is_enough.to(torch.uint8).argmax(1)
    found = is_enough.any(1)
    return torch.where(found, first.float() * CELL_M, math.inf), summed[:, -1]

"""What of a depth map is an obstacle, what is unknown, and what neither.

A pixel marks if its point lies in the band of obstacles over the ground, or, at the range where
its ray should have met the ground, if it sees far below it: a drop-off.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mono_depth.camera.level import Rotation
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics
from mono_depth.outputs.level_view import LevelView, level_view

_DOUBTFUL = 0.25  # of a vote
_FARTHEST_M = 1e4  # what stands for depth beyond any limit
_DROP_OF_HEIGHT = 0.1  # of the camera's height: what an error of scale makes of level ground
_DROP_REACH = 10.0  # heights of the camera: farther away a drop-off is seen at too flat an angle


@dataclass(frozen=True, kw_only=True)
class ObstacleView:
    """A depth map in the level view of its camera. Maps are (h, w), on one device."""

    view: LevelView
    config: ScanConfig
    depth_m: torch.Tensor  # along z, unknown = 0, beyond all limits = very large
    range_m: torch.Tensor  # horizontal, of the point
    height_m: torch.Tensor  # of the point, over the ground
    mark_m: torch.Tensor  # range of what marks; of a drop-off that of the ground that is missed
    is_drop: torch.Tensor | None  # bool, it marks as a drop-off; None = they are not looked for
    votes: torch.Tensor  # float32: 0 = marks nothing, 1 = marks, less = doubtful
    is_unknown: torch.Tensor  # bool: no depth, or too little confidence to clear anything


def obstacle_view(
    depth_m: torch.Tensor,
    confidence: torch.Tensor | None,
    view: LevelView,
    config: ScanConfig,
    *,
    is_visible: torch.Tensor | None = None,
) -> ObstacleView:
    """Return what marks and what is unknown.

    Args:
        depth_m: (h, w) float32 metres along z, NaN = unknown, +Inf = beyond range.
        confidence: (h, w) float32, 0..1; None = all is sure.
        view: of the camera of the depth pixels.
        config: band, ranges, gates.
        is_visible: (h, w) bool, False = no image there, which is outside of the field of view.
    """
    known = depth_m > 0.0
    z = torch.where(known, depth_m, 0.0).clamp_(max=_FARTHEST_M)
    range_m, height_m = z * view.reach, z * view.up + view.camera_height_m
    near_m = range_m.clamp(max=config.range_max_m)
    lowest_m = config.min_height_m + config.tilt_tolerance * near_m
    marks = known & (height_m >= lowest_m) & (height_m <= config.max_height_m)
    marks &= range_m <= config.range_max_m
    mark_m, is_drop = range_m, None
    if config.drop_m > 0.0:
        lost_m = config.drop_m + _DROP_OF_HEIGHT * view.camera_height_m
        reach_m = min(config.range_max_m, _DROP_REACH * view.camera_height_m)
        is_drop = known & (view.ground_m <= reach_m)
        is_drop &= height_m < -(lost_m + config.tilt_tolerance * near_m)
        mark_m = torch.where(is_drop, view.ground_m, range_m)
        marks |= is_drop
    is_lonely, is_behind = _jumps(z, config.max_jump)
    is_unknown = ~known | is_lonely
    doubtful = is_behind
    if confidence is not None:
        is_unsure = ~(confidence >= config.min_confidence)
        is_unknown |= is_unsure
        doubtful = is_behind | is_unsure
    if is_visible is not None:
        marks &= is_visible
        is_unknown &= is_visible
    votes = torch.where(doubtful, _DOUBTFUL, 1.0) * (marks & ~is_lonely)
    return ObstacleView(
        view=view,
        config=config,
        depth_m=z,
        range_m=range_m,
        height_m=height_m,
        mark_m=mark_m,
        is_drop=is_drop,
        votes=votes,
        is_unknown=is_unknown,
    )


def obstacle_view_of(
    depth_m: torch.Tensor,
    confidence: torch.Tensor | None,
    intrinsics: Intrinsics,
    R_level_camera: Rotation,
    camera_height_m: float,
    config: ScanConfig,
) -> ObstacleView:
    """Return `obstacle_view` of one map alone; see `LevelViews` for a stream of them."""
    view = level_view(intrinsics, R_level_camera, camera_height_m, config, device=depth_m.device)
    return obstacle_view(depth_m, confidence, view, config)


def _jumps(z: torch.Tensor, max_jump: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Tell which pixels are unlike all direct neighbours, and which lie behind one of them.

    A thing one pixel wide has neighbours of its own, above or beside; noise has not.
    """
    is_lonely = torch.ones_like(z, dtype=torch.bool)
    is_behind = torch.zeros_like(is_lonely)
    limit = z * (1.0 + max_jump)
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        here_behind, there_behind = z[here] > limit[there], z[there] > limit[here]
        is_behind[here] |= here_behind
        is_behind[there] |= there_behind
        unlike = here_behind | there_behind
        is_lonely[here] &= unlike
        is_lonely[there] &= unlike
    return is_lonely, is_behind

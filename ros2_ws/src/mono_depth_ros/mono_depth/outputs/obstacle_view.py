"""What of a depth map is an obstacle, what is unknown, and what neither.

A pixel marks if its point lies in the band of obstacles over the ground, or, at the range where
its ray should have met the ground, if it sees far below it: a drop-off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mono_depth.camera.level import Rotation
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics
from mono_depth.outputs.indices import indices_of
from mono_depth.outputs.level_view import LevelView, level_view

_DOUBTFUL = 0.25  # of a vote
_NO_CONFIDENCE = 1e-4  # below, depth is a guess; what is new and doubtful has more
_FARTHEST_M = 1e6  # stands for depth beyond any limit


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The pixels that mark something; all are (n,)."""

    pixels: torch.Tensor  # int64, flat index
    bearing: torch.Tensor  # int64
    range_m: torch.Tensor  # of a drop-off that of the ground that is missed
    depth_m: torch.Tensor  # along z, of that
    height_m: torch.Tensor  # over the ground; of a drop-off the middle of the band
    is_drop: torch.Tensor  # bool
    votes: torch.Tensor  # float32, 1, or less for a doubtful one


@dataclass(frozen=True, kw_only=True)
class ObstacleView:
    """A depth map in the level view of its camera. Maps are (h, w), on one device."""

    view: LevelView
    config: ScanConfig
    depth_m: torch.Tensor  # along z, unknown = 0
    marks: Marks
    is_unknown: torch.Tensor  # bool: no depth, or one without any confidence
    is_unsure: torch.Tensor  # bool: that, or too little confidence to clear anything


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
    z = depth_m.nan_to_num(0.0, _FARTHEST_M, 0.0)
    is_drop = z > view.drop_z
    is_mark = ((z >= view.enters_z) & (z < view.leaves_z) & known) | is_drop
    is_lonely, is_doubtful = _jumps(z, config.max_jump)
    is_mark &= ~is_lonely
    is_unknown = is_unsure = ~known
    if confidence is not None:
        is_unknown = is_unsure | ~(confidence >= _NO_CONFIDENCE)
        is_unsure = is_unsure | ~(confidence >= config.min_confidence)
        is_doubtful |= is_unsure
    if is_visible is not None:
        is_mark &= is_visible
        is_unknown, is_unsure = is_unknown & is_visible, is_unsure & is_visible
    marks = _marks(z, is_mark, is_drop, is_doubtful, view, config)
    return ObstacleView(
        view=view,
        config=config,
        depth_m=z,
        marks=marks,
        is_unknown=is_unknown,
        is_unsure=is_unsure,
    )


def _marks(
    z: torch.Tensor,
    is_mark: torch.Tensor,
    is_drop: torch.Tensor,
    is_doubtful: torch.Tensor,
    view: LevelView,
    config: ScanConfig,
) -> Marks:
    pixels = indices_of(is_mark)
    reach, depth_m = view.reach.flatten()[pixels], z.flatten()[pixels]
    range_m = depth_m * reach
    height_m = depth_m * view.up.flatten()[pixels] + view.camera_height_m
    drops = is_drop.flatten()[pixels]
    if config.drop_m > 0.0:
        range_m = torch.where(drops, view.ground_m.flatten()[pixels], range_m)
        depth_m = range_m / reach
        height_m = height_m.masked_fill_(drops, 0.5 * (config.min_height_m + config.max_height_m))
    return Marks(
        pixels=pixels,
        bearing=view.bearing.flatten()[pixels],
        range_m=range_m,
        depth_m=depth_m,
        height_m=height_m,
        is_drop=drops,
        votes=1.0 - (1.0 - _DOUBTFUL) * is_doubtful.flatten()[pixels].float(),
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
    maps = z, z * (1.0 + max_jump), is_lonely, is_behind
    if z.device.type == "cpu":  # a third of the time: torch is slow with parts of masks
        _mark_jumps(*(values.numpy() for values in maps))
    else:
        _mark_jumps(*maps)
    return is_lonely, is_behind


def _mark_jumps(z: Any, limit: Any, is_lonely: Any, is_behind: Any) -> None:  # noqa: ANN401
    """Fill the two masks; all four are tensors, or all are arrays."""
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

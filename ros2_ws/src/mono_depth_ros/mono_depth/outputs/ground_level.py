"""How high a camera is over the ground by its depth alone, where nothing else tells."""

from __future__ import annotations

import math

import torch

from mono_depth.camera.level import Rotation
from mono_depth.data import Intrinsics
from mono_depth.outputs.point_cloud import ray_grid

_FARTHEST = 8.0  # heights of the camera: ground farther away is seen at too flat an angle
_FLAT = 0.3  # rise of ground, per distance, that errors of depth and tilt may fake
_STEP = 0.02  # of the logarithm of heights
_LEAST_M, _MOST_M = 0.05, 5.0
_LEAST_SHARE = 0.03  # of the pixels of the map
_STRONG = 0.25  # of the strongest level: a lower one as strong is the ground, not what lies on it


def ground_level(
    depth_m: torch.Tensor, intrinsics: Intrinsics, R_level_camera: Rotation
) -> float | None:
    """Return the height of the camera over the lowest wide level surface, None without one.

    A table can pass for the ground while nothing else is seen; so what is marked by this height
    may be less than what is there, and its caller should not clear by it.

    Args:
        depth_m: (h, w) float32 metres along z, NaN = unknown.
        intrinsics: of the depth pixels.
        R_level_camera: (3, 3), see `level_rotation`.
    """
    x, y = ray_grid(intrinsics, device=depth_m.device)
    ahead, left, up = ((float(r[0]) * x + float(r[2])) + float(r[1]) * y for r in R_level_camera)
    below_m, range_m = -up * depth_m, (ahead**2 + left**2).sqrt() * depth_m
    step = max(1, intrinsics.height // 100)
    rise_m = (below_m[step:] - below_m[:-step]).abs()
    along_m = (range_m[step:] - range_m[:-step]).abs()
    middle_m = below_m[step:]
    is_level = (rise_m < _FLAT * along_m) & (range_m[step:] < _FARTHEST * middle_m)
    is_level &= (middle_m > _LEAST_M) & (middle_m < _MOST_M)
    heights = middle_m[is_level]
    bins = math.ceil(math.log(_MOST_M / _LEAST_M) / _STEP) + 1
    votes = torch.bincount(((heights / _LEAST_M).log() / _STEP).long(), minlength=bins).float()
    near = votes.clone()  # a level surface fills about three
    near[1:] += votes[:-1]
    near[:-1] += votes[1:]
    strongest = float(near.max())
    if strongest < _LEAST_SHARE * depth_m.numel():
        return None
    lowest = int((near >= _STRONG * strongest).nonzero()[-1])
    inside = (heights / (_LEAST_M * math.exp((lowest + 0.5) * _STEP))).log().abs() < 1.5 * _STEP
    return float(heights[inside].median()) if bool(inside.any()) else None

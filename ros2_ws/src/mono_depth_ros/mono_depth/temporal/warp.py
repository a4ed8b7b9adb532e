"""Brings what is remembered of the last frame into the view of the present one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from mono_depth.data import Intrinsics
from mono_depth.geometry import ray_grid

_MIN_DEPTH_M = 1e-3
_SMOOTH = 0.02  # depth that differs by less than this fraction may be interpolated


@dataclass(frozen=True, kw_only=True)
class History:
    """What the filter remembers of one frame. All maps are (h, w) float32."""

    log_depth: torch.Tensor  # of the fused depth in metres
    count: torch.Tensor  # frames that the fused depth stands for
    variance: torch.Tensor  # of the disagreement between a frame and its past, in log depth
    grey: torch.Tensor  # brightness, 0..255


@dataclass(frozen=True, kw_only=True)
class Warped:
    """A history seen from the present camera."""

    log_depth: torch.Tensor  # (h, w), of the remembered surface along the present z axis
    count: torch.Tensor  # (h, w)
    variance: torch.Tensor  # (h, w)
    grey: torch.Tensor  # (h, w)
    valid: torch.Tensor  # (h, w) bool, False where the last frame did not see the pixel


class Warper:
    """Moves histories of one camera and size; keeps its rays."""

    def __init__(self, intrinsics: Intrinsics, device: torch.device) -> None:
        """Prepare the rays.

        Args:
            intrinsics: camera of the maps, at their size.
            device: of the maps.
        """
        self.intrinsics = intrinsics
        x, y = ray_grid(intrinsics, device=device)
        size = (intrinsics.height, intrinsics.width)
        self._rays = torch.stack((x.expand(size), y.expand(size), torch.ones(size, device=device)))

    def warp(self, history: History, log_depth: torch.Tensor, T_last_now: torch.Tensor) -> Warped:
        """Look up every pixel of the present frame in the last one.

        Args:
            history: of the last frame.
            log_depth: (h, w) of the present frame, on the scale of the history.
            T_last_now: (4, 4) float32, turns points of the present camera into the last one's.
        """
        K = self.intrinsics
        R, t = T_last_now[:3, :3], T_last_now[:3, 3]
        points = torch.tensordot(R, self._rays, 1).mul_(log_depth.exp()).add_(t[:, None, None])
        z = points[2].clamp_min(_MIN_DEPTH_M)
        column = (points[0] / z).mul_(K.fx).add_(K.cx)
        row = (points[1] / z).mul_(K.fy).add_(K.cy)
        inside = (column >= 0) & (column <= K.width - 1) & (row >= 0) & (row <= K.height - 1)
        # As seen along the ray that hits the last image at (column, row).
        x, y = (column - K.cx) / K.fx, (row - K.cy) / K.fy
        grid = torch.stack(
            ((column + 0.5) * (2.0 / K.width) - 1.0, (row + 0.5) * (2.0 / K.height) - 1.0), dim=-1
        )[None]
        smooth = torch.stack((history.log_depth, history.count, history.variance, history.grey))
        maps = functional.grid_sample(smooth[None], grid, align_corners=False)[0]
        nearest = functional.grid_sample(
            history.log_depth[None, None], grid, mode="nearest", align_corners=False
        )[0, 0]
        # Between foreground and background there is no surface: take the nearest pixel there.
        depth_m = torch.where((maps[0] - nearest).abs() < _SMOOTH, maps[0], nearest).exp()
        # z of R^T (depth * (x, y, 1) - t): the remembered point in the present camera.
        along = depth_m * (R[0, 2] * x + R[1, 2] * y + R[2, 2]) - torch.dot(R[:, 2], t)
        known = along.isfinite() & (along > _MIN_DEPTH_M)
        return Warped(
            log_depth=along.clamp_min(_MIN_DEPTH_M).log(),
            count=maps[1],
            variance=maps[2],
            grey=maps[3],
            valid=inside & known & (points[2] > _MIN_DEPTH_M),
        )

"""Brings what is remembered of the last frame into the view of the present one."""

from __future__ import annotations

import torch
from torch.nn import functional

from mono_depth.data import Intrinsics
from mono_depth.outputs.point_cloud import ray_grid
from mono_depth.system.recorded import Recorded, Tensors
from mono_depth.temporal.fusion import History, Warped

_MIN_DEPTH_M = 1e-3
_SMOOTH = 0.02  # depth that differs by less than this fraction may be interpolated


class Warper:
    """Moves histories of log depth of one camera and size; keeps its rays."""

    def __init__(self, intrinsics: Intrinsics, device: torch.device) -> None:
        """Prepare the rays.

        Args:
            intrinsics: camera of the maps, at their size.
            device: of the maps.
        """
        self.intrinsics = intrinsics
        self._x, self._y = ray_grid(intrinsics, device=device)
        self._warp = Recorded(self._warped, copies=False)

    def warp(self, history: History, log_depth: torch.Tensor, T_last_now: torch.Tensor) -> Warped:
        """Look up every pixel of the present frame in the last one; the next call overwrites it.

        Args:
            history: of the last frame.
            log_depth: (h, w) of the present frame, on the scale of the history.
            T_last_now: (4, 4) float32, turns points of the present camera into the last one's.
        """
        values, count, variance, grey, valid, grid = self._warp(history.maps, log_depth, T_last_now)
        return Warped(
            values=values, count=count, variance=variance, grey=grey, valid=valid, grid=grid
        )

    def _warped(
        self, history_maps: torch.Tensor, log_depth: torch.Tensor, T_last_now: torch.Tensor
    ) -> Tensors:
        K, R, t = self.intrinsics, T_last_now[:3, :3], T_last_now[:3, 3]
        depth_m = log_depth.exp()
        point_x, point_y, point_z = (
            torch.addcmul(t[axis], self._turned(R[axis]), depth_m) for axis in range(3)
        )
        inverse_z = point_z.clamp_min(_MIN_DEPTH_M).reciprocal_()
        x, y = point_x.mul_(inverse_z), point_y.mul_(inverse_z)  # the ray in the last frame
        grid = torch.empty((*log_depth.shape, 2), device=log_depth.device)
        _normalised(x, K.fx, K.cx, K.width, out=grid[..., 0])
        _normalised(y, K.fy, K.cy, K.height, out=grid[..., 1])
        maps, nearest = look_up(history_maps, grid)
        # z of R^T (depth * (x, y, 1) - t): the remembered point in the present camera.
        turned = (x * R[0, 2]).add_(y * R[1, 2]).add_(R[2, 2])
        depth_then = unmixed(maps[0], nearest, _SMOOTH).exp_()
        along = depth_then.mul_(turned).sub_(torch.dot(R[:, 2], t))
        known = (along > _MIN_DEPTH_M) & (point_z > _MIN_DEPTH_M)
        values, valid = along.clamp_min(_MIN_DEPTH_M).log_(), inside(grid) & known
        return values, maps[1], maps[2], maps[3], valid, grid

    def _turned(self, row: torch.Tensor) -> torch.Tensor:
        """Return (h, w): one coordinate of every ray, turned into the last frame."""
        return self._x * row[0] + (self._y * row[1] + row[2])


def unmoved(history: History) -> Warped:
    """Return a history as a camera sees it that did not move at all."""
    values, count, variance, grey = history.maps.clone()
    valid = torch.ones(values.shape, dtype=torch.bool, device=values.device)
    return Warped(values=values, count=count, variance=variance, grey=grey, valid=valid, grid=None)


def look_up(maps: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample (n, h, w) maps, linearly all of them and by the nearest pixel the first one.

    Args:
        maps: of the last frame.
        grid: (h', w', 2) where to look, in the units of `torch.nn.functional.grid_sample`.
    """
    linear = functional.grid_sample(maps[None], grid[None], align_corners=False)[0]
    nearest = functional.grid_sample(
        maps[None, :1], grid[None], mode="nearest", align_corners=False
    )[0, 0]
    return linear, nearest


def unmixed(
    linear: torch.Tensor, nearest: torch.Tensor, limit: torch.Tensor | float
) -> torch.Tensor:
    """Take the nearest pixel where interpolation would mix foreground and background."""
    between = linear - nearest
    return between.mul_(between.abs() < limit).add_(nearest)


def inside(grid: torch.Tensor) -> torch.Tensor:
    """Tell where a (h, w, 2) grid looks between the centres of the outermost pixels."""
    height, width = grid.shape[:2]
    column, row = grid[..., 0].abs(), grid[..., 1].abs()
    return (column <= 1.0 - 1.0 / width) & (row <= 1.0 - 1.0 / height)


def _normalised(
    ray: torch.Tensor, focal: float, centre: float, size: int, out: torch.Tensor
) -> None:
    """Write where a ray meets the image: -1 on its first edge, +1 on its last."""
    scale = 2.0 * focal / size
    torch.mul(ray, scale, out=out).add_((2.0 * centre + 1.0) / size - 1.0)

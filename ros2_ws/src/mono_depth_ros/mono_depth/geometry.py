"""From a depth image to points in the optical frame of the camera."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mono_depth.config import CloudConfig
from mono_depth.data import Intrinsics
from mono_depth.threads import on_one_thread


@dataclass(frozen=True, kw_only=True)
class PointCloud:
    """Organised points in the optical frame (REP 103); a point without depth is NaN.

    The last axis of `points` holds x, y, z in metres and, where `has_rgb`, the colour as
    0x00RRGGBB in the bits of a float32: the memory layout of the usual PointCloud2.
    """

    points: torch.Tensor  # (h, w, 3 or 4) float32
    has_rgb: bool


def ray_grid(
    intrinsics: Intrinsics, *, stride: int = 1, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x / z of each column and y / z of each row, taking every `stride`-th pixel.

    Returns:
        (1, w) and (h, 1) float32, w = ceil(width / stride), h = ceil(height / stride).
    """
    columns = torch.arange(0, intrinsics.width, stride, device=device, dtype=torch.float64)
    rows = torch.arange(0, intrinsics.height, stride, device=device, dtype=torch.float64)
    x = (columns - intrinsics.cx) / intrinsics.fx
    y = (rows - intrinsics.cy) / intrinsics.fy
    return x.float()[None, :], y.float()[:, None]


def flying_pixels(depth_m: torch.Tensor, max_jump: float) -> torch.Tensor:
    """Mark pixels that float between two surfaces.

    Interpolation and soft network edges put pixels between foreground and background. There
    the depth changes from pixel to pixel by a large fraction; on a plane the fraction is
    1 / (pixels to its horizon), so floors and walls are kept.

    Args:
        depth_m: (H, W) float32, NaN = unknown.
        max_jump: largest fraction by which direct neighbours may differ.

    Returns:
        (H, W) bool.
    """
    marked = torch.zeros_like(depth_m, dtype=torch.bool)
    limit = 1.0 + max_jump
    for first, second, of_first, of_second in (
        (depth_m[:, :-1], depth_m[:, 1:], marked[:, :-1], marked[:, 1:]),
        (depth_m[:-1], depth_m[1:], marked[:-1], marked[1:]),
    ):
        jump = (first > limit * second) | (second > limit * first)
        of_first |= jump
        of_second |= jump
    return marked


class CloudBuilder:
    """Back-projects depth images; remembers the rays of the camera between frames."""

    def __init__(self) -> None:
        self._key: tuple[Intrinsics, int, torch.device] | None = None
        self._rays: tuple[torch.Tensor, torch.Tensor] | None = None

    @on_one_thread
    def build(
        self,
        depth_m: torch.Tensor,
        intrinsics: Intrinsics,
        config: CloudConfig,
        rgb: torch.Tensor | None = None,
    ) -> PointCloud:
        """Return the organised cloud of a depth image.

        Args:
            depth_m: (H, W) float32 along z, NaN or Inf = no point.
            intrinsics: camera of the depth pixels.
            config: stride, limits and edge test.
            rgb: (H, W, 3) uint8, colours of the pixels.
        """
        limits = (depth_m >= config.min_depth_m) & (depth_m <= config.max_depth_m)
        if config.max_jump > 0.0:
            limits &= ~flying_pixels(depth_m, config.max_jump)
        step = config.stride
        z = torch.where(limits, depth_m, torch.nan)[::step, ::step]
        x, y = self._rays_of(intrinsics, step, depth_m.device)
        points = torch.empty((*z.shape, 3 if rgb is None else 4), device=z.device)
        torch.mul(x, z, out=points[..., 0])
        torch.mul(y, z, out=points[..., 1])
        points[..., 2] = z
        if rgb is not None:
            points[..., 3] = _packed_rgb(rgb[::step, ::step])
        return PointCloud(points=points, has_rgb=rgb is not None)

    def _rays_of(
        self, intrinsics: Intrinsics, stride: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        key = (intrinsics, stride, device)
        if self._rays is None or self._key != key:
            self._key, self._rays = key, ray_grid(intrinsics, stride=stride, device=device)
        return self._rays


def _packed_rgb(rgb: torch.Tensor) -> torch.Tensor:
    """Return (h, w) float32 whose bits are 0x00RRGGBB."""
    red, green, blue = rgb.to(torch.int32).unbind(-1)
    return ((red << 16) | (green << 8) | blue).view(torch.float32)

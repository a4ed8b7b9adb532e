"""From a depth image to points in the optical frame of the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mono_depth.config import CloudConfig
from mono_depth.data import Intrinsics, Mask

if TYPE_CHECKING:
    from cv2.typing import MatLike

_NEIGHBOURS = np.asarray(cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))


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
    """Mark pixels that may float between two surfaces.

    Interpolation and soft network edges put pixels between foreground and background. There
    the depth changes from pixel to pixel by a large fraction; on a plane the fraction is
    1 / (pixels to its horizon), so floors and walls are kept. So is the near side of each jump:
    it belongs to the foreground, and a pole may have no other pixel.

    Args:
        depth_m: (H, W) float32, NaN = unknown.
        max_jump: largest fraction by which a pixel may be farther than a direct neighbour.

    Returns:
        (H, W) bool.
    """
    marked = torch.zeros_like(depth_m, dtype=torch.bool)
    too_far_m = depth_m * (1.0 + max_jump)
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        marked[here] |= depth_m[here] > too_far_m[there]
        marked[there] |= depth_m[there] > too_far_m[here]
    return marked


class CloudBuilder:
    """Back-projects depth images; remembers the rays of the camera between frames."""

    def __init__(self) -> None:
        # New memory for every cloud costs more than filling it: 1200 page faults of 2 us.
        self._memory: MatLike | None = None
        self._planes: list[npt.NDArray[np.float32]] = []  # x, y, z and colour
        self._limits_m: npt.NDArray[np.float32] | None = None
        self._key: tuple[Intrinsics, int, torch.device] | None = None
        self._rays: tuple[torch.Tensor, torch.Tensor] | None = None

    def build(
        self,
        depth_m: torch.Tensor,
        intrinsics: Intrinsics,
        config: CloudConfig,
        rgb: torch.Tensor | None = None,
    ) -> PointCloud:
        """Return the organised cloud of a depth image. On the CPU, the next call overwrites it.

        Args:
            depth_m: (H, W) float32 along z, NaN or Inf = no point.
            intrinsics: camera of the depth pixels.
            config: stride, limits and edge test.
            rgb: (H, W, 3) uint8, colours of the pixels.
        """
        rays = self._rays_of(intrinsics, config.stride, depth_m.device)
        if depth_m.device.type == "cpu":
            points = self._build_on_cpu(depth_m, rays, config, rgb)
        else:
            points = build_on_device(depth_m, rays, config, rgb)
        return PointCloud(points=points, has_rgb=rgb is not None)

    def _build_on_cpu(
        self,
        depth: torch.Tensor,
        rays: tuple[torch.Tensor, torch.Tensor],
        config: CloudConfig,
        rgb: torch.Tensor | None,
    ) -> torch.Tensor:
        """Do the same as `build_on_device`, bit by bit, with NumPy and OpenCV.

        torch is slow with masks, strides and packed colours.
        """
        step = config.stride
        planes = self._planes_of((rays[1].shape[0], rays[0].shape[1]), 3 if rgb is None else 4)
        z = planes[2]
        z.fill(np.nan)
        depth_m = depth.numpy()
        is_kept = self._is_kept(depth_m, config)
        cv2.copyTo(
            np.ascontiguousarray(depth_m[::step, ::step]),
            np.ascontiguousarray(is_kept[::step, ::step]).view(np.uint8),
            z,
        )
        np.multiply(rays[0].numpy(), z, out=planes[0])
        np.multiply(rays[1].numpy(), z, out=planes[1])
        if rgb is not None:
            bgra = cv2.cvtColor(rgb.numpy()[::step, ::step].copy(), cv2.COLOR_RGB2BGRA)
            np.bitwise_and(
                bgra.view(np.uint32)[..., 0], np.uint32(0x00FFFFFF), out=planes[3].view(np.uint32)
            )
        self._memory = cv2.merge(planes, self._memory)  # new if the size has changed
        return torch.from_numpy(self._memory)

    def _is_kept(self, depth_m: npt.NDArray[np.float32], config: CloudConfig) -> Mask:
        """Tell which pixels become points. See `build_on_device`."""
        is_kept = (depth_m >= config.min_depth_m) & (depth_m <= config.max_depth_m)
        if config.max_jump > 0.0:
            if self._limits_m is None or self._limits_m.shape != depth_m.shape:
                self._limits_m = np.empty_like(depth_m)
            limits_m = np.multiply(depth_m, np.float32(1.0 + config.max_jump), out=self._limits_m)
            cv2.patchNaNs(limits_m, np.inf)  # the least of NaN and others depends on their order
            cv2.erode(limits_m, _NEIGHBOURS, limits_m)
            is_kept &= depth_m <= limits_m
        return is_kept

    def _planes_of(self, size: tuple[int, int], count: int) -> list[npt.NDArray[np.float32]]:
        if len(self._planes) != count or self._planes[0].shape != size:
            self._planes = [np.empty(size, np.float32) for _ in range(count)]
        return self._planes

    def _rays_of(
        self, intrinsics: Intrinsics, stride: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        key = (intrinsics, stride, device)
        if self._rays is None or self._key != key:
            self._key, self._rays = key, ray_grid(intrinsics, stride=stride, device=device)
        return self._rays


def build_on_device(
    depth_m: torch.Tensor,
    rays: tuple[torch.Tensor, torch.Tensor],
    config: CloudConfig,
    rgb: torch.Tensor | None,
) -> torch.Tensor:
    """Return the points of `CloudBuilder.build` with torch, on the device of `depth_m`."""
    known = (depth_m >= config.min_depth_m) & (depth_m <= config.max_depth_m)
    if config.max_jump > 0.0:
        known &= ~flying_pixels(depth_m, config.max_jump)
    step = config.stride
    z = torch.where(known, depth_m, torch.nan)[::step, ::step]
    channels = [rays[0] * z, rays[1] * z, z]
    if rgb is not None:
        red, green, blue = rgb[::step, ::step].to(torch.int32).unbind(-1)
        channels.append(((red << 16) | (green << 8) | blue).view(torch.float32))
    return torch.stack(channels, dim=-1)

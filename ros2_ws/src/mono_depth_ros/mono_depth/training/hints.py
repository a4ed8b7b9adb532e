"""What a robot could know beside the image, made from the truth: sparse points, sensor, ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from mono_depth.models.nano.hints import ground_log
from mono_depth.training.config import HintShares
from mono_depth.training.views import Views

_POINTS = (4.0, 1500.0)  # how many there are
_POINT_ERRORS = (0.002, 0.01, 0.03)  # relative deviation
_FARTHEST_POINT_M = 60.0
_OUTLIERS = 0.02
_SENSOR_REACH_M = (3.0, 25.0)
_BLOB_PX = (8, 16, 32)
_BLOB_LEVEL = 0.65
_TILT_RAD = 0.012  # deviation of what is known of gravity
_HEIGHT_ERROR = 0.03
_MISTAKEN = 0.5  # of the predictions
_SCALE_MISTAKE = 0.4  # standard deviation of log depth, of all of an image
_BUMPS = 0.3  # the same of its parts, at most
_CONTRASTS = (0.5, 1.4)


def random_known(
    views: Views, shares: HintShares, rng: np.random.Generator, noise: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the depth that is told.

    Returns:
        (B, h, w) log depth at the canonical focal length, NaN = not told; and (B, h, w) bool:
        it comes from a sensor and will be kept, so there is nothing to learn there.
    """
    kind = torch.from_numpy(rng.random(len(views.image))).to(views.depth_m.device)
    kind = kind[:, None, None]
    is_sensor = (kind >= shares.points) & (kind < shares.points + shares.sensor)
    known_m = torch.where(kind < shares.points, _points(views, rng, noise), torch.nan)
    known_m = torch.where(is_sensor, _sensor(views, rng, noise), known_m)
    known_log = (known_m / views.focal_factor[:, None, None]).log()
    return known_log, is_sensor & known_m.isfinite()


def random_ground(views: Views, shares: HintShares, rng: np.random.Generator) -> torch.Tensor:
    """Return (B, h, w) log depth of level ground where that is told, else NaN."""
    count, pose = len(views.image), views.T_odom_view
    error = 1.0 + _HEIGHT_ERROR * rng.standard_normal(count)
    error[rng.random(count) >= shares.ground] = np.nan
    tilt = torch.from_numpy(_TILT_RAD * rng.standard_normal((count, 3))).to(pose)
    down = F.normalize(-pose[:, 2, :3] + tilt, dim=1)  # the third row of R is up in the view
    height_m = pose[:, 2, 3] * torch.from_numpy(error).to(pose)
    height_m = torch.where(height_m > 0.02, height_m, torch.nan)
    return ground_log(views.rays, down, height_m, views.focal_factor)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is put wrong in a prediction: real images are predicted worse than those of training.

    A network for hints that only saw good predictions would trust them too much.
    """

    contrast: torch.Tensor  # (B, 1, 1) factor of the differences within an image
    offset_log: torch.Tensor  # (B, h, w) what is added, smooth

    def made_in(self, log_depth: torch.Tensor) -> torch.Tensor:
        """Return (B, h, w) log depth with the mistake."""
        mean = log_depth.mean(dim=(1, 2), keepdim=True)
        return mean + self.contrast * (log_depth - mean) + self.offset_log


def random_mistake(
    count: int, size: tuple[int, int], rng: np.random.Generator, device: torch.device
) -> Mistake:
    """Choose mistakes for `count` images of a (width, height); half of them have none."""
    has_one = rng.random((count, 1, 1, 1)) < _MISTAKEN
    scale = rng.normal(0.0, _SCALE_MISTAKE, (count, 1, 1, 1))
    cells = int(rng.integers(2, 6))
    bumps = rng.uniform(0.0, _BUMPS, (count, 1, 1, 1)) * rng.normal(
        0.0, 1.0, (count, 1, cells, cells)
    )
    coarse = torch.from_numpy(np.where(has_one, scale + bumps, 0.0)).to(device, torch.float32)
    smooth = F.interpolate(coarse, (size[1], size[0]), mode="bicubic", align_corners=True)
    contrast = np.where(has_one[:, 0], rng.uniform(*_CONTRASTS, (count, 1, 1)), 1.0)
    return Mistake(
        contrast=torch.from_numpy(contrast).to(device, torch.float32), offset_log=smooth[:, 0]
    )


def _points(views: Views, rng: np.random.Generator, noise: torch.Generator) -> torch.Tensor:
    """Return metres at some pixels: anywhere, on lines of a LiDAR, or where there is texture."""
    depth_m = views.depth_m
    count, height, width = depth_m.shape
    density = _log_uniform(_POINTS, count, rng) / (height * width)
    kind = _each(rng.random(count), depth_m)
    step = rng.integers(3, 13, count)
    rows = torch.arange(height, device=depth_m.device)[None, :, None]
    on_line = rows % _each(step, depth_m) == _each(rng.integers(0, step), depth_m)
    lines = on_line * _each(step, depth_m)
    grey = views.image.mean(1)
    edges = F.pad((grey[:, :, 1:] - grey[:, :, :-1]).abs(), (1, 0))
    edges = edges + F.pad((grey[:, 1:] - grey[:, :-1]).abs(), (0, 0, 1, 0))
    texture = (edges / edges.mean(dim=(1, 2), keepdim=True).clamp(min=1e-6)).clamp(max=10.0)
    weight = torch.where(kind < 0.25, lines, torch.where(kind < 0.6, texture, 1.0))
    chance = torch.rand((3, *depth_m.shape), generator=noise, device=depth_m.device)
    normal = torch.randn(depth_m.shape, generator=noise, device=depth_m.device)
    error = _each(rng.choice(_POINT_ERRORS, count), depth_m) * normal
    wrong = chance[1] < _each(np.where(rng.random(count) < 0.5, _OUTLIERS, 0.0), depth_m)
    error = torch.where(wrong, 2.0 * chance[2] - 1.0, error)
    is_told = chance[0] < weight * _each(density, depth_m)
    is_told &= (depth_m > 0.0) & (depth_m < _FARTHEST_POINT_M)
    return torch.where(is_told, depth_m * error.exp(), torch.nan)


def _sensor(views: Views, rng: np.random.Generator, noise: torch.Generator) -> torch.Tensor:
    """Return metres as a depth camera gives them, with the holes that it leaves."""
    depth_m, device = views.depth_m, views.depth_m.device
    count, height, width = depth_m.shape
    nearest_m = _each(rng.uniform(0.1, 0.5, count), depth_m)
    farthest_m = _each(_log_uniform(_SENSOR_REACH_M, count, rng), depth_m)
    is_seen = (depth_m > nearest_m) & (depth_m < farthest_m) & ~views.glassy
    # the two eyes of the sensor see different things beside an edge
    logarithm = depth_m.clamp(min=1e-3).log()
    jump = F.pad((logarithm[:, :, 1:] - logarithm[:, :, :-1]).abs() > 0.08, (1, 0)).float()
    reach = int(rng.integers(0, 4))
    is_seen &= F.max_pool2d(jump, (1, 2 * reach + 1), 1, (0, reach)) == 0.0
    cell = int(rng.choice(_BLOB_PX))
    coarse = torch.rand((count, 1, height // cell, width // cell), generator=noise, device=device)
    blobs = F.interpolate(coarse, (height, width), mode="bicubic")[:, 0]
    is_seen &= blobs > _each(rng.uniform(0.0, _BLOB_LEVEL, count), depth_m)
    is_seen &= _window(depth_m, rng)
    normal = torch.randn(depth_m.shape, generator=noise, device=device)
    rough = _each(rng.uniform(0.0005, 0.003, count), depth_m)
    sigma_m = 0.002 * depth_m + rough * depth_m**2
    return torch.where(is_seen, (depth_m + sigma_m * normal).maximum(nearest_m), torch.nan)


def _window(depth_m: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return (B, h, w) bool: the part of the view that the sensor looks at, mostly all of it."""
    count, height, width = depth_m.shape
    is_part = rng.random(count) < 0.3
    inside = torch.ones_like(depth_m, dtype=torch.bool)
    rows = torch.arange(height, device=depth_m.device)[None, :, None]
    columns = torch.arange(width, device=depth_m.device)[None, None, :]
    for place, length in ((rows, height), (columns, width)):
        low = np.where(is_part, rng.uniform(0.0, 0.4, count), 0.0) * length
        high = np.where(is_part, rng.uniform(0.6, 1.0, count), 1.0) * length
        inside &= (place >= _each(low, depth_m)) & (place < _each(high, depth_m))
    return inside


def _each(values: npt.NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    """Return a value per image in the shape of images."""
    return torch.from_numpy(np.asarray(values, np.float32)).to(like.device)[:, None, None]


def _log_uniform(
    bounds: tuple[float, float], count: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    return np.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1]), count))

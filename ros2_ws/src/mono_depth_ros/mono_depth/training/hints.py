"""What a robot could know beside the image, made from the truth: sparse points, sensor, ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mono_depth.models.nano_hints import ground_log
from mono_depth.training.views import Views

_POINTS = (4.0, 1500.0)  # how many there are
_FARTHEST_POINT_M = 60.0
_OUTLIERS = 0.02
_SENSOR_REACH_M = (3.0, 25.0)
_BLOB_PX = (8, 16, 32)
_BLOB_SHARE = 0.6
_TILT_RAD = 0.012  # deviation of what is known of gravity
_HEIGHT_ERROR = 0.03


@dataclass(frozen=True, kw_only=True)
class HintShares:
    """How often each kind of hint is given."""

    points: float = 0.25  # some pixels
    sensor: float = 0.15  # depth of a camera, with holes; else no depth
    ground: float = 0.4  # height and gravity; independent of depth


def random_known(
    views: Views, shares: HintShares, rng: np.random.Generator, noise: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the depth that is told.

    Returns:
        (B, h, w) log depth at the canonical focal length, NaN = not told; and (B, h, w) bool:
        it comes from a sensor and will be kept, so there is nothing to learn there.
    """
    kind = rng.random(len(views.image))
    known_m = torch.full_like(views.depth_m, torch.nan)
    for index in range(len(kind)):
        if kind[index] < shares.points:
            known_m[index] = _points(views, index, rng, noise)
        elif kind[index] < shares.points + shares.sensor:
            known_m[index] = _sensor(views, index, rng, noise)
    is_sensor = (kind >= shares.points) & (kind < shares.points + shares.sensor)
    is_kept = known_m.isfinite() & torch.from_numpy(is_sensor).to(known_m.device)[:, None, None]
    return (known_m / views.focal_factor[:, None, None]).log(), is_kept


def random_ground(
    views: Views, shares: HintShares, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose what is told of the ground.

    Returns:
        (B, h, w) log depth of level ground at the canonical focal length, and (B,) the height
        of the camera over it in metres; NaN where that is not told.
    """
    count, pose = len(views.image), views.T_odom_view
    error = 1.0 + _HEIGHT_ERROR * rng.standard_normal(count)
    error[rng.random(count) >= shares.ground] = np.nan
    tilt = torch.from_numpy(_TILT_RAD * rng.standard_normal((count, 3))).to(pose)
    down = F.normalize(-pose[:, 2, :3] + tilt, dim=1)  # the third row of R is up in the view
    height_m = pose[:, 2, 3] * torch.from_numpy(error).to(pose)
    height_m = torch.where(height_m > 0.02, height_m, torch.nan)
    return ground_log(views.rays, down, height_m, views.focal_factor), height_m


def _points(
    views: Views, index: int, rng: np.random.Generator, noise: torch.Generator
) -> torch.Tensor:
    """Return metres at some pixels: anywhere, on lines of a LiDAR, or where there is texture."""
    depth_m = views.depth_m[index]
    height, width = depth_m.shape
    count = float(np.exp(rng.uniform(*np.log(_POINTS))))
    density = torch.full_like(depth_m, count / depth_m.numel())
    kind = rng.random()
    if kind < 0.25:
        step = int(rng.integers(3, 13))
        density[:] = 0.0
        density[int(rng.integers(step)) :: step] = count * step / depth_m.numel()
    elif kind < 0.6:
        grey = views.image[index].mean(0)
        edges = F.pad((grey[:, 1:] - grey[:, :-1]).abs(), (1, 0))
        edges = edges + F.pad((grey[1:] - grey[:-1]).abs(), (0, 0, 1, 0))
        density = density * (edges / edges.mean().clamp(min=1e-6)).clamp(max=10.0)
    chance = torch.rand((3, height, width), generator=noise, device=depth_m.device)
    normal = torch.randn(depth_m.shape, generator=noise, device=depth_m.device)
    error = float(rng.choice([0.002, 0.01, 0.03])) * normal
    wrong = chance[1] < (_OUTLIERS if rng.random() < 0.5 else 0.0)
    error = torch.where(wrong, 2.0 * chance[2] - 1.0, error)
    is_told = (chance[0] < density) & (depth_m > 0.0) & (depth_m < _FARTHEST_POINT_M)
    return torch.where(is_told, depth_m * error.exp(), torch.nan)


def _sensor(
    views: Views, index: int, rng: np.random.Generator, noise: torch.Generator
) -> torch.Tensor:
    """Return metres as a depth camera gives them, with the holes that it leaves."""
    depth_m, device = views.depth_m[index], views.depth_m.device
    height, width = depth_m.shape
    nearest_m, farthest_m = rng.uniform(0.1, 0.5), np.exp(rng.uniform(*np.log(_SENSOR_REACH_M)))
    is_seen = (depth_m > nearest_m) & (depth_m < farthest_m)
    is_seen &= ~views.glassy[index]
    # the two eyes of the sensor see different things beside an edge
    logarithm = depth_m.clamp(min=1e-3).log()
    jump = F.pad((logarithm[:, 1:] - logarithm[:, :-1]).abs() > 0.08, (1, 0)).float()
    reach = int(rng.integers(0, 4))
    shadow = F.max_pool2d(jump[None], (1, 2 * reach + 1), 1, (0, reach))[0] > 0.0
    is_seen &= ~shadow
    cell = int(rng.choice(_BLOB_PX))
    coarse = torch.rand((1, 1, height // cell, width // cell), generator=noise, device=device)
    blobs = F.interpolate(coarse, (height, width), mode="bicubic")[0, 0]
    is_seen &= blobs > blobs.flatten().quantile(rng.uniform(0.0, _BLOB_SHARE))
    if rng.random() < 0.3:  # it looks at a part of the view
        top, left = int(rng.uniform(0, 0.5) * height), int(rng.uniform(0, 0.5) * width)
        bottom, right = height - int(rng.uniform(0, 0.4) * height), width - top // 2
        inside = torch.zeros_like(is_seen)
        inside[top:bottom, left:right] = True
        is_seen &= inside
    normal = torch.randn(depth_m.shape, generator=noise, device=device)
    sigma_m = 0.002 * depth_m + rng.uniform(0.0005, 0.003) * depth_m**2
    return torch.where(is_seen, (depth_m + sigma_m * normal).clamp(min=nearest_m), torch.nan)

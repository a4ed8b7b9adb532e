"""Windows of rendered examples, as other cameras in the same place would have seen them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from mono_depth.models.nano.model import CANONICAL_FOCAL_PX
from mono_depth.training.pool import Examples

_MAX_ROLL_DEG = 8.0  # of a camera that is held level
_ASKEW = 0.2  # of the views, the share of a camera held at any angle
_ASKEW_DEG = 40.0  # standard deviation of that angle
_MIN_CROP = 0.6  # of the largest window with the wanted aspect ratio: lenses 1.7 times as long
_SAME_DEPTH = 0.03  # relative difference up to which two views see the same point

Matrices = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Views:
    """Images of one size with their truth, on one device."""

    image: torch.Tensor  # (B, 3, h, w) float32, 0..1
    depth_m: torch.Tensor  # (B, h, w) float32, NaN = sky, 0 = outside the rendered image
    glassy: torch.Tensor  # (B, h, w) bool, a depth sensor sees nothing there
    camera: torch.Tensor  # (B, 4) float32: fx, fy, cx, cy
    T_odom_view: torch.Tensor  # (B, 4, 4) float32; left-handed where the view is mirrored

    @property
    def focal_factor(self) -> torch.Tensor:
        """(B,) metres per canonical metre."""
        return (self.camera[:, 0] * self.camera[:, 1]).sqrt() / CANONICAL_FOCAL_PX

    @property
    def rays(self) -> torch.Tensor:
        """(B, 2, h, w) x/z and y/z of the viewing rays."""
        height, width = self.depth_m.shape[1:]
        columns = torch.arange(width, dtype=torch.float32, device=self.camera.device)
        rows = torch.arange(height, dtype=torch.float32, device=self.camera.device)
        fx, fy, cx, cy = self.camera.T[:, :, None]
        x, y = (columns - cx) / fx, (rows - cy) / fy
        shape = (len(self.camera), height, width)
        return torch.stack((x[:, None, :].expand(shape), y[:, :, None].expand(shape)), 1)

    @property
    def target(self) -> torch.Tensor:
        """(B, h, w) log depth at the canonical focal length; NaN = unknown, +inf = sky."""
        log_depth = (self.depth_m / self.focal_factor[:, None, None]).log()
        log_depth = torch.where(self.depth_m > 0.0, log_depth, torch.nan)
        return torch.where(self.depth_m.isnan(), torch.inf, log_depth)


def random_views(examples: Examples, size: tuple[int, int], rng: np.random.Generator) -> Views:
    """Cut a random window of each example, mirrored in half of the cases and rolled a little.

    Depth along z does not change when a camera rolls about its optical axis, nor in a mirror.

    Args:
        examples: rendered images.
        size: width and height of the result.
        rng: source of chance.
    """
    source_h, source_w = examples.depth_m.shape[1:]
    width = size[0]
    cameras = examples.camera.cpu().numpy().astype(np.float64)
    pixels, cut, turns = [], [], []
    for fx, fy, cx, cy in cameras:
        K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        window = _random_window((source_w, source_h), size, rng)
        turn = _random_roll(rng)
        to_view, lens = window @ K @ turn @ np.linalg.inv(K), window @ K
        if rng.random() < 0.5:
            flip = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            mirror = np.diag([-1.0, 1.0, 1.0])
            to_view, lens, turn = flip @ to_view, flip @ lens @ mirror, mirror @ turn
        pixels.append(np.linalg.inv(to_view))
        cut.append([lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2]])
        turns.append(np.linalg.inv(turn))
    device = examples.rgb.device
    grid = _sampling_grid(np.array(pixels), size, (source_w, source_h), device)
    planes = torch.stack((examples.depth_m, examples.glassy.float()), 1)
    depth_m, glassy = F.grid_sample(planes, grid, mode="nearest", align_corners=True).unbind(1)
    pose = examples.T_odom_camera.clone()
    pose[:, :3, :3] @= torch.from_numpy(np.array(turns)).to(pose)
    image = examples.rgb.permute(0, 3, 1, 2).float() / 255.0
    return Views(
        image=F.grid_sample(image, grid, padding_mode="reflection", align_corners=True),
        depth_m=depth_m,
        glassy=glassy > 0.5,
        camera=torch.tensor(cut, dtype=torch.float32, device=device),
        T_odom_view=pose,
    )


def joined(parts: Sequence[Views]) -> Views:
    """Return views of one size as one batch, in their order."""
    columns = [vars(part) for part in parts]
    return Views(**{name: torch.cat([column[name] for column in columns]) for name in columns[0]})


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Where P views show what P other views of the same moments show."""

    first: torch.Tensor  # (P,) int64, rows of the views
    second: torch.Tensor  # (P,) rows of the other views
    there: torch.Tensor  # (P, h, w, 2) places in the second view, as `grid_sample` takes them
    is_same: torch.Tensor  # (P, h, w) bool, the second view shows the point of the first one


def match_pairs(views: Views, count: int) -> Matches:
    """Match views 0 and 1, 2 and 3 ... of the first 2 * `count` views."""
    first = torch.arange(0, 2 * count, 2, device=views.depth_m.device)
    second = first + 1
    height, width = views.depth_m.shape[1:]
    depth_m = views.depth_m[first]
    x, y = (views.rays[first] * depth_m[:, None]).unbind(1)
    points = torch.stack((x, y, depth_m, torch.ones_like(depth_m)), -1)
    between = torch.linalg.inv(views.T_odom_view[second]) @ views.T_odom_view[first]
    u, v, z, _ = torch.einsum("phwj,pij->phwi", points, between).unbind(-1)
    fx, fy, cx, cy = views.camera[second].T[:, :, None, None]
    column, row = fx * u / z + cx, fy * v / z + cy
    there = torch.stack((2.0 * column / (width - 1) - 1.0, 2.0 * row / (height - 1) - 1.0), -1)
    is_ahead = (depth_m > 0.0) & (z > 0.0)  # false for sky
    there = torch.where(is_ahead[..., None], there, 2.0)  # 2 = outside the image
    seen_m = F.grid_sample(
        views.depth_m[second][:, None], there, mode="nearest", align_corners=True
    )[:, 0]
    is_same = is_ahead & ((seen_m / z - 1.0).abs() < _SAME_DEPTH)
    return Matches(first=first, second=second, there=there, is_same=is_same)


def _random_window(
    source: tuple[int, int], size: tuple[int, int], rng: np.random.Generator
) -> Matrices:
    """Return the map from pixels of the source to those of a window of it."""
    width = min(source[0], source[1] * size[0] / size[1]) * _MIN_CROP ** rng.random()
    height = width * size[1] / size[0]
    left = rng.uniform(0.0, source[0] - width) - 0.5
    top = rng.uniform(0.0, source[1] - height) - 0.5
    sx, sy = size[0] / width, size[1] / height
    return np.array([[sx, 0, -left * sx - 0.5], [0, sy, -top * sy - 0.5], [0, 0, 1]])


def _random_roll(rng: np.random.Generator) -> Matrices:
    if rng.random() < _ASKEW:
        roll_deg = float(rng.normal(0.0, _ASKEW_DEG))
    else:
        roll_deg = float(np.clip(rng.normal(0.0, _MAX_ROLL_DEG / 2), -_MAX_ROLL_DEG, _MAX_ROLL_DEG))
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _sampling_grid(
    to_source: Matrices, size: tuple[int, int], source: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """Return (B, h, w, 2) where in the source image each pixel comes from, -1..1."""
    unit = np.array([[2.0 / (source[0] - 1), 0, -1], [0, 2.0 / (source[1] - 1), -1]])
    affine = torch.from_numpy(unit @ to_source).to(device, torch.float32)  # (B, 2, 3)
    columns = torch.arange(size[0], dtype=torch.float32, device=device)
    rows = torch.arange(size[1], dtype=torch.float32, device=device)
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack((u, v, torch.ones_like(u)), -1)
    return torch.einsum("hwj,bij->bhwi", pixels, affine)

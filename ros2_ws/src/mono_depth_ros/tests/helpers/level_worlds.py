"""Exact depth of small worlds: level ground at z = 0, boxes on it, pits in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from mono_depth.data import Intrinsics

Box = tuple[
    float, float, float, float, float, float
]  # x, y, z from and to, level frame at the feet

CAMERA = Intrinsics.of_view(160, 120, 80.0)


def gravity_of(pitch_deg: float = 0.0, roll_deg: float = 0.0) -> npt.NDArray[np.float64]:
    """Return (3,) gravity in the optical frame of a camera that looks down by `pitch_deg`."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    across = math.cos(pitch)
    return np.array((-across * math.sin(roll), across * math.cos(roll), math.sin(pitch)))


def box(x_m: float, y_m: float, size_m: float, height_m: float, low_m: float = 0.0) -> Box:
    """Return an upright box whose near face has its middle at (x, y)."""
    half = 0.5 * size_m
    return (x_m, x_m + size_m, y_m - half, y_m + half, low_m, height_m)


def depth_of(
    R_level_camera: npt.NDArray[np.float64],
    height_m: float,
    boxes: Sequence[Box] = (),
    *,
    pit_from_m: float = math.inf,
    pit_depth_m: float = math.inf,
    camera: Intrinsics = CAMERA,
) -> torch.Tensor:
    """Return (h, w) float32 depth along z; +Inf = sky.

    Args:
        R_level_camera: (3, 3), see `level_rotation`.
        height_m: of the camera.
        boxes: what stands there.
        pit_from_m: from there on the ground is lower, +Inf = nowhere.
        pit_depth_m: by so much, +Inf = without a bottom.
        camera: the camera.
    """
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), axis=-1) @ R_level_camera.T
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(rays[..., 2] < 0.0, -height_m / rays[..., 2], np.inf)
        if pit_from_m < math.inf:
            bottom = np.where(rays[..., 2] < 0.0, -(height_m + pit_depth_m) / rays[..., 2], np.inf)
            side = np.where(rays[..., 0] > 0.0, pit_from_m / rays[..., 0], np.inf)
            ground = np.where(ground * rays[..., 0] > pit_from_m, np.maximum(bottom, side), ground)
        depth = ground
        for x0, x1, y0, y1, z0, z1 in boxes:
            low, high = np.array((x0, y0, z0 - height_m)), np.array((x1, y1, z1 - height_m))
            a, b = low / rays, high / rays
            enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
            depth = np.where((enter <= leave) & (enter > 0.0), np.minimum(depth, enter), depth)
    return torch.from_numpy(depth.astype(np.float32))

"""A point cloud as seen from beside and above the camera, drawn without a GPU or a display."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import RgbImage

Points = npt.NDArray[np.floating[Any]]  # (N, 3) metres, optical frame (x right, y down, z forward)

_BACKGROUND_TOP = (30, 33, 40)
_BACKGROUND_BOTTOM = (12, 13, 16)
_GRID_RGB = (58, 64, 74)
_FIELD_OF_VIEW_DEG = 52.0
_MAX_SIDE = 6  # pixels of the square that a point is drawn as


def render_cloud_oblique(
    points: Points,
    colors: RgbImage,
    *,
    width: int = 960,
    height: int = 720,
    yaw_deg: float = 24.0,
    pitch_deg: float = 18.0,
    reach_m: float | None = None,
    ground_m: float | None = None,
    centre_m: tuple[float, float] | None = None,
    spacing_rad: float = 1.0 / 500.0,
) -> RgbImage:
    """Draw a cloud from a raised viewpoint to the side of the camera.

    Args:
        points: (N, 3) float32 metres in the optical frame; rows with NaN are left out.
        colors: (N, 3) uint8.
        width: pixels of the image.
        height: pixels of the image.
        yaw_deg: how far the viewpoint is turned to the left around the scene.
        pitch_deg: how far it is raised.
        reach_m: depth of the scene that fills the image; None = 80 % quantile of z.
        ground_m: height of the grid below the camera; None = 98 % quantile of y.
        centre_m: x and y to look at; None = the median point.
        spacing_rad: angle between neighbouring points as the camera saw them, 1 / fx for a
            cloud with a point for every pixel; makes surfaces close.

    Returns:
        (height, width, 3) uint8.
    """
    known = np.isfinite(points).all(axis=1)
    points, colors = points[known], colors[known]
    image = _background(width, height)
    if not len(points):
        return image
    reach = float(np.quantile(points[:, 2], 0.8)) if reach_m is None else reach_m
    ground = float(np.quantile(points[:, 1], 0.98)) if ground_m is None else ground_m
    x, y = np.median(points[:, :2], axis=0) if centre_m is None else centre_m
    rotation, eye = _viewpoint((x, y, 0.62 * reach), 1.65 * reach, yaw_deg, pitch_deg)
    focal = 0.5 * width / math.tan(math.radians(_FIELD_OF_VIEW_DEG) / 2)
    _draw_grid(image, rotation, eye, focal, reach, ground)
    sizes_m = 1.6 * spacing_rad * points[:, 2]
    _splat(image, (points - eye) @ rotation.T, colors, focal, sizes_m)
    _draw_camera(image, rotation, eye, focal, 0.05 * reach)
    return image


def _viewpoint(
    target_m: tuple[float, float, float], distance_m: float, yaw_deg: float, pitch_deg: float
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    """Return rotation and position of a camera that looks at a target."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    turn = np.array(
        [[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]]
    )
    tilt = np.array(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
    )
    rotation = (tilt @ turn).astype(np.float32)
    eye = np.array(target_m, np.float32) - distance_m * rotation[2]
    return rotation, eye.astype(np.float32)


def _background(width: int, height: int) -> RgbImage:
    share = np.linspace(0.0, 1.0, height)[:, None, None]
    column = (1.0 - share) * np.array(_BACKGROUND_TOP) + share * np.array(_BACKGROUND_BOTTOM)
    return np.repeat(column.round().astype(np.uint8), width, axis=1)


def _project(
    points: npt.NDArray[np.floating[Any]], focal: float, width: int, height: int
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    scale = focal / points[:, 2]
    return points[:, 0] * scale + 0.5 * width, points[:, 1] * scale + 0.5 * height


def _splat(
    image: RgbImage,
    points: Points,
    colors: RgbImage,
    focal: float,
    sizes_m: npt.NDArray[np.floating[Any]],
) -> None:
    """Paint each point as a square of its size, the nearest on top."""
    height, width = image.shape[:2]
    front = points[:, 2] > 0.05
    points, colors, sizes_m = points[front], colors[front], sizes_m[front]
    if not len(points):
        return
    u, v = _project(points, focal, width, height)
    side = np.clip(np.ceil(focal * sizes_m / points[:, 2]), 1, _MAX_SIDE).astype(np.int32)
    left = np.floor(u - 0.5 * (side - 1)).astype(np.int32)
    top = np.floor(v - 0.5 * (side - 1)).astype(np.int32)
    seen = (left > -_MAX_SIDE) & (left < width) & (top > -_MAX_SIDE) & (top < height)
    # Far to near: a point of higher rank covers one of lower rank, and of several points
    # written to one pixel numpy keeps the last.
    ranked = np.flatnonzero(seen)
    ranked = ranked[np.argsort(-points[ranked, 2], kind="stable")]
    side, left, top = side[ranked], left[ranked], top[ranked]
    winner = np.full(height * width, -1, np.int32)
    for dy in range(_MAX_SIDE):
        for dx in range(_MAX_SIDE):
            wide = np.flatnonzero(side > max(dx, dy)).astype(np.int32)
            x, y = left[wide] + dx, top[wide] + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            rank, pixel = wide[inside], y[inside] * width + x[inside]
            wins = rank > winner[pixel]
            winner[pixel[wins]] = rank[wins]
    hit = np.flatnonzero(winner >= 0)
    chosen = ranked[winner[hit]]
    haze = np.clip(1.15 - 0.35 * points[chosen, 2] / np.median(points[:, 2]), 0.35, 1.0)
    image.reshape(-1, 3)[hit] = (colors[chosen] * haze[:, None]).astype(np.uint8)


def _draw_grid(
    image: RgbImage,
    rotation: npt.NDArray[np.floating[Any]],
    eye: npt.NDArray[np.floating[Any]],
    focal: float,
    reach: float,
    ground: float,
) -> None:
    step = 10.0 ** math.floor(math.log10(max(reach, 1e-3) / 2.0))
    step *= next(m for m in (5.0, 2.0, 1.0) if m * step <= reach / 2.0 or m == 1.0)
    half = step * math.ceil(1.2 * reach / step)
    far = step * math.ceil(2.0 * reach / step)
    for x in np.arange(-half, half + step / 2, step):
        _line(image, (x, ground, 0.0), (x, ground, far), rotation, eye, focal)
    for z in np.arange(0.0, far + step / 2, step):
        _line(image, (-half, ground, z), (half, ground, z), rotation, eye, focal)


def _draw_camera(
    image: RgbImage,
    rotation: npt.NDArray[np.floating[Any]],
    eye: npt.NDArray[np.floating[Any]],
    focal: float,
    size: float,
) -> None:
    corners = [
        (sx * size, sy * 0.75 * size, 1.3 * size) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    color = (255, 190, 70)
    for corner, following in zip(corners, corners[1:] + corners[:1], strict=True):
        _line(image, (0.0, 0.0, 0.0), corner, rotation, eye, focal, color)
        _line(image, corner, following, rotation, eye, focal, color)


def _line(
    image: RgbImage,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    rotation: npt.NDArray[np.floating[Any]],
    eye: npt.NDArray[np.floating[Any]],
    focal: float,
    color: tuple[int, int, int] = _GRID_RGB,
) -> None:
    ends = (np.array([start, end], np.float32) - eye) @ rotation.T
    near = 0.05
    depths = ends[:, 2]
    if (depths < near).all():
        return
    if (depths < near).any():
        share = (near - depths[0]) / (depths[1] - depths[0])
        ends[int(depths[1] < near)] = ends[0] + share * (ends[1] - ends[0])
    height, width = image.shape[:2]
    u, v = _project(ends, focal, width, height)
    pixels = np.clip(np.stack([u, v], 1) * 16, -(2**24), 2**24).round().astype(int)
    cv2.line(
        image, tuple(map(int, pixels[0])), tuple(map(int, pixels[1])), color, 1, cv2.LINE_AA, 4
    )

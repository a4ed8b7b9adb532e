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
_MAX_RADIUS = 4


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
    point_m: float = 0.012,
) -> RgbImage:
    """Draw a cloud from a raised viewpoint to the side of the camera.

    Args:
        points: (N, 3) float32 metres in the optical frame; rows with NaN are left out.
        colors: (N, 3) uint8.
        width: pixels of the picture.
        height: pixels of the picture.
        yaw_deg: how far the viewpoint is turned to the left around the scene.
        pitch_deg: how far it is raised.
        reach_m: depth of the scene that fills the picture; None = 80 % quantile of z.
        ground_m: height of the grid below the camera; None = 98 % quantile of y.
        point_m: size of a point in metres at 1 m reach; grows with the reach.

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
    rotation, eye = _viewpoint(reach, yaw_deg, pitch_deg)
    focal = 0.5 * width / math.tan(math.radians(_FIELD_OF_VIEW_DEG) / 2)
    _draw_grid(image, rotation, eye, focal, reach, ground)
    _splat(image, (points - eye) @ rotation.T, colors, focal, point_m * max(1.0, reach / 3.0))
    _draw_camera(image, rotation, eye, focal, 0.05 * reach)
    return image


def _viewpoint(
    reach_m: float, yaw_deg: float, pitch_deg: float
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    """Return rotation and position of a camera that looks at the middle of the scene."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    turn = np.array(
        [[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]]
    )
    tilt = np.array(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
    )
    rotation = (tilt @ turn).astype(np.float32)
    target = np.array([0.0, 0.0, 0.62 * reach_m], np.float32)
    eye = target - 1.4 * reach_m * rotation[2]
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


def _splat(image: RgbImage, points: Points, colors: RgbImage, focal: float, point_m: float) -> None:
    """Paint each point as a square of its size, the nearest on top."""
    height, width = image.shape[:2]
    front = points[:, 2] > 0.05
    points, colors = points[front], colors[front]
    u, v = _project(points, focal, width, height)
    size = focal * point_m / points[:, 2]
    radius = np.clip(size, 1, _MAX_RADIUS).astype(np.int8)
    seen = (u > -8) & (u < width + 8) & (v > -8) & (v < height + 8)
    order = np.flatnonzero(seen)
    # Far to near: where several points meet, numpy keeps the one assigned last.
    order = order[np.argsort(-points[order, 2], kind="stable")]
    haze = np.clip(1.15 - 0.35 * points[:, 2] / np.median(points[:, 2]), 0.35, 1.0)
    shaded = (colors * haze[:, None]).astype(np.uint8)
    left, top = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    flat = image.reshape(-1, 3)
    painted = np.full(height * width, -1, np.int32)
    rank = np.empty(len(points), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    for dy in range(_MAX_RADIUS):
        for dx in range(_MAX_RADIUS):
            big = order[radius[order] > max(dx, dy)]
            x, y = left[big] + dx, top[big] + dy
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            pixel, who = y[inside] * width + x[inside], rank[big[inside]]
            layer = np.full(height * width, -1, np.int32)
            layer[pixel] = who
            np.maximum(painted, layer, out=painted)
    hit = painted >= 0
    flat[hit] = shaded[order[painted[hit]]]


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

"""A drive from above: the costmap that was built, what really stands there, and the way."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import Mask, RgbImage
from mono_depth.evaluation.driving.costmap import FREE, LETHAL, Grid
from mono_depth.evaluation.driving.drive import Drive
from mono_depth.evaluation.driving.readings import F64
from mono_depth.evaluation.driving.robot import Body

_UNKNOWN_RGB, _FREE_RGB, _MARKED_RGB = (196, 198, 202), (250, 250, 248), (30, 30, 34)
_TRUE_RGB, _WAY_RGB, _HIT_RGB, _GOAL_RGB = (
    (214, 132, 60),
    (30, 110, 220),
    (210, 40, 40),
    (20, 150, 70),
)
_CAPTION_PX = 30


def top_view(driven: Drive, body: Body, width_px: int = 480) -> RgbImage:
    """Return (H, W, 3): x to the right, y up; orange = what stands there in the robot's height.

    Args:
        driven: a drive with its costmap.
        body: whose height band and size are drawn.
        width_px: of the image.

    Raises:
        ValueError: the drive has no costmap.
    """
    if driven.costs is None or driven.grid is None:
        raise ValueError("the drive has no costmap")
    grid, scale = driven.grid, width_px / driven.grid.columns
    image = np.empty((*driven.costs.shape, 3), np.uint8)
    image[:] = _UNKNOWN_RGB
    truth = _stands(driven, grid, body)
    image[driven.costs == FREE] = _FREE_RGB
    image[truth] = (0.45 * image[truth] + 0.55 * np.array(_TRUE_RGB)).astype(np.uint8)
    image[driven.costs == LETHAL] = _MARKED_RGB
    size = (width_px, max(1, round(grid.rows * scale)))
    large = cv2.resize(image[::-1], size, interpolation=cv2.INTER_NEAREST)
    places = np.array([[step.place.x_m, step.place.y_m] for step in driven.steps])
    pixels = _pixels(places, grid, scale, size[1])
    cv2.polylines(large, [pixels], False, _WAY_RGB, 2, cv2.LINE_AA)
    goal = _pixels(np.array([driven.course.goal_m]), grid, scale, size[1])[0]
    cv2.drawMarker(large, goal.tolist(), _GOAL_RGB, cv2.MARKER_STAR, 18, 2, cv2.LINE_AA)
    radius = max(2, round(body.radius_m / grid.resolution_m * scale))
    color = _HIT_RGB if driven.hit else _WAY_RGB
    cv2.circle(large, pixels[-1].tolist(), radius, color, 2, cv2.LINE_AA)
    caption = np.full((_CAPTION_PX, width_px, 3), 255, np.uint8)
    words = f"{driven.sense}: {driven.outcome}, {driven.time_s:.0f} s"
    cv2.putText(
        caption, words, (6, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA
    )
    return np.asarray(np.vstack([caption, large]), np.uint8)


def _stands(driven: Drive, grid: Grid, body: Body) -> Mask:
    cells = np.argwhere(np.ones((grid.rows, grid.columns), bool))
    points = np.c_[grid.centers(cells), np.full(len(cells), 0.2)]
    band = (body.ground_clearance_m, body.height_m)
    parts = np.array_split(points, max(1, len(points) // 4000))
    gaps = np.concatenate([driven.course.still.clearance_m(part, band) for part in parts])
    return np.asarray((gaps < 0.0).reshape(grid.rows, grid.columns))


def _pixels(points_m: F64, grid: Grid, scale: float, height_px: int) -> npt.NDArray[np.int32]:
    x = (points_m[:, 0] - grid.x_m) / grid.resolution_m * scale
    y = height_px - (points_m[:, 1] - grid.y_m) / grid.resolution_m * scale
    return np.stack([x, y], axis=1).round().astype(np.int32)

"""A drive from above: the costmap that was built, what really stands there, and the way."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mono_depth.data import RgbImage
from mono_depth.evaluation.driving.costmap import FREE, LETHAL, Grid
from mono_depth.evaluation.driving.course import Course, band_of
from mono_depth.evaluation.driving.drive import Drive
from mono_depth.evaluation.driving.readings import F64
from mono_depth.evaluation.driving.robot import Body

_UNKNOWN_RGB, _FREE_RGB, _MARKED_RGB = (196, 198, 202), (250, 250, 248), (30, 30, 34)
_TRUE_RGB, _WAY_RGB, _HIT_RGB, _GOAL_RGB, _PLAN_RGB, _PERSON_RGB = (
    (214, 132, 60),
    (30, 110, 220),
    (210, 40, 40),
    (20, 150, 70),
    (120, 175, 120),
    (150, 50, 170),
)
_CAPTION_PX = 30


class MapPainter:
    """Paints costmaps of one course: x to the right, y up; orange = what truly stands there."""

    def __init__(self, course: Course, grid: Grid, body: Body, width_px: int = 480) -> None:
        """Find what stands in the height of the robot.

        Args:
            course: its scene and its goal.
            grid: of the costmaps.
            body: whose heights and size are drawn.
            width_px: of the images.
        """
        self._course, self._grid, self._body = course, grid, body
        self._width_px, self._scale = width_px, width_px / grid.columns
        self._height_px = max(1, round(grid.rows * self._scale))
        gaps = course.still.clearance_map_m(*grid.axes_m(), band_of(body), grid.resolution_m)
        self._truth = gaps < 0.0

    def paint(
        self,
        costs: npt.NDArray[np.uint8],
        places_m: F64,
        *,
        is_hit: bool = False,
        plan_m: F64 | None = None,
        person_m: F64 | None = None,
    ) -> RgbImage:
        """Return (H, W, 3).

        Args:
            costs: (rows, columns) of the costmap.
            places_m: (n, 2) where the robot has been; it is at the last one.
            is_hit: it touches something.
            plan_m: (m, 2) the way ahead.
            person_m: (2,) where someone is.
        """
        image = np.empty((*costs.shape, 3), np.uint8)
        image[:] = _UNKNOWN_RGB
        image[costs == FREE] = _FREE_RGB
        image[self._truth] = (0.45 * image[self._truth] + 0.55 * np.array(_TRUE_RGB)).astype("u1")
        image[costs == LETHAL] = _MARKED_RGB
        size = self._width_px, self._height_px
        large = cv2.resize(image[::-1], size, interpolation=cv2.INTER_NEAREST)
        if plan_m is not None:
            cv2.polylines(large, [self._pixels(plan_m)], False, _PLAN_RGB, 2, cv2.LINE_AA)
        pixels = self._pixels(places_m)
        cv2.polylines(large, [pixels], False, _WAY_RGB, 2, cv2.LINE_AA)
        goal = self._pixels(self._course.goal_m[None])[0].tolist()
        cv2.drawMarker(large, goal, _GOAL_RGB, cv2.MARKER_STAR, 18, 2, cv2.LINE_AA)
        if person_m is not None:
            at = self._pixels(person_m[None])[0].tolist()
            cv2.circle(large, at, self._length_px(0.25), _PERSON_RGB, -1, cv2.LINE_AA)
        color = _HIT_RGB if is_hit else _WAY_RGB
        radius = self._length_px(self._body.radius_m)
        cv2.circle(large, pixels[-1].tolist(), radius, color, 2, cv2.LINE_AA)
        return np.asarray(large, np.uint8)

    def _length_px(self, length_m: float) -> int:
        return max(2, round(length_m / self._grid.resolution_m * self._scale))

    def _pixels(self, points_m: F64) -> npt.NDArray[np.int32]:
        grid = self._grid
        x = (points_m[:, 0] - grid.x_m) / grid.resolution_m * self._scale
        y = self._height_px - (points_m[:, 1] - grid.y_m) / grid.resolution_m * self._scale
        return np.stack([x, y], axis=1).round().astype(np.int32)


def top_view(driven: Drive, body: Body, width_px: int = 480) -> RgbImage:
    """Return (H, W, 3) of a whole drive, with a caption.

    Raises:
        ValueError: the drive has no costmap.
    """
    if driven.costs is None or driven.grid is None:
        raise ValueError("the drive has no costmap")
    painter = MapPainter(driven.course, driven.grid, body, width_px)
    places = np.array([[step.place.x_m, step.place.y_m] for step in driven.steps])
    image = painter.paint(driven.costs, places, is_hit=driven.hit)
    return np.vstack([_caption(driven, width_px), image])


def _caption(driven: Drive, width_px: int) -> RgbImage:
    caption = np.full((_CAPTION_PX, width_px, 3), 255, np.uint8)
    words = f"{driven.sense}: {driven.outcome}, {driven.time_s:.0f} s"
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(caption, words, (6, 21), font, 0.55, (20, 20, 20), 1, cv2.LINE_AA)
    return caption

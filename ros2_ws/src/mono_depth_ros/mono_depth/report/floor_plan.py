"""A room from above, as a drawing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mono_depth.report.drawing import Area, Drawing, Label, Line
from mono_depth.report.figures import Figure
from mono_depth.report.room import SIDES, Room
from mono_depth.report.space_report import SpaceReport

_SIDE, _MARGIN = 420.0, 46.0
_CELL_M = 0.15
_WALL, _UNSEEN, _FLOOR, _CAMERA = (31, 41, 55), (156, 163, 175), (191, 219, 254), (220, 38, 38)
_TEXT_SIZE, _SMALL = 12.0, 11.0


def floor_plan(report: SpaceReport) -> Drawing:
    """Return a plan: walls that are seen as thick lines with their distances, free floor as a tint.

    The front wall is at the top, as one who stands at the camera sees it. Ends of walls that are
    not seen are dashed.
    """
    room, factor = report.room, report.scale_factor
    front, right, back, left = _ends_m(room, factor).values()
    scale = (_SIDE - 2 * _MARGIN) / max(front + back, left + right)
    x0 = 0.5 * _SIDE + 0.5 * (left - right) * scale
    y0 = 0.5 * _SIDE + 0.5 * (front - back) * scale
    x1, x2, y1, y2 = x0 - left * scale, x0 + right * scale, y0 - front * scale, y0 + back * scale
    ends = {
        "front": ((x1, y1), (x2, y1)),
        "right": ((x2, y1), (x2, y2)),
        "back": ((x2, y2), (x1, y2)),
        "left": ((x1, y2), (x1, y1)),
    }
    shapes: list[Line | Area | Label] = list(_floor(room, factor, scale, (x0, y0)))
    for side, line in ends.items():
        if side not in room.walls:
            shapes.append(Line(ends=line, width=2.0, color=_UNSEEN, is_dashed=True))
            continue
        shapes.append(Line(ends=line, width=5.0, color=_WALL))
        (ax, ay), (bx, by) = line
        middle = 0.5 * (ax + bx), 0.5 * (ay + by)
        shapes.append(_distance(side, report.figure(f"distance to the {side} wall"), middle))
    shapes.append(
        Area(corners=((x0, y0 - 9.0), (x0 + 7.0, y0 + 6.0), (x0 - 7.0, y0 + 6.0)), color=_CAMERA)
    )
    shapes.append(Label(at=(x0 + 10.0, y0 + 5.0), text="camera", size=_SMALL))
    return Drawing(side=_SIDE, shapes=tuple(shapes), title="floor plan")


def _ends_m(room: Room, factor: float) -> dict[str, float]:
    """Return how far the plan reaches on each side: to the wall, or as far as floor is seen."""
    points = room.floor_points_m
    seen = {
        "front": points[:, 0].max() if len(points) else 1.0,
        "right": -points[:, 1].min() if len(points) else 1.0,
        "back": 0.5,
        "left": points[:, 1].max() if len(points) else 1.0,
    }
    return {
        side: factor * (room.walls[side].distance_m if side in room.walls else max(0.5, seen[side]))
        for side in SIDES
    }


def _floor(room: Room, factor: float, scale: float, at: tuple[float, float]) -> Iterator[Area]:
    """Yield the cells that floor is seen in; those that are side by side as one."""
    cells = np.unique(np.floor(factor * room.floor_points_m / _CELL_M).astype(int), axis=0)
    side = _CELL_M * scale
    for ahead in np.unique(cells[:, 0]) if len(cells) else ():
        lefts = cells[cells[:, 0] == ahead, 1]
        for run in np.split(lefts, np.flatnonzero(np.diff(lefts) > 1) + 1):
            x1, x2 = at[0] - (run[-1] + 1) * side, at[0] - run[0] * side
            y1, y2 = at[1] - (ahead + 1) * side, at[1] - ahead * side
            yield Area(corners=((x1, y1), (x2, y1), (x2, y2), (x1, y2)), color=_FLOOR)


def _distance(side: str, figure: Figure, at: tuple[float, float]) -> Label:
    text = ""
    if figure.value is not None and figure.low is not None and figure.high is not None:
        text = f"{figure.value:.2f} m ({figure.low:.2f} to {figure.high:.2f})"
    shift = {"front": (0.0, -9.0), "back": (0.0, 18.0), "left": (-9.0, 0.0), "right": (18.0, 0.0)}
    x, y = at[0] + shift[side][0], at[1] + shift[side][1]
    is_upright = side in ("left", "right")
    return Label(at=(x, y), text=text, size=_TEXT_SIZE, is_centred=True, is_upright=is_upright)

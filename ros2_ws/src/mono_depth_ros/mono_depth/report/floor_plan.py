"""A room from above, as SVG."""

from __future__ import annotations

import numpy as np

from mono_depth.report.figures import Figure
from mono_depth.report.room import SIDES, Room
from mono_depth.report.space_report import SpaceReport

_SIZE_PX, _MARGIN_PX = 420, 46
_CELL_M = 0.15
_WALL = "#1f2937"
_UNSEEN = "#9ca3af"


def floor_plan(report: SpaceReport) -> str:
    """Return an SVG: walls that are seen as thick lines with their distances, free floor as a tint.

    The front wall is at the top, as one who stands at the camera sees it. Ends of walls that are
    not seen are dashed.
    """
    room, factor = report.room, report.scale_factor
    ends_m = _ends_m(room, factor)
    front, right, back, left = ends_m.values()
    scale = (_SIZE_PX - 2 * _MARGIN_PX) / max(front + back, left + right)
    x0 = 0.5 * _SIZE_PX + 0.5 * (left - right) * scale
    y0 = 0.5 * _SIZE_PX + 0.5 * (front - back) * scale
    x1, x2, y1, y2 = x0 - left * scale, x0 + right * scale, y0 - front * scale, y0 + back * scale
    lines = {
        "front": (x1, y1, x2, y1),
        "right": (x2, y1, x2, y2),
        "back": (x2, y2, x1, y2),
        "left": (x1, y2, x1, y1),
    }
    parts = [_floor(room, factor, scale, (x0, y0))]
    for side, (ax, ay, bx, by) in lines.items():
        is_seen = side in room.walls
        style = f'stroke="{_WALL}" stroke-width="5"' if is_seen else _dashed()
        parts.append(f'<line x1="{ax:.1f}" y1="{ay:.1f}" x2="{bx:.1f}" y2="{by:.1f}" {style}/>')
        if is_seen:
            text = _label(report.figure(f"distance to the {side} wall"))
            parts.append(_text(side, text, (0.5 * (ax + bx), 0.5 * (ay + by))))
    parts.append(
        f'<path d="M {x0:.1f} {y0 - 9:.1f} l 7 15 l -14 0 z" fill="#dc2626"/>'
        f'<text x="{x0 + 10:.1f}" y="{y0 + 5:.1f}" font-size="11">camera</text>'
    )
    body = "\n".join(part for part in parts if part)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE_PX} {_SIZE_PX}" '
        f'font-family="sans-serif" role="img" aria-label="floor plan">\n{body}\n</svg>\n'
    )


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


def _floor(room: Room, factor: float, scale: float, at: tuple[float, float]) -> str:
    cells = np.unique(np.floor(factor * room.floor_points_m / _CELL_M).astype(int), axis=0)
    side = _CELL_M * scale
    squares = "".join(
        f"M {at[0] - (left + 1) * side:.1f} {at[1] - (ahead + 1) * side:.1f} "
        f"h {side:.1f} v {side:.1f} h {-side:.1f} z"
        for ahead, left in cells
    )
    return f'<path d="{squares}" fill="#bfdbfe"/>' if squares else ""


def _label(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return ""
    return f"{figure.value:.2f} m ({figure.low:.2f} to {figure.high:.2f})"


def _text(side: str, text: str, at: tuple[float, float]) -> str:
    x, y = at
    turn = "" if side in ("front", "back") else f' transform="rotate(-90 {x:.1f} {y:.1f})"'
    shift = 18 if side in ("back", "right") else -9
    return (
        f'<text x="{x:.1f}" y="{y + shift:.1f}" font-size="12" text-anchor="middle"{turn}>'
        f"{text}</text>"
    )


def _dashed() -> str:
    return f'stroke="{_UNSEEN}" stroke-width="2" stroke-dasharray="6 6"'

"""Floor, ceiling and walls of a room whose walls stand at right angles.

Source of the four directions: Coughlan and Yuille, "Manhattan World", ICCV 1999; here by the mean
of the angles of the normals of walls, times four.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono_depth.report.modes import Mode, modes
from mono_depth.report.surface import F64, Surface
from mono_depth.report.upright import LEVEL_COS, up_of

SIDES = ("front", "right", "back", "left")  # of the camera, clockwise from above

_WALL_SIN = np.sin(np.radians(20.0))
_FACING_COS = np.cos(np.radians(25.0))
_LEAST_FLOOR, _LEAST_CEILING, _LEAST_WALL = 0.01, 0.015, 0.008  # of all points
_OF_LARGEST = 0.12  # a smaller mode than this share of the largest is furniture
_MOST_BEYOND = 0.015  # of all points: more of them behind a wall, and it is none
_MOST_ABOVE = 0.005  # of all points: more of them above a ceiling, and it is none
_BEYOND = 1.08  # of the distance of a plane: farther is behind it
_LEAST_CEILING_SIDE = 0.5  # of the height of the room, each way: less is the bottom of a shelf
_INLIER = 0.06  # of the distance


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A plane that faces the camera."""

    distance_m: float  # from the camera, along its normal
    spread_rel: float  # how far its points lie from it, of the distance
    points: int
    slant: float = 0.0  # squared sine of the angle of the rays to its normal; 0 = seen head-on


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is seen of a room; None and absent sides are not seen."""

    up: F64  # (3,) in the frame of the surface
    ahead: F64  # (3,) level, at right angles to the front wall
    floor: Plane | None
    ceiling: Plane | None
    walls: dict[str, Plane]  # by names of `SIDES`
    floor_area_m2: float  # of the floor that is seen and free, NaN without a floor
    floor_points_m: F64  # (k, 2) ahead and to the left of the camera

    def direction(self, side: str) -> F64:
        """Return (3,) the level direction from the camera to a wall."""
        right = np.cross(self.ahead, self.up)
        table = (self.ahead, right, -self.ahead, -right)
        return np.asarray(table[SIDES.index(side)])


def room_of(surface: Surface, gravity: F64 | None = None) -> Room:
    """Return the planes of a room.

    Args:
        surface: what is seen from the origin.
        gravity: (3,) unit vector of gravity in its frame, None = it is told by the surface.
    """
    up = up_of(surface, gravity)
    heights = surface.points_m @ up
    cosine = surface.normals @ up
    ahead = _ahead(surface, up, cosine)
    floor = _floor(heights, cosine)
    ceiling = _ceiling(surface, heights, cosine, floor, (ahead, np.cross(ahead, up)))
    room = Room(
        up=up,
        ahead=ahead,
        floor=floor,
        ceiling=ceiling,
        walls={},
        floor_area_m2=np.nan,
        floor_points_m=np.empty((0, 2)),
    )
    walls = {
        side: wall
        for side in SIDES
        if (wall := _wall(surface, cosine, room.direction(side))) is not None
    }
    area_m2, floor_points_m = _free_floor(surface, heights, cosine, room)
    return Room(
        up=up,
        ahead=ahead,
        floor=floor,
        ceiling=ceiling,
        walls=walls,
        floor_area_m2=area_m2,
        floor_points_m=floor_points_m,
    )


def _ahead(surface: Surface, up: F64, cosine: F64) -> F64:
    """Return the direction of walls that is nearest to the optical axis."""
    axis = np.array([0.0, 0.0, 1.0]) - up[2] * up
    axis /= np.linalg.norm(axis)
    right = np.cross(axis, up)
    normals = surface.normals[np.abs(cosine) < _WALL_SIN]
    if not len(normals):
        return np.asarray(axis)
    angles = np.arctan2(normals @ right, normals @ axis)
    turn = float(np.angle(np.exp(4j * angles).sum())) / 4.0  # within 45 degrees of the axis
    return np.asarray(np.cos(turn) * axis + np.sin(turn) * right)


def _floor(heights: F64, cosine: F64) -> Plane | None:
    """Return the lowest of the large level surfaces below the camera."""
    looks_up = (cosine > LEVEL_COS) & (heights < 0.0)
    found = modes(-heights[looks_up], max(20, int(_LEAST_FLOOR * len(heights))))
    largest = max((mode.count for mode in found), default=0)
    for mode in reversed(found):
        below = np.count_nonzero(-heights > _BEYOND * mode.at_m)
        if mode.count >= _OF_LARGEST * largest and below <= 2 * _MOST_BEYOND * len(heights):
            return _plane(mode)
    return None


def _ceiling(
    surface: Surface,
    heights: F64,
    cosine: F64,
    floor: Plane | None,
    axes: tuple[F64, F64],
) -> Plane | None:
    """Return the highest level surface above the camera, if it is wide and nothing is above it."""
    looks_down = (cosine < -LEVEL_COS) & (heights > 0.0)
    found = modes(heights[looks_down], max(20, int(_LEAST_CEILING * len(heights))))
    if not found:
        return None
    mode = found[-1]
    if np.count_nonzero(heights > _BEYOND * mode.at_m) > _MOST_ABOVE * len(heights):
        return None
    inside = looks_down & (np.abs(heights / mode.at_m - 1.0) < _INLIER)
    sides = [np.ptp(np.percentile(surface.points_m[inside] @ axis, (3.0, 97.0))) for axis in axes]
    height_m = mode.at_m + (mode.at_m if floor is None else floor.distance_m)
    return _plane(mode) if min(sides) >= _LEAST_CEILING_SIDE * height_m else None


def _wall(surface: Surface, cosine: F64, direction: F64) -> Plane | None:
    """Return the outermost of the large upright surfaces that face the camera from one side."""
    along = surface.points_m @ direction
    faces = (np.abs(cosine) < _WALL_SIN) & (surface.normals @ direction < -_FACING_COS)
    faces &= along > 0.0
    found = modes(along[faces], max(20, int(_LEAST_WALL * len(along))))
    largest = max((mode.count for mode in found), default=0)
    for mode in reversed(found):
        beyond = np.count_nonzero(along > _BEYOND * mode.at_m)
        if mode.count >= _OF_LARGEST * largest and beyond <= _MOST_BEYOND * len(along):
            inside = faces & (np.abs(along / mode.at_m - 1.0) < _INLIER)
            reach_m = float(np.median(np.linalg.norm(surface.points_m[inside], axis=1)))
            return replace(_plane(mode), slant=max(0.0, 1.0 - (mode.at_m / reach_m) ** 2))
    return None


def _free_floor(surface: Surface, heights: F64, cosine: F64, room: Room) -> tuple[float, F64]:
    """Return the area of the floor that is seen, and its points from above."""
    if room.floor is None:
        return np.nan, np.empty((0, 2))
    down_m = room.floor.distance_m
    inside = (cosine > LEVEL_COS) & (np.abs(-heights / down_m - 1.0) < _INLIER)
    points = surface.points_m[inside]
    reach_m = np.linalg.norm(points, axis=1)
    # A pixel sees an area that faces it; the floor lies aslant by height over distance.
    area_m2 = surface.area_m2[inside] * reach_m / down_m
    plan = np.column_stack((points @ room.ahead, points @ room.direction("left")))
    return float(area_m2.sum()), plan


def _plane(mode: Mode) -> Plane:
    return Plane(distance_m=mode.at_m, spread_rel=mode.spread_rel, points=mode.count)

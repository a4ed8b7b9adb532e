"""Lengths with intervals, or why there are none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mono_depth.report.room import SIDES, Plane, Room

Z_90 = 1.645  # deviations of a normal distribution that 90 % lie within
NOT_SEEN = "not seen"


@dataclass(frozen=True, kw_only=True)
class Deviations:
    """How wrong depth may be, relative to it."""

    scale_rel: float  # common to all lengths; a known length takes it away
    shape_rel: float  # of one length against another: walls that are drawn too near or too far
    slant_rel: float = 0.0  # more of it for walls that are seen aslant, times `slant`

    def shape_of(self, plane: Plane) -> float:
        """Return the deviation of the shape, for the distance to a plane."""
        return math.hypot(self.shape_rel, self.slant_rel * plane.slant)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One length or area."""

    name: str
    unit: str  # m or m2
    value: float | None = None  # None = not seen
    low: float | None = None  # 90 % of the truths lie between low and high
    high: float | None = None
    reason: str = ""  # why there is none, or what to know about it
    is_least: bool = False  # more of it may be hidden

    def scaled(self, factor: float) -> Figure:
        """Return it with all lengths multiplied."""
        power = 2 if self.unit == "m2" else 1
        values = (self.value, self.low, self.high)
        value, low, high = (None if v is None else v * factor**power for v in values)
        return replace(self, value=value, low=low, high=high)


def length(
    name: str, value_m: float, spread_rel: float, sigmas: Deviations, *, unit: str = "m"
) -> Figure:
    """Return a figure whose interval holds 90 % of the truths; it is one of ratios."""
    power = 2.0 if unit == "m2" else 1.0
    sigma = math.sqrt(sigmas.scale_rel**2 + sigmas.shape_rel**2 + spread_rel**2)
    factor = math.exp(power * Z_90 * sigma)
    return Figure(name=name, unit=unit, value=value_m, low=value_m / factor, high=value_m * factor)


def not_seen(name: str, reason: str, *, unit: str = "m") -> Figure:
    """Return a figure that says that there is none."""
    return Figure(name=name, unit=unit, reason=f"{NOT_SEEN}: {reason}")


def figures_of(room: Room, sigmas: Deviations) -> list[Figure]:
    """Return all lengths of a room."""
    found = [_of_plane("camera height", room.floor, "floor", sigmas), _room_height(room, sigmas)]
    for side in SIDES:
        wall = room.walls.get(side)
        found.append(_of_plane(f"distance to the {side} wall", wall, f"{side} wall", sigmas))
    found.append(_between("room width", room, ("left", "right"), sigmas))
    found.append(_between("room depth", room, ("front", "back"), sigmas))
    for side, ends in (("front", ("left", "right")), ("left", ("front", "back"))):
        other = SIDES[(SIDES.index(side) + 2) % 4]
        for name in (side, other):
            found.append(_wall_length(name, room, ends, sigmas))
    found.append(_floor_area(room, sigmas))
    return found


def _of_plane(name: str, plane: Plane | None, what: str, sigmas: Deviations) -> Figure:
    if plane is None:
        return not_seen(name, f"no {what} in view")
    sigmas = replace(sigmas, shape_rel=sigmas.shape_of(plane))
    return length(name, plane.distance_m, plane.spread_rel, sigmas)


def _room_height(room: Room, sigmas: Deviations) -> Figure:
    missing = [
        what for what, plane in (("floor", room.floor), ("ceiling", room.ceiling)) if plane is None
    ]
    if room.floor is None or room.ceiling is None:
        return not_seen("room height", f"no {' and no '.join(missing)} in view")
    return _sum("room height", (room.floor, room.ceiling), sigmas)


def _between(name: str, room: Room, sides: tuple[str, str], sigmas: Deviations) -> Figure:
    missing = [side for side in sides if side not in room.walls]
    if missing:
        return not_seen(name, f"no {' and no '.join(missing)} wall in view")
    return _sum(name, (room.walls[sides[0]], room.walls[sides[1]]), sigmas)


def _wall_length(side: str, room: Room, ends: tuple[str, str], sigmas: Deviations) -> Figure:
    name = f"length of the {side} wall"
    if side not in room.walls:
        return not_seen(name, f"no {side} wall in view")
    missing = [end for end in ends if end not in room.walls]
    if missing:
        return not_seen(name, f"it does not end in view: no {' and no '.join(missing)} wall")
    return _sum(name, (room.walls[ends[0]], room.walls[ends[1]]), sigmas)


def _sum(name: str, planes: tuple[Plane, Plane], sigmas: Deviations) -> Figure:
    total_m = planes[0].distance_m + planes[1].distance_m
    spread_m = math.hypot(*(plane.spread_rel * plane.distance_m for plane in planes))
    slant_m = math.hypot(*(p.slant * sigmas.slant_rel * p.distance_m for p in planes))
    sigmas = replace(sigmas, shape_rel=math.hypot(sigmas.shape_rel, slant_m / total_m))
    return length(name, total_m, spread_m / total_m, sigmas)


def _floor_area(room: Room, sigmas: Deviations) -> Figure:
    name = "free floor in view"
    if room.floor is None:
        return not_seen(name, "no floor in view", unit="m2")
    found = length(name, room.floor_area_m2, room.floor.spread_rel, sigmas, unit="m2")
    return replace(found, is_least=True, reason="what furniture hides does not count")

"""The report of a room: its figures, measured pairs of pixels, and what they rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mono_depth.camera.poses import Pose
from mono_depth.data import DepthImage, Intrinsics, RgbImage
from mono_depth.errors import ConfigError
from mono_depth.report.figures import Deviations, Figure, figures_of, length, not_seen
from mono_depth.report.room import Room, room_of
from mono_depth.report.surface import F64, joined, surface_of

Pixel = tuple[float, float]  # column, row

_KNOWN_LENGTH_SIGMA = 0.01  # of a tape measure and two clicks, at least
_CLICK_PX = 2.0  # how far a click may miss
_WINDOW_PX = 2  # around a click, of which the median of the depth is taken


@dataclass(frozen=True, kw_only=True)
class View:
    """One image of the room with its depth."""

    rgb: RgbImage  # (H, W, 3)
    depth_m: DepthImage  # (H, W), NaN = unknown
    intrinsics: Intrinsics
    gravity_camera: F64 | None = None  # (3,) unit vector, None = the image tells
    T_odom_camera: Pose | None = None  # with poses, all views make one room


@dataclass(frozen=True, kw_only=True)
class KnownLength:
    """Two pixels of the first view whose distance is known."""

    start: Pixel
    end: Pixel
    length_m: float

    def __post_init__(self) -> None:
        if not 0.0 < self.length_m < math.inf:
            raise ConfigError(f"a known length of {self.length_m} m, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class SpaceReport:
    """What is known of a room."""

    figures: tuple[Figure, ...]
    room: Room
    view: View  # the one that distances are counted from
    views: int
    scale_source: str  # where metres come from
    scale_factor: float  # that a known length multiplied depth with, 1 = none did
    sigmas: Deviations
    notes: tuple[str, ...]

    def figure(self, name: str) -> Figure:
        """Return the figure of a name.

        Raises:
            KeyError: there is none.
        """
        return {figure.name: figure for figure in self.figures}[name]


def space_report(
    views: Sequence[View],
    sigmas: Deviations,
    *,
    scale_source: str,
    known: KnownLength | None = None,
    measured: Sequence[tuple[Pixel, Pixel]] = (),
) -> SpaceReport:
    """Return the report of what one or several views show.

    Views with poses are put together in the frame of the first; without, the one that shows most
    of the room is taken.

    Args:
        views: images with depth.
        sigmas: how wrong their depth may be.
        scale_source: where their metres come from, in words.
        known: two pixels of the first view and their distance: rescales all.
        measured: pairs of pixels of the first view.

    Raises:
        ConfigError: there is no view, or a known length lies where no depth is.
        FrameError: the depth shows hardly any surface.
    """
    if not views:
        raise ConfigError("there is no image with metres")
    room, view, count, notes = _room(views)
    factor = 1.0
    if known is not None:
        seen_m = _distance_m(views[0], known.start, known.end)
        if seen_m is None:
            raise ConfigError("the known length begins or ends where no depth is known")
        factor = known.length_m / seen_m
        click = _click_sigma(views[0], known.start, known.end, seen_m)
        sigmas = replace(sigmas, scale_rel=math.hypot(_KNOWN_LENGTH_SIGMA, click))
        scale_source = f"a known length of {known.length_m:g} m"
        notes.append(
            f"by the known length all depth was multiplied with {factor:.3f}; a plane at its depth "
            "is known best"
        )
    figures = figures_of(room, sigmas)
    for index, (start, end) in enumerate(measured, 1):
        figures.append(_pair(f"measured {index}", views[0], start, end, sigmas))
    return SpaceReport(
        figures=tuple(figure.scaled(factor) for figure in figures),
        room=room,
        view=view,
        views=count,
        scale_source=scale_source,
        scale_factor=factor,
        sigmas=sigmas,
        notes=tuple(notes),
    )


def _room(views: Sequence[View]) -> tuple[Room, View, int, list[str]]:
    """Return the room, the view that it is seen from, how many were used, and what to know."""
    poses = [view.T_odom_camera for view in views if view.T_odom_camera is not None]
    if len(poses) == len(views) > 1:
        T_first_odom = np.linalg.inv(poses[0])
        parts = [
            surface_of(view.depth_m, view.intrinsics).moved(T_first_odom @ T_odom_camera)
            for view, T_odom_camera in zip(views, poses, strict=True)
        ]
        return room_of(joined(parts), views[0].gravity_camera), views[0], len(views), []
    rooms = [
        room_of(surface_of(view.depth_m, view.intrinsics), view.gravity_camera) for view in views
    ]
    best = max(range(len(rooms)), key=lambda index: (_seen(rooms[index]), -index))
    notes = []
    if len(views) > 1:
        notes.append(
            f"the views have no poses: distances are those of view {best + 1} of {len(views)}, "
            "which shows most of the room"
        )
    return rooms[best], views[best], 1, notes


def _seen(room: Room) -> int:
    return len(room.walls) + (room.floor is not None) + (room.ceiling is not None)


def _pair(name: str, view: View, start: Pixel, end: Pixel, sigmas: Deviations) -> Figure:
    distance_m = _distance_m(view, start, end)
    if distance_m is None:
        return not_seen(name, "no depth is known at one of the two pixels")
    click = _click_sigma(view, start, end, distance_m)
    # What is wrong with the depth of either end against the other is wrong with their distance.
    depths_m = [point[2] for pixel in (start, end) if (point := _point_m(view, pixel)) is not None]
    lever = max(1.0, max(depths_m) / distance_m if _is_deep(depths_m, distance_m) else 1.0)
    return length(name, distance_m, click, replace(sigmas, shape_rel=sigmas.shape_rel * lever))


def _is_deep(depths_m: list[float], distance_m: float) -> bool:
    """Tell whether two points lie at unlike depths, and not across the view."""
    return max(depths_m) - min(depths_m) > 0.3 * distance_m


def _distance_m(view: View, start: Pixel, end: Pixel) -> float | None:
    a, b = _point_m(view, start), _point_m(view, end)
    return None if a is None or b is None else float(np.linalg.norm(a - b))


def _click_sigma(view: View, start: Pixel, end: Pixel, distance_m: float) -> float:
    """Return the deviation of a distance by clicks that miss, relative to it."""
    misses = []
    for pixel in (start, end):
        point = _point_m(view, pixel)
        if point is not None:
            misses.append(_CLICK_PX * float(point[2]) / view.intrinsics.fx)
    return math.hypot(*misses) / max(distance_m, 1e-6)


def _point_m(view: View, pixel: Pixel) -> F64 | None:
    """Return (3,) what is seen at a pixel, None where no depth is known.

    Raises:
        ConfigError: the pixel lies outside of the image.
    """
    height, width = view.depth_m.shape
    column, row = round(pixel[0]), round(pixel[1])
    if not (0 <= column < width and 0 <= row < height):
        raise ConfigError(f"pixel {column} {row} is outside of the image of {width}x{height}")
    r = _WINDOW_PX
    window = view.depth_m[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1]
    window = window[np.isfinite(window)]
    if not window.size:
        return None
    z, K = float(np.median(window)), view.intrinsics
    return np.array([(pixel[0] - K.cx) / K.fx * z, (pixel[1] - K.cy) / K.fy * z, z])

"""A stand-in of Nav2's collision monitor: polygons, the least number of points, a time-out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from mono_depth.evaluation.driving.readings import F64, CloudReading, LaserReading


class Action(str, Enum):
    """What a polygon does to the speed."""

    STOP = "stop"
    SLOWDOWN = "slowdown"
    APPROACH = "approach"


@dataclass(frozen=True, kw_only=True)
class Polygon:
    """One polygon; names and defaults are those of Nav2's parameters."""

    action: Action
    points: F64  # (n, 2) corners in the body frame [m], convex, in either sense
    min_points: int = 4
    slowdown_ratio: float = 0.5
    time_before_collision: float = 2.0  # [s]
    simulation_time_step: float = 0.1  # [s]

    def count(self, points_m: F64) -> int:
        """Return how many of (n, 2) points lie inside."""
        return int(self._holds(points_m).sum())

    def _holds(self, points_m: F64) -> npt.NDArray[np.bool_]:
        corners = self.points
        edges = np.roll(corners, -1, axis=0) - corners
        offsets = points_m[:, None, :] - corners[None]
        side = edges[None, :, 0] * offsets[..., 1] - edges[None, :, 1] * offsets[..., 0]
        return np.asarray((side >= 0.0).all(axis=1) | (side <= 0.0).all(axis=1))


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """Parameters of the node; names and defaults are those of Nav2."""

    polygons: tuple[Polygon, ...]
    source_timeout: float = 2.0  # [s]
    min_height: float = 0.05  # [m], of points of a cloud
    max_height: float = 0.5  # [m]


@dataclass
class CollisionMonitor:
    """Lets speeds pass, makes them slower, or stops."""

    settings: MonitorSettings
    reason: str = ""  # why the newest speed was changed, "" = it was not
    _newest: LaserReading | CloudReading | None = field(default=None)

    def hear(self, reading: LaserReading | CloudReading) -> None:
        """Take in a message, in the body frame; the newest counts."""
        self._newest = reading

    def allowed(self, speed_mps: float, turn_radps: float, now_s: float) -> tuple[float, float]:
        """Return the speeds that are let through.

        A source that is silent for longer than source_timeout, by the stamp of its newest message,
        is invalid and stops the robot. A message without points says that all is free.
        """
        newest, settings = self._newest, self.settings
        if newest is None or now_s - newest.stamp_s > settings.source_timeout:
            self.reason = "source timed out"
            return 0.0, 0.0
        points, ratio, self.reason = self._points(newest), 1.0, ""
        for polygon in settings.polygons:
            now = self._ratio(polygon, points, speed_mps, turn_radps)
            if now < ratio:
                ratio, self.reason = now, polygon.action.value
        return ratio * speed_mps, ratio * turn_radps

    def _points(self, reading: LaserReading | CloudReading) -> F64:
        if isinstance(reading, LaserReading):
            return reading.points()[:, :2]
        points = reading.points()
        low, high = self.settings.min_height, self.settings.max_height
        return np.asarray(points[(points[:, 2] >= low) & (points[:, 2] <= high)][:, :2])

    @staticmethod
    def _ratio(polygon: Polygon, points: F64, speed_mps: float, turn_radps: float) -> float:
        """Return the share of the speed that a polygon leaves."""
        if polygon.action is Action.APPROACH:
            free_s = _time_to_collision(polygon, points, speed_mps, turn_radps)
            return min(1.0, free_s / polygon.time_before_collision)
        if polygon.count(points) < polygon.min_points:
            return 1.0
        return 0.0 if polygon.action is Action.STOP else polygon.slowdown_ratio


def _time_to_collision(polygon: Polygon, points: F64, speed_mps: float, turn_radps: float) -> float:
    """Return how long the body can go on until min_points are in it, at most the time asked for."""
    step_s, time_s = polygon.simulation_time_step, 0.0
    x = y = yaw = 0.0
    reach = np.hypot(*polygon.points.T).max() + abs(speed_mps) * polygon.time_before_collision
    points = points[np.hypot(points[:, 0], points[:, 1]) <= reach]  # others are never met
    while time_s < polygon.time_before_collision and len(points) >= polygon.min_points:
        c, s = math.cos(yaw), math.sin(yaw)
        moved = points - (x, y)
        seen = np.stack([c * moved[:, 0] + s * moved[:, 1], c * moved[:, 1] - s * moved[:, 0]], 1)
        if polygon.count(seen) >= polygon.min_points:
            return time_s
        x, y = x + speed_mps * step_s * c, y + speed_mps * step_s * s
        yaw += turn_radps * step_s
        time_s += step_s
    return polygon.time_before_collision


def box(front_m: float, rear_m: float, half_width_m: float) -> F64:
    """Return the corners of a rectangle around the middle of the robot."""
    return np.array(
        [
            [front_m, half_width_m],
            [front_m, -half_width_m],
            [-rear_m, -half_width_m],
            [-rear_m, half_width_m],
        ]
    )

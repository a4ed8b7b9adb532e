"""Follows a way: turns towards it, slows down where it is narrow, stops before what is marked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mono_depth.evaluation.driving.costmap import Grid
from mono_depth.evaluation.driving.planner import Plan
from mono_depth.evaluation.driving.readings import F64, PlanePose
from mono_depth.evaluation.driving.robot import Body, moved

_AHEAD_M = 0.4  # of the way that is headed for
_TURN_FIRST_RAD = 0.6  # a heading that differs more is turned to on the spot
_TURN_GAIN = 2.0  # [1/s]
_LOOK_AHEAD_S = 0.8
_LOOK_STEP_S = 0.1
_CREEP_MPS = 0.12
_SLOW_PER_GAP = 1.2  # [1/s] speed allowed for each metre of room beside the body
_SPARE_M = 0.03  # that must stay free in the look ahead


@dataclass
class Follower:
    """Turns a plan into speeds."""

    body: Body
    is_blocked: bool = field(default=False)  # the look ahead stopped it

    def speeds(self, plan: Plan, here: PlanePose, gaps_m: F64, grid: Grid) -> tuple[float, float]:
        """Return forward speed [m/s] and turn [rad/s].

        Args:
            plan: the way.
            here: where the robot believes that it is.
            gaps_m: (rows, columns) distance to what is marked.
            grid: of it.
        """
        self.is_blocked = False
        target = _target(plan.way_m, here)
        error = _turned(math.atan2(target[1] - here.y_m, target[0] - here.x_m) - here.yaw_rad)
        limit = self.body.turn_radps
        turn = min(max(_TURN_GAIN * error, -limit), limit)
        if abs(error) > _TURN_FIRST_RAD:
            return 0.0, math.copysign(max(abs(turn), 0.4 * limit), error)
        room = _gap_at(gaps_m, grid, here, ahead_m=0.3) - self.body.radius_m
        speed = min(
            self.body.speed_mps, max(_CREEP_MPS, _SLOW_PER_GAP * max(room, 0.0) + _CREEP_MPS)
        )
        speed *= 1.0 - 0.7 * abs(error) / _TURN_FIRST_RAD
        speed = min(speed, 0.15 + 0.8 * math.dist(target, (here.x_m, here.y_m)))
        while speed > 0.0 and self._meets(here, speed, turn, gaps_m, grid):
            speed = 0.5 * speed if speed > _CREEP_MPS else 0.0
            self.is_blocked = speed == 0.0
        return speed, turn

    def _meets(self, here: PlanePose, speed: float, turn: float, gaps_m: F64, grid: Grid) -> bool:
        """Tell whether going on so comes nearer to what is marked than the body allows."""
        at_start = _gap_at(gaps_m, grid, here)
        for _ in range(round(_LOOK_AHEAD_S / _LOOK_STEP_S)):
            here = moved(here, speed * _LOOK_STEP_S, turn * _LOOK_STEP_S)
            gap = _gap_at(gaps_m, grid, here)
            if gap < min(self.body.radius_m + _SPARE_M, at_start - 1e-6):
                return True
        return False


def _target(way_m: F64, here: PlanePose) -> F64:
    """Return the point of the way a little ahead of the one nearest to the robot."""
    distance = np.hypot(way_m[:, 0] - here.x_m, way_m[:, 1] - here.y_m)
    nearest = int(np.argmin(distance))
    ahead = np.flatnonzero(distance[nearest:] >= _AHEAD_M)
    return np.asarray(way_m[nearest + int(ahead[0])] if len(ahead) else way_m[-1])


def _gap_at(gaps_m: F64, grid: Grid, here: PlanePose, ahead_m: float = 0.0) -> float:
    """Return the distance to what is marked, here and, if asked for, `ahead_m` before."""
    places = [moved(here, way, 0.0) for way in ({0.0, ahead_m})]
    cells = grid.cells(np.array([[place.x_m, place.y_m] for place in places]))
    cells = np.clip(cells, 0, np.array(gaps_m.shape) - 1)
    return float(gaps_m[cells[:, 0], cells[:, 1]].min())


def _turned(angle_rad: float) -> float:
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi

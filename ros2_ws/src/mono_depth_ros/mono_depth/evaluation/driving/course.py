"""Where to drive: a scene, a start and a goal with something between them, perhaps a person."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mono_depth.errors import ConfigError
from mono_depth.evaluation.driving.costmap import FREE, LETHAL, Grid
from mono_depth.evaluation.driving.planner import Plan, plan
from mono_depth.evaluation.driving.readings import PlanePose
from mono_depth.evaluation.driving.robot import Body
from mono_depth.evaluation.driving.touch import Surroundings
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.furniture import person
from mono_depth.synthetic.materials import MaterialTable
from mono_depth.synthetic.movers import Mover
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.solids import Solids

KINDS = ("room", "office", "corridor", "warehouse")
_MAP_SIZE = 384  # of shadows: what a small camera can tell
_CELL_M = 0.1
_WIDE_M = 0.15  # more than the body needs, all along the way
_BLOCKED_M = 0.05  # of clearance on the straight line: who does not look hits it
_LENGTHS_M = (2.5, 9.0)  # of the straight line
_LENGTH_M = 5.0  # of the way, if it can be
_TRIES = 60
_SCENES = 20  # that are tried for one seed
_MOST_M = 1.0  # of clearance that is told apart
_STAYS_S = 60.0  # who goes back without looking walks into the side of a robot that passes him


@dataclass(frozen=True, kw_only=True)
class SteppingIn(Mover):
    """A person who waits beside the way, steps onto it, stays, and goes on."""

    begins_s: float
    stays_s: float = 4.0

    def at(self, time_s: float) -> Solids:
        """Return the solids in the odom frame; who stands keeps his legs still."""
        before, after = (self.pose(time_s + d)[0] for d in (-0.02, 0.02))
        if np.array_equal(before, after):
            swings = replace(self, swing_rad=np.zeros_like(self.swing_rad))
            return Mover.at(swings, time_s)
        return super().at(time_s)

    def pose(self, time_s: float) -> tuple[F64, float]:
        """Return position on the floor (2,) and yaw."""
        start, end = np.array(self.start_m), np.array(self.end_m)
        way = end - start
        yaw = math.atan2(way[1], way[0])
        needs_s = float(np.hypot(*way)) / self.speed_m_s
        gone_s = time_s - self.begins_s
        if gone_s > needs_s:  # stands at the end, then goes back
            gone_s = max(needs_s - max(gone_s - needs_s - self.stays_s, 0.0), 0.0)
        return start + way * (min(max(gone_s, 0.0), needs_s) / needs_s), yaw


@dataclass(frozen=True, kw_only=True)
class Course:
    """A drive to be done."""

    kind: str
    seed: int
    scene: Scene  # what is seen: what stands still, and the person, if there is one
    still: Scene  # what must not be touched, without the person
    start: PlanePose
    goal_m: F64  # (2,)
    shortest_m: float  # a way for who knows the scene
    person: SteppingIn | None = None

    @property
    def name(self) -> str:
        """Kind and seed, as files are named."""
        return f"{self.kind}_{self.seed}"

    @property
    def place_m(self) -> F64:
        """(2,) where it starts."""
        return np.array([self.start.x_m, self.start.y_m])

    @cached_property
    def _made(self) -> dict[tuple[float, float], Surroundings]:
        return {}

    def clearance_m(self, place: PlanePose, body: Body, time_s: float) -> float:
        """Return the free distance from the middle of the robot to what it could hit."""
        band = band_of(body)
        if band not in self._made:
            self._made[band] = Surroundings.of(self.still, band)
        still = self._made[band].gap_m(np.array([place.x_m, place.y_m, 0.2]), band)
        if self.person is None:
            return still
        someone = replace(self.still, solids=self.person.at(time_s))
        at = np.array([place.x_m, place.y_m, 0.2])
        return min(still, Surroundings.of(someone, band).gap_m(at, band))


def make_course(kind: str, seed: int, body: Body) -> Course:
    """Return the course of a seed: always the same one, with something on its straight line.

    Raises:
        ConfigError: no such kind, or no scene has a way that is long enough.
    """
    if kind not in KINDS:
        raise ConfigError(f"a drive through a {kind!r} is not one of {', '.join(KINDS)}")
    number = KINDS.index(kind)
    for attempt in range(_SCENES):
        scene = make_scene(kind, np.random.default_rng([seed, number, 2 * attempt]), _MAP_SIZE)
        scene = replace(scene, movers=())
        ends = _ends(scene, np.random.default_rng([seed, number, 2 * attempt + 1]), body)
        if ends is not None:
            return _course(kind, seed, scene, *ends)
    raise ConfigError(f"{kind} {seed} has no way of {_LENGTHS_M[0]} to {_LENGTHS_M[1]} m")


def _ends(scene: Scene, rng: np.random.Generator, body: Body) -> tuple[Plan, F64] | None:
    """Return a way of about 5 m around something, and its goal; None where there is none."""
    grid = Grid.around(scene.low_m, scene.high_m, _CELL_M)
    gaps = scene.clearance_map_m(*grid.axes_m(), band_of(body), _MOST_M)
    costs = _costs(gaps, body)
    open_cells = np.argwhere(gaps > body.radius_m + _WIDE_M + 0.1)
    if len(open_cells) < 2:
        return None
    best: tuple[float, Plan, F64] | None = None
    for _ in range(_TRIES):
        pair = open_cells[rng.choice(len(open_cells), 2, replace=False)]
        start, goal = grid.centers(pair)
        if not _LENGTHS_M[0] <= math.dist(start, goal) <= _LENGTHS_M[1]:
            continue
        if _straight_gap(scene, start, goal, body) >= _BLOCKED_M:
            continue
        found = plan(costs, grid, start, goal, 0.0)
        if not found.reaches or found.length_m > 2.0 * _LENGTHS_M[1]:
            continue
        off_m = abs(found.length_m - _LENGTH_M)
        if best is None or off_m < best[0]:
            best = off_m, found, goal
    return None if best is None else best[1:]


def _course(kind: str, seed: int, scene: Scene, way: Plan, goal_m: F64) -> Course:
    start = way.way_m[0]
    ahead = way.way_m[min(5, len(way.way_m) - 1)] - start
    yaw_rad = math.atan2(ahead[1], ahead[0])
    return Course(
        kind=kind,
        seed=seed,
        scene=scene,
        still=scene,
        start=PlanePose(x_m=float(start[0]), y_m=float(start[1]), yaw_rad=yaw_rad),
        goal_m=goal_m,
        shortest_m=way.length_m,
    )


def shortest_way(scene: Scene, start_m: F64, goal_m: F64, body: Body) -> Plan:
    """Return the way of who knows the scene, as far as there is one."""
    grid = Grid.around(scene.low_m, scene.high_m, _CELL_M)
    gaps = scene.clearance_map_m(*grid.axes_m(), band_of(body), _MOST_M)
    return plan(_costs(gaps, body), grid, start_m, goal_m, 0.0)


def _costs(gaps: F64, body: Body) -> npt.NDArray[np.uint8]:
    return np.where(gaps < body.radius_m + _WIDE_M, LETHAL, FREE).astype(np.uint8)


def with_person(course: Course, onto_m: F64, from_m: F64, begins_s: float) -> Course:
    """Return the course with a person who steps from one place onto another."""
    b = Builder(np.random.default_rng([course.seed, 7]))
    b.materials = list(course.still.materials.materials)
    swing, pivot = person(b.frame())
    body = b.table(b.rows, 0)
    stepping = SteppingIn(
        body=body,
        swing_rad=np.array(swing),
        pivot_z_m=np.array(pivot),
        start_m=(float(from_m[0]), float(from_m[1])),
        end_m=(float(onto_m[0]), float(onto_m[1])),
        speed_m_s=0.8,
        begins_s=begins_s,
        stays_s=_STAYS_S,
    )
    table = MaterialTable(b.materials)
    scene = replace(course.still, movers=(stepping,), materials=table)
    return replace(course, scene=scene, person=stepping)


def band_of(body: Body) -> tuple[float, float]:
    """Return the heights between which things are hit."""
    return body.ground_clearance_m, body.height_m


def _straight_gap(scene: Scene, start: F64, goal: F64, body: Body) -> float:
    shares = np.linspace(0.0, 1.0, 60)[:, None]
    line = start + (goal - start) * shares
    return float(scene.clearance_m(np.c_[line, np.full(60, 0.2)], band_of(body)).min())

"""The closed loop: see, mark and clear, plan, follow, and whether anything is hit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics
from mono_depth.evaluation.driving.collision_monitor import (
    Action,
    CollisionMonitor,
    MonitorSettings,
    Polygon,
)
from mono_depth.evaluation.driving.costmap import Grid, ObservationSource, ObstacleLayer
from mono_depth.evaluation.driving.course import Course
from mono_depth.evaluation.driving.follower import Follower
from mono_depth.evaluation.driving.planner import Plan, distance_to_marks_m, plan
from mono_depth.evaluation.driving.readings import F64, LaserReading, PlanePose
from mono_depth.evaluation.driving.robot import Body, OdometryNoise, Robot
from mono_depth.evaluation.driving.senses import Sense, View

_WIDTH, _HEIGHT, _FOV_DEG = 320, 240, 90.0
STEP_S = 0.1  # one image; speeds that come of it hold in the step after the next image
_FINE_STEPS = 4  # in which the body moves, and may hit, between two images
_CELL_M = 0.05
_BORDER_M = 0.5
_KEEP_OFF_M = 0.07  # more than the body's radius, of the plan
_ARRIVED_M = 0.3
_TIME_PER_M = 8.0  # [s] a drive may last, and the next line on top
_TIME_MORE_S = 25.0
_PLAN_EVERY = 5  # images
_STUCK_STEPS = 60  # without getting on, until it looks around
_LOOK_AROUND_STEPS = 70
_STILL_M = 0.15
_KEPT_M = 0.1  # beside the body: too near to be seen again when it looks around
_LOCAL_M = 1.5  # around the robot: what its next moves depend on
# As in config/robots/nav2.yaml: the scan marks, and what is seen to be free clears.
MARKS = ObservationSource(
    inf_is_valid=True,
    max_obstacle_height=2.0,
    obstacle_max_range=5.0,
)
CLEARS = ObservationSource(
    marking=False,
    clearing=True,
    min_obstacle_height=-1.0,
    max_obstacle_height=10.0,
    raytrace_max_range=5.5,
    raytrace_min_range=0.6,
)
SOURCE_TIMEOUT_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Depth that drops out: while it lasts there is no scan."""

    begins_s: float
    lasts_s: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """One moment of a drive."""

    time_s: float
    place: PlanePose  # true
    speed_mps: float
    clearance_m: float  # from the middle of the robot
    silence: str
    stopped_by: str  # what the collision monitor says


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a spectator sees after a step."""

    course: Course
    view: View | None  # what the camera saw, None = depth dropped out
    costs: npt.NDArray[np.uint8]
    grid: Grid
    plan_m: F64 | None  # (n, 2) the way ahead
    steps: Sequence[Step]
    is_hit: bool


@dataclass
class Drive:
    """What came of a drive."""

    course: Course
    sense: str
    radius_m: float  # of the robot
    arrived: bool = False
    hit: bool = False
    steps: list[Step] = field(default_factory=list)
    costs: npt.NDArray[np.uint8] | None = None
    grid: Grid | None = None

    @property
    def time_s(self) -> float:
        """How long it lasted."""
        return self.steps[-1].time_s if self.steps else 0.0

    @property
    def length_m(self) -> float:
        """The way that was driven."""
        return sum(step.speed_mps for step in self.steps) * STEP_S

    @property
    def mean_speed_mps(self) -> float:
        """Over the whole drive, waiting and turning included."""
        return self.length_m / max(self.time_s, STEP_S)

    @property
    def outcome(self) -> str:
        """One word for it."""
        return "hit" if self.hit else "arrived" if self.arrived else "stuck"

    @property
    def silences(self) -> Counter[str]:
        """How often there was no scan, by reason."""
        return Counter(step.silence for step in self.steps if step.silence)


def drive(
    course: Course,
    sense: Sense,
    body: Body,
    *,
    noise: OdometryNoise | None = None,
    fault: Fault | None = None,
    watch: Callable[[Moment], None] | None = None,
) -> Drive:
    """Drive a course by what a sense sees. The same arguments give the same drive.

    A drive ends at the goal, at the first touch of anything, or when time is over. `watch` is
    called after each step.
    """
    loop = _Loop(course, sense, body, noise or OdometryNoise(), fault)
    limit_s = _TIME_MORE_S + _TIME_PER_M * course.shortest_m
    while loop.time_s < limit_s and not (loop.result.arrived or loop.result.hit):
        loop.step()
        if watch is not None:
            watch(loop.moment())
    loop.result.costs, loop.result.grid = loop.layer.costs, loop.layer.grid
    return loop.result


class _Loop:
    """The state of one drive."""

    def __init__(
        self, course: Course, sense: Sense, body: Body, noise: OdometryNoise, fault: Fault | None
    ) -> None:
        self.course, self._sense, self._body, self._fault = course, sense, body, fault
        sense.reset()
        rng = np.random.default_rng([course.seed, 3])
        self._robot = Robot(body=body, place=course.start, noise=noise, rng=rng)
        border = np.array([_BORDER_M, _BORDER_M, 0.0])
        scene = course.scene
        grid = Grid.around(scene.low_m - border, scene.high_m + border, _CELL_M)
        self.layer = ObstacleLayer(grid, MARKS)
        self._monitor = CollisionMonitor(_monitor_settings(body))
        self._follower = Follower(body)
        self._intrinsics = Intrinsics.of_view(_WIDTH, _HEIGHT, _FOV_DEG)
        self._view: View | None = None
        self._plan: Plan | None = None
        self._wish = 0.0, 0.0
        self._count = self._looking = 0
        self._trail: list[F64] = []
        self.time_s = 0.0
        self.result = Drive(course=course, sense=sense.name, radius_m=body.radius_m)

    def step(self) -> None:
        """See once and drive until the next image."""
        silence = self._see()
        wish = self._steer()
        late, self._wish = self._wish, wish  # what was found in the last image acts now
        speed, turn = self._monitor.allowed(*late, self.time_s)
        clearance = math.inf
        for _ in range(_FINE_STEPS):
            self._robot.step(speed, turn, STEP_S / _FINE_STEPS)
            self.time_s += STEP_S / _FINE_STEPS
            gap = self.course.clearance_m(self._robot.place, self._body, self.time_s)
            clearance = min(clearance, gap)
        self._count += 1
        result, place = self.result, self._robot.place
        result.hit = clearance < self._body.radius_m
        believed = self._robot.believed
        left = math.dist(self.course.goal_m, (believed.x_m, believed.y_m))
        result.arrived = left < _ARRIVED_M and not result.hit
        result.steps.append(
            Step(
                time_s=self.time_s,
                place=place,
                speed_mps=abs(self._robot.speed_mps),
                clearance_m=clearance,
                silence=silence,
                stopped_by=self._monitor.reason,
            )
        )

    def moment(self) -> Moment:
        """Return what there is to see now."""
        return Moment(
            course=self.course,
            view=self._view,
            costs=self.layer.costs,
            grid=self.layer.grid,
            plan_m=None if self._plan is None else self._plan.way_m,
            steps=self.result.steps,
            is_hit=self.result.hit,
        )

    def _see(self) -> str:
        fault = self._fault
        if fault and fault.begins_s <= self.time_s < fault.begins_s + fault.lasts_s:
            self._view = None
            return "depth dropped out"
        robot = self._robot
        self._view = view = View(
            scene=self.course.scene,
            intrinsics=self._intrinsics,
            T_scene_camera=robot.camera(robot.place),
            T_odom_camera=robot.camera(robot.believed),
            camera_height_m=self._body.camera_height_m,
            time_s=self.time_s,
        )
        sight = self._sense.see(view)
        if sight.clearing is not None:
            self.layer.update(sight.clearing, robot.sensor(), CLEARS)
        if sight.scan is not None:
            self.layer.update(sight.scan, robot.sensor())
            self._monitor.hear(in_body(sight.scan, self._body.camera_ahead_m))
        return sight.silence

    def _steer(self) -> tuple[float, float]:
        """Return the speeds that the newest map asks for."""
        layer, here = self.layer, self._robot.believed
        place = np.array([here.x_m, here.y_m])
        self._trail.append(place)
        if self._looking:
            self._looking -= 1
            return 0.0, 0.8 * self._body.turn_radps
        old = self._trail[-_STUCK_STEPS] if len(self._trail) > _STUCK_STEPS else None
        if old is not None and math.dist(old, place) < _STILL_M:
            self._looking, self._plan = _LOOK_AROUND_STEPS, None
            self._trail.clear()
            layer.forget(place, self._body.radius_m + _KEPT_M)
            return 0.0, 0.0
        if self._plan is None or self._follower.is_blocked or self._count % _PLAN_EVERY == 0:
            keep_m = self._body.radius_m + _KEEP_OFF_M
            self._plan = plan(layer.costs, layer.grid, place, self.course.goal_m, keep_m)
        near, cells = layer.grid.around_place(place, _LOCAL_M)
        gaps = distance_to_marks_m(layer.costs[cells], near.resolution_m)
        return self._follower.speeds(self._plan, here, gaps, near)


def in_body(reading: LaserReading, ahead_m: float) -> LaserReading:
    """Return a reading of a frame that lies `ahead_m` before the body's middle as seen from there.

    Rays that saw nothing stay as they are: only where something is counts for a monitor.
    """
    x = ahead_m + reading.ranges_m * np.cos(reading.bearings_rad)
    y = reading.ranges_m * np.sin(reading.bearings_rad)
    is_hit = np.isfinite(reading.ranges_m)
    return replace(
        reading,
        bearings_rad=np.where(is_hit, np.arctan2(y, x), reading.bearings_rad),
        ranges_m=np.where(is_hit, np.hypot(x, y), reading.ranges_m),
        range_min_m=0.0,
        range_max_m=reading.range_max_m + ahead_m,
    )


def _monitor_settings(body: Body) -> MonitorSettings:
    corners = np.arange(8) * (math.pi / 4) + math.pi / 8
    radius = (body.radius_m + 0.01) / math.cos(math.pi / 8)  # around the circle
    outline = radius * np.stack([np.cos(corners), np.sin(corners)], axis=1)
    approach = Polygon(
        action=Action.APPROACH, points=outline, min_points=2, time_before_collision=0.8
    )
    return MonitorSettings(polygons=(approach,), source_timeout=SOURCE_TIMEOUT_S)

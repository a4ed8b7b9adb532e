from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mono_depth.config import ScanConfig
from mono_depth.errors import ConfigError
from mono_depth.evaluation.driving.costmap import FREE, LETHAL, NO_INFORMATION, Grid
from mono_depth.evaluation.driving.course import Course, SteppingIn, make_course
from mono_depth.evaluation.driving.drive import Drive, Fault, Step, drive, in_body
from mono_depth.evaluation.driving.drive_video import DriveVideo
from mono_depth.evaluation.driving.events import dropout_at_speed, person_before, stopped_in_time
from mono_depth.evaluation.driving.follower import Follower
from mono_depth.evaluation.driving.hazards import with_glass_door, with_pit
from mono_depth.evaluation.driving.planner import Plan, distance_to_marks_m, plan
from mono_depth.evaluation.driving.readings import LaserReading, PlanePose
from mono_depth.evaluation.driving.robot import Body, OdometryNoise, Robot
from mono_depth.evaluation.driving.senses import DepthSense
from mono_depth.evaluation.driving.table import details, table
from mono_depth.evaluation.driving.top_view import top_view
from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.light import KeyLight, Lighting
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape, Solids

BODY = Body()
GRID = Grid(0.0, 0.0, 0.05, 80, 80)  # 4 x 4 m
AT_REST = PlanePose(x_m=0.0, y_m=0.0, yaw_rad=0.0)
START, GOAL = np.array([0.5, 2.0]), np.array([3.5, 2.0])


def costs(*boxes):
    """Make a free map with marked boxes (x, y, width, height) [m]."""
    found = np.full((80, 80), FREE, np.uint8)
    for x, y, w, h in boxes:
        found[round(y * 20) : round((y + h) * 20), round(x * 20) : round((x + w) * 20)] = LETHAL
    return found


def test_a_plan_goes_straight_where_nothing_is():
    found = plan(costs(), GRID, START, GOAL, 0.2)

    assert found.reaches
    assert found.length_m == pytest.approx(3.0, abs=0.2)


def test_a_plan_goes_around_a_wall_and_keeps_off_it():
    wall = costs((2.0, 1.0, 0.1, 3.0))

    found = plan(wall, GRID, START, GOAL, 0.2)

    gaps = distance_to_marks_m(wall, 0.05)
    cells = GRID.cells(found.way_m)
    assert found.reaches
    assert gaps[cells[:, 0], cells[:, 1]].min() > 0.15
    assert found.length_m > 3.5


def test_a_goal_that_is_walled_off_is_approached():
    found = plan(costs((2.0, 0.0, 0.1, 4.0)), GRID, START, GOAL, 0.2)

    assert not found.reaches
    assert 1.5 < found.way_m[-1, 0] < 1.9


def test_a_gap_narrower_than_the_robot_is_no_way():
    wall = costs((2.0, 0.0, 0.1, 1.85), (2.0, 2.15, 0.1, 1.85))

    assert not plan(wall, GRID, START, GOAL, 0.2).reaches
    assert plan(wall, GRID, START, GOAL, 0.05).reaches


def test_a_robot_that_stands_too_near_may_leave():
    assert plan(costs((0.6, 1.5, 0.1, 1.0)), GRID, START, GOAL, 0.25).reaches


def test_what_is_unknown_may_be_driven_through():
    assert plan(np.full((80, 80), NO_INFORMATION, np.uint8), GRID, START, GOAL, 0.2).reaches


# The robot.


def test_a_robot_brakes_no_harder_than_it_can():
    robot = Robot(body=BODY, place=AT_REST, speed_mps=0.6)

    robot.step(0.0, 0.0, 0.1)

    assert robot.speed_mps == pytest.approx(0.45)


def test_without_noise_odometry_is_right_and_with_it_is_not():
    sure, unsure = (
        Robot(body=BODY, place=AT_REST, noise=noise)
        for noise in (OdometryNoise(), OdometryNoise(distance_rel=0.05, turn_rel=0.05))
    )
    for robot in (sure, unsure):
        for _ in range(50):
            robot.step(0.5, 0.3, 0.1)

    assert sure.believed == sure.place
    assert unsure.believed != unsure.place
    assert unsure.place == sure.place


def test_a_goal_behind_is_turned_to_before_it_drives():
    way = Plan(way_m=np.array([[0.0, 0.0], [-1.0, 0.0]]), reaches=True)

    speed, turn = Follower(BODY).speeds(way, AT_REST, np.full((80, 80), 9.0), GRID)

    assert speed == 0.0
    assert abs(turn) > 0.3


def test_the_look_ahead_stops_before_what_is_marked():
    wall = distance_to_marks_m(costs((0.8, 0.0, 0.1, 4.0)), 0.05)
    follower, here = Follower(BODY), PlanePose(x_m=0.55, y_m=2.0, yaw_rad=0.0)

    speed, _ = follower.speeds(Plan(way_m=np.stack([START, GOAL]), reaches=True), here, wall, GRID)

    assert speed == 0.0
    assert follower.is_blocked


def test_a_scan_from_before_the_middle_is_seen_from_the_middle():
    seen = in_body(
        LaserReading(
            bearings_rad=np.array([0.0, math.pi / 2, 0.1]),
            ranges_m=np.array([1.0, 1.0, np.inf]),
            range_min_m=0.15,
            range_max_m=6.0,
            stamp_s=0.0,
        ),
        0.1,
    )

    assert seen.ranges_m[:2] == pytest.approx([1.1, math.hypot(0.1, 1.0)])
    assert seen.bearings_rad[1] == pytest.approx(math.atan2(1.0, 0.1))
    assert seen.ranges_m[2] == np.inf


# What happens on the way.


def test_a_person_waits_steps_in_stays_and_goes_back():
    nothing = np.empty(0)
    person = SteppingIn(
        body=None,
        swing_rad=nothing,
        pivot_z_m=nothing,
        start_m=(0.0, 0.0),
        end_m=(1.6, 0.0),
        speed_m_s=0.8,
        begins_s=3.0,
        stays_s=4.0,
    )

    places = [float(person.pose(time_s)[0][0]) for time_s in (0.0, 3.0, 4.0, 5.0, 8.9, 10.0, 20.0)]

    assert places == pytest.approx([0.0, 0.0, 0.8, 1.6, 1.6, 0.8, 0.0])


def driven(*speeds: float) -> Drive:
    steps = [
        Step(
            time_s=0.1 * (i + 1),
            place=AT_REST,
            speed_mps=speed,
            clearance_m=1.0,
            silence="",
            stopped_by="",
        )
        for i, speed in enumerate(speeds)
    ]
    return Drive(course=None, sense="exact", radius_m=BODY.radius_m, steps=steps)


def test_depth_drops_out_when_the_robot_is_fast():
    assert dropout_at_speed(driven(0.1, 0.3, 0.5)).begins_s == pytest.approx(0.3)
    assert dropout_at_speed(driven(0.1, 0.3)) is None


def test_a_robot_that_stands_before_depth_is_back_has_stopped_in_time():
    fault = Fault(begins_s=0.0, lasts_s=2.0)

    assert stopped_in_time(driven(*[0.6] * 7, *[0.0] * 13), fault, BODY)
    assert not stopped_in_time(driven(*[0.6] * 20), fault, BODY)
    assert not stopped_in_time(driven(*[0.6] * 7, *[0.0] * 12, 0.2), fault, BODY)


# The whole loop, by exact depth; the network has its own table.

EXACT = ScanConfig(min_height_m=0.05, max_height_m=0.45, tilt_tolerance=0.0)


def test_the_course_of_a_seed_is_always_the_same_and_starts_where_there_is_room():
    first, again = (make_course("room", 0, BODY) for _ in range(2))

    assert first.start == again.start
    assert np.array_equal(first.goal_m, again.goal_m)
    assert first.clearance_m(first.start, BODY, 0.0) > BODY.radius_m


def test_a_kind_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="is not one of room"):
        make_course("moon", 0, BODY)


@pytest.fixture(scope="module")
def room() -> Course:
    return make_course("room", 0, BODY)


@pytest.mark.slow
def test_exact_depth_arrives_and_touches_nothing(room):
    found = drive(room, DepthSense("exact", EXACT), BODY)

    told = details(found)
    assert told["arrived"]
    assert told["closest_m"] > 0.0
    assert told["silent_share"] == 0.0
    assert "| room | exact | 1 | 1 | 0 | 0 |" in table([found])
    assert top_view(found, BODY).shape[1] == 480


@pytest.mark.slow
def test_depth_that_is_blind_hits_what_stands_before_its_goal(room):
    assert drive(room, DepthSense("blind", EXACT, is_blind=True), BODY).hit


@pytest.mark.slow
def test_a_video_shows_every_step_of_a_drive(room, tmp_path):
    path, fault = tmp_path / "drive.mp4", Fault(begins_s=0.0, lasts_s=99.0)
    short = replace(room, shortest_m=-3.0)  # time for a second

    with DriveVideo(path, BODY) as video:
        found = drive(short, DepthSense("exact", EXACT), BODY, fault=fault, watch=video.add)

    reader = cv2.VideoCapture(str(path))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == len(found.steps)
    assert reader.get(cv2.CAP_PROP_FRAME_WIDTH) == 960


# What is hard to see.


@pytest.fixture(scope="module")
def hall() -> Course:
    """Return a drive straight through 5 x 4 m with nothing in them."""
    b = Builder(np.random.default_rng(0))
    plain = b.material(Material(color=(0.5, 0.5, 0.5)))
    b.frame().add(Shape.ROOM, (0.0, 0.0, 1.25), (5.0, 4.0, 2.5), plain)
    sun = KeyLight(position_m=(0.0, 0.0, 0.0), axis=(0.2, 0.1, -1.0), rgb=(1.0,) * 3, sun=True)
    low, high = np.array([-2.5, -2.0, 0.0]), np.array([2.5, 2.0, 2.5])
    scene = Scene("hall", b.solids(), MaterialTable(b.materials), Lighting(key=sun), low, high)
    return Course(
        kind="hall",
        seed=0,
        scene=scene,
        still=scene,
        start=PlanePose(x_m=-1.9, y_m=0.0, yaw_rad=0.0),
        goal_m=np.array([1.9, 0.0]),
        shortest_m=3.8,
    )


@pytest.mark.slow
def test_a_glass_door_across_the_way_is_driven_around_by_who_sees_it(hall):
    course = with_glass_door(hall, BODY)

    found = drive(course, DepthSense("exact", EXACT), BODY)

    assert course.clearance_m(PlanePose(x_m=0.0, y_m=0.0, yaw_rad=0.0), BODY, 0.0) < 0.1
    assert found.arrived


@pytest.mark.slow
def test_the_edge_of_a_pit_is_marked_and_driven_around(hall):
    course = with_pit(hall, BODY)

    found = drive(course, DepthSense("exact", EXACT), BODY)

    assert course.scene.solids.corners_m()[..., 2].min() < -0.5
    assert found.arrived


@pytest.mark.slow
def test_who_does_not_look_for_drop_offs_falls_into_a_pit(hall):
    unaware = DepthSense("exact", replace(EXACT, drop_m=0.0))

    assert drive(with_pit(hall, BODY), unaware, BODY).hit


def test_round_things_are_touched_where_they_are_not_at_the_corner_of_a_box_around_them(hall):
    b = Builder(np.random.default_rng(0))
    b.frame(0.0, 0.0).ball(0.0, 0.0, 0.2, 0.8, 0.8, 0.8, 0)  # the crown of a plant
    b.frame(0.0, 1.0).cylinder(0.0, 0.0, 0.0, 0.4, 1.0, 0)
    b.frame(-1.5, -1.0).at(0.0, 0.0, 0.0, 0.3, 0.6).ball(0.3, 0.0, 0.3, 0.5, 0.2, 0.6, 0)  # leans
    scene = replace(hall.scene, solids=Solids.joined(hall.scene.solids, b.solids()))
    course = replace(hall, scene=scene, still=scene)

    gaps = [
        course.clearance_m(PlanePose(x_m=x, y_m=y, yaw_rad=0.0), BODY, 0.0)
        for x, y in ((0.6, 0.0), (0.5, 0.5), (0.0, 1.5), (2.4, -1.0))
    ]

    at_the_top = 0.4 * math.sqrt(1.0 - (0.15 / 0.4) ** 2)  # of the robot the crown is so wide
    expected = [0.6 - at_the_top, math.hypot(0.5, 0.5) - at_the_top, 0.3, 0.1]
    assert gaps == pytest.approx(expected)
    ball = scene.solids[scene.solids.shape == Shape.ELLIPSOID][1:]
    points = np.random.default_rng(0).normal(size=(4000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    points = (points * ball.half_size_m[0]) @ ball.rotation[0].T + ball.center_m[0]
    points = points[(points[:, 2] > 0.06) & (points[:, 2] < 0.45)]
    there = np.array([-1.3, -1.3])
    gap = course.clearance_m(PlanePose(x_m=-1.3, y_m=-1.3, yaw_rad=0.0), BODY, 0.0)
    assert 0.0 < np.hypot(*(points[:, :2] - there).T).min() - gap < 0.15


def test_where_there_is_no_way_around_there_is_no_hazard(hall):
    low, high = np.array([-2.5, -0.5, 0.0]), np.array([2.5, 0.5, 2.5])
    narrow = replace(hall.still, low_m=low, high_m=high)
    alley = replace(hall, still=narrow, scene=narrow)

    with pytest.raises(ConfigError, match="hall 0 has no room for a glass door"):
        with_glass_door(alley, BODY)
    with pytest.raises(ConfigError, match="hall 0 has no room for a pit"):
        with_pit(alley, BODY)


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", ["room", "office", "corridor", "warehouse"])
def test_exact_depth_always_arrives_and_blind_depth_hits(kind):
    courses = [make_course(kind, seed, BODY) for seed in range(5)]
    exact = [drive(course, DepthSense("exact", EXACT), BODY) for course in courses]
    blind = [drive(course, DepthSense("blind", EXACT, is_blind=True), BODY) for course in courses]

    assert [item.outcome for item in exact] == ["arrived"] * len(courses)
    assert sum(item.hit for item in blind) >= 0.8 * len(courses)


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", ["office", "warehouse"])
def test_a_person_who_steps_in_is_not_touched(kind):
    course, sense = make_course(kind, 0, BODY), DepthSense("exact", EXACT)

    disturbed = person_before(course, drive(course, sense, BODY), BODY)

    assert disturbed is not None
    assert not drive(disturbed, sense, BODY).hit


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", ["office", "warehouse"])
def test_depth_that_drops_out_at_speed_stops_the_robot(kind):
    course, sense = make_course(kind, 0, BODY), DepthSense("exact", EXACT)
    fault = dropout_at_speed(drive(course, sense, BODY))

    found = drive(course, sense, BODY, fault=fault)

    assert stopped_in_time(found, fault, BODY)
    assert found.arrived

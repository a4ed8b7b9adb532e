"""What happens on the way: a person who steps in, depth that drops out at speed."""

from __future__ import annotations

import math

import numpy as np

from mono_depth.evaluation.driving.course import Course, with_person
from mono_depth.evaluation.driving.drive import SOURCE_TIMEOUT_S, Drive, Fault
from mono_depth.evaluation.driving.robot import Body

_FAST_MPS = 0.4  # at speed
_LEAD_M = 1.6  # of way before the robot, where the person comes to stand
_ASIDE_M = 1.2  # where the person waits
_LASTS_S = 2.0
_REACTION_S = 0.2  # one image to see it, one to act


def person_before(course: Course, undisturbed: Drive, body: Body) -> Course | None:
    """Return the course with a person who steps before the robot; None where it is never fast.

    Args:
        course: without a person.
        undisturbed: a drive of it, whose way and times tell where to step.
        body: of the robot.
    """
    steps = undisturbed.steps
    for begin, step in enumerate(steps):
        if step.speed_mps < _FAST_MPS:
            continue
        way = 0.0
        for before, after in zip(steps[begin:], steps[begin + 1 :], strict=False):
            way += math.dist(
                (before.place.x_m, before.place.y_m), (after.place.x_m, after.place.y_m)
            )
            if way >= _LEAD_M:
                break
        else:
            return None
        onto = np.array([after.place.x_m, after.place.y_m])
        across = np.array([-math.sin(after.place.yaw_rad), math.cos(after.place.yaw_rad)])
        sides = [onto + sign * _ASIDE_M * across for sign in (1.0, -1.0)]
        band = (body.ground_clearance_m, body.height_m)
        room = course.still.clearance_m(np.array([[*side, 0.2] for side in sides]), band)
        return with_person(course, onto, sides[int(np.argmax(room))], step.time_s)
    return None


def dropout_at_speed(undisturbed: Drive) -> Fault | None:
    """Return depth that fails for 2 s when the robot is fast; None where it never is."""
    for step in undisturbed.steps:
        if step.speed_mps >= _FAST_MPS:
            return Fault(begins_s=step.time_s, lasts_s=_LASTS_S)
    return None


def stopped_in_time(driven: Drive, fault: Fault, body: Body) -> bool:
    """Tell whether a robot stood before the depth that dropped out came back, and hit nothing."""
    during = [
        step
        for step in driven.steps
        if fault.begins_s <= step.time_s <= fault.begins_s + fault.lasts_s
    ]
    if driven.hit or not during:
        return False
    speed = max(step.speed_mps for step in during)
    limit_s = SOURCE_TIMEOUT_S + _REACTION_S + speed / body.braking_mps2
    late = [step for step in during if step.time_s > fault.begins_s + limit_s]
    return bool(late) and all(step.speed_mps < 0.01 for step in late)

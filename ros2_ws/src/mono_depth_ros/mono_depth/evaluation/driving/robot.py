"""A round robot on two wheels with one camera: how it moves, and what it believes of that."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mono_depth.evaluation.driving.readings import PlanePose
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.trajectory import camera_pose


@dataclass(frozen=True, kw_only=True)
class Body:
    """Sizes and limits of the robot."""

    radius_m: float = 0.20
    height_m: float = 0.45
    ground_clearance_m: float = 0.06  # what is lower passes under it
    speed_mps: float = 0.6
    turn_radps: float = 1.2
    acceleration_mps2: float = 0.8
    braking_mps2: float = 1.5
    turn_acceleration_radps2: float = 4.0
    camera_ahead_m: float = 0.10  # of the middle
    camera_height_m: float = 0.35
    camera_down_rad: float = 0.09  # tilt of the optical axis below level


@dataclass(frozen=True, kw_only=True)
class OdometryNoise:
    """What wheels say wrong: a fixed share of each run, and a random one of each step."""

    distance_rel: float = 0.0  # deviation of the share, drawn once
    turn_rel: float = 0.0
    drift_rad_per_m: float = 0.0  # deviation, drawn in each step


@dataclass
class Robot:
    """Where the robot is, and where its odometry says that it is."""

    body: Body
    place: PlanePose
    noise: OdometryNoise = field(default_factory=OdometryNoise)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    speed_mps: float = 0.0
    turn_radps: float = 0.0
    travelled_m: float = 0.0

    def __post_init__(self) -> None:
        self.believed = self.place
        self._distance_factor = 1.0 + self.noise.distance_rel * float(self.rng.standard_normal())
        self._turn_factor = 1.0 + self.noise.turn_rel * float(self.rng.standard_normal())

    def step(self, speed_mps: float, turn_radps: float, step_s: float) -> None:
        """Drive for a while; speeds change no faster than the wheels can."""
        body = self.body
        faster, slower = body.acceleration_mps2 * step_s, body.braking_mps2 * step_s
        change = speed_mps - self.speed_mps
        away = change * self.speed_mps >= 0.0
        limit = faster if away else slower
        self.speed_mps += min(max(change, -limit), limit)
        turn_limit = body.turn_acceleration_radps2 * step_s
        self.turn_radps += min(max(turn_radps - self.turn_radps, -turn_limit), turn_limit)
        way_m, turn_rad = self.speed_mps * step_s, self.turn_radps * step_s
        self.travelled_m += abs(way_m)
        self.place = moved(self.place, way_m, turn_rad)
        drift = (
            self.noise.drift_rad_per_m * math.sqrt(abs(way_m)) * float(self.rng.standard_normal())
        )
        self.believed = moved(
            self.believed, way_m * self._distance_factor, turn_rad * self._turn_factor + drift
        )

    def camera(self, place: PlanePose) -> F64:
        """Return T_odom_camera (4, 4) of the optical frame where the robot is at `place`."""
        body = self.body
        position = np.array(
            [
                place.x_m + body.camera_ahead_m * math.cos(place.yaw_rad),
                place.y_m + body.camera_ahead_m * math.sin(place.yaw_rad),
                body.camera_height_m,
            ]
        )
        return camera_pose(position, place.yaw_rad, body.camera_down_rad)

    def sensor(self) -> PlanePose:
        """Return where odometry says that the level frame of the camera is."""
        return moved(self.believed, self.body.camera_ahead_m, 0.0)


def moved(place: PlanePose, way_m: float, turn_rad: float) -> PlanePose:
    """Return the place after an arc."""
    middle = place.yaw_rad + 0.5 * turn_rad
    return PlanePose(
        x_m=place.x_m + way_m * math.cos(middle),
        y_m=place.y_m + way_m * math.sin(middle),
        yaw_rad=place.yaw_rad + turn_rad,
    )

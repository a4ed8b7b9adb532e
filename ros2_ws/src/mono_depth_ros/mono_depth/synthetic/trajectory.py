"""Camera paths through a scene: ground robot, drone, person with a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.movers import rotation_y, rotation_z
from mono_depth.synthetic.scene import Scene

TRAJECTORY_STYLES = ("robot", "drone", "handheld")
# optical axes (x right, y down, z forward) in a body frame (x forward, y left, z up), REP 103
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_GRAVITY_M_S2 = 9.81
_STEP_HZ = 30.0  # the motion is integrated at least this often


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Poses of the optical frame over time."""

    T_odom_camera: F64  # (n, 4, 4)
    stamps_ns: npt.NDArray[np.int64]  # (n,) from 0


@dataclass(frozen=True)
class _Style:
    speed_m_s: float
    acceleration_m_s2: float
    turn_rad_s: float
    radius_m: float  # distance kept from everything
    flies: bool


_STYLES = {
    "robot": _Style(0.6, 0.6, 0.9, 0.22, flies=False),
    "drone": _Style(1.6, 1.2, 0.8, 0.40, flies=True),
    "handheld": _Style(0.9, 0.8, 0.8, 0.30, flies=False),
}


def camera_pose(
    position_m: F64, yaw_rad: float, pitch_rad: float = 0.0, roll_rad: float = 0.0
) -> F64:
    """Return T_odom_camera of a camera that looks along yaw; positive pitch looks down.

    Args:
        position_m: (3,) in the odom frame.
        yaw_rad: heading, counter-clockwise from x.
        pitch_rad: rotation about the left axis, nose down.
        roll_rad: rotation about the forward axis, left side up.
    """
    c, s = np.cos(roll_rad), np.sin(roll_rad)
    roll = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    pose = np.eye(4)
    pose[:3, :3] = rotation_z(yaw_rad) @ rotation_y(pitch_rad) @ roll @ OPTICAL_IN_BODY
    pose[:3, 3] = position_m
    return pose


def make_trajectory(
    style: str, scene: Scene, rng: np.random.Generator, duration_s: float, rate_hz: float
) -> Trajectory:
    """Return a smooth path that keeps clear of everything in the scene.

    Args:
        style: one of TRAJECTORY_STYLES.
        scene: where to move.
        rng: decides everything.
        duration_s: length of the path.
        rate_hz: poses per second.

    Raises:
        ConfigError: unknown style, no time, or a scene without room to move.
    """
    if style not in _STYLES:
        raise ConfigError(f"trajectory '{style}' is not one of {', '.join(_STYLES)}")
    if not (duration_s > 0.0 and rate_hz > 0.0):
        raise ConfigError(f"duration {duration_s} s at {rate_hz} Hz, expected both above 0")
    count = max(1, round(duration_s * rate_hz))
    between = int(np.ceil(_STEP_HZ / rate_hz))
    walker = _Walker(_STYLES[style], scene, rng)
    rows = [walker.step(1.0 / (rate_hz * between)) for _ in range(count * between)]
    path = np.array(rows)[::between]  # x y z yaw pitch roll
    time_s = np.arange(count) / rate_hz
    path += _shake(style, rng, time_s)
    poses = np.stack([camera_pose(row[:3], row[3], row[4], row[5]) for row in path])
    return Trajectory(T_odom_camera=poses, stamps_ns=np.rint(time_s * 1e9).astype(np.int64))


def free_position(
    scene: Scene, rng: np.random.Generator, height_m: float, radius_m: float, *, flies: bool
) -> tuple[F64, float]:
    """Return a place for a camera and the heading with the longest free way.

    Raises:
        ConfigError: no place in the scene is that far from everything.
    """
    band = None if flies else (0.06, height_m + 0.15)
    spots = rng.uniform(scene.low_m, scene.high_m, (192, 3))
    spots[:, 2] = height_m
    clear = scene.clearance_m(spots, band)
    good = np.flatnonzero(clear > radius_m)
    if not len(good):
        raise ConfigError(
            f"no place in this {scene.kind} is {radius_m} m from everything; try another seed"
        )
    spot = spots[good[0]]
    angles = float(rng.uniform(0, 2 * np.pi)) + np.arange(16) * (np.pi / 8)
    ways = np.array([0.5, 1.0, 1.8, 3.0])
    offsets = np.stack([np.cos(angles), np.sin(angles), np.zeros(16)], axis=1)
    points = spot + offsets[:, None] * ways[None, :, None]
    gaps = scene.clearance_m(points.reshape(-1, 3), band).reshape(16, -1)
    free = np.minimum.accumulate(np.clip(gaps, -0.2, 1.0), axis=1).sum(axis=1)
    return spot, float(angles[np.argmax(free + rng.uniform(0.0, 0.5, 16))])


class _Walker:
    """A body that heads for random goals and turns away from obstacles."""

    def __init__(self, style: _Style, scene: Scene, rng: np.random.Generator) -> None:
        self._style, self._scene, self._rng = style, scene, rng
        self._flies = style.flies
        ceiling = float(scene.high_m[2]) - 0.5
        if style.flies:
            self._low_z, self._high_z = 0.5, float(np.clip(ceiling, 0.6, 8.0))
            height = float(rng.uniform(0.8, min(self._high_z, 3.0)))
        else:
            tall = style.radius_m > 0.25
            height = float(rng.uniform(1.2, 1.6) if tall else rng.uniform(0.1, 1.2))
        self._band = None if style.flies else (0.06, height + 0.15)
        self._radius = style.radius_m
        self._spot, self._yaw = self._start(height)
        self._speed = self._turn = self._climb = 0.0
        self._pitch = self._roll = 0.0
        self._stalled_s = self._spin_s = self._spin_rad_s = 0.0
        self._new_goal()

    def _start(self, height: float) -> tuple[F64, float]:
        for share in (2.5, 1.6, 1.2, 1.0, 0.75):
            try:
                return free_position(
                    self._scene, self._rng, height, share * self._radius, flies=self._flies
                )
            except ConfigError:
                continue
        self._radius *= 0.5
        return free_position(self._scene, self._rng, height, self._radius, flies=self._flies)

    def _new_goal(self) -> None:
        goals = self._rng.uniform(self._scene.low_m, self._scene.high_m, (8, 3))
        if self._flies:
            goals[:, 2] = self._rng.uniform(self._low_z, self._high_z, 8)
        far = np.hypot(*(goals - self._spot)[:, :2].T)
        self._goal = goals[int(np.argmax(far > 1.5))]
        self._patience_s = float(self._rng.uniform(4.0, 9.0))

    def step(self, dt_s: float) -> F64:
        """Move on and return x y z yaw pitch roll."""
        style = self._style
        self._patience_s -= dt_s
        way = self._goal - self._spot
        if self._patience_s < 0.0 or np.hypot(way[0], way[1]) < 0.7:
            self._new_goal()
        turn, room = self._choose_turn(way)
        if self._spin_s > 0.0:  # look for another way out
            self._spin_s -= dt_s
            turn, room = self._spin_rad_s, 0.0
        elif self._stalled_s > 0.5:
            self._stalled_s, self._spin_s = 0.0, float(self._rng.uniform(1.2, 2.6))
            self._spin_rad_s = float(self._rng.choice([-0.8, 0.8])) * style.turn_rad_s
        settle = min(1.0, dt_s / 0.35)
        self._turn += settle * (turn - self._turn)
        wish = style.speed_m_s * float(np.clip(room / 0.6, 0.0, 1.0))
        wish *= 1.0 - 0.6 * abs(self._turn) / style.turn_rad_s
        change = float(
            np.clip(
                wish - self._speed,
                -2.5 * style.acceleration_m_s2 * dt_s,
                style.acceleration_m_s2 * dt_s,
            )
        )
        self._speed += change
        slow = self._spin_s <= 0.0 and self._speed < 0.25 * style.speed_m_s
        self._stalled_s = self._stalled_s + dt_s if slow else 0.0
        self._yaw += self._turn * dt_s
        self._move(dt_s, float(way[2]) if self._flies else 0.0)
        if self._flies:
            ease = min(1.0, dt_s / 0.3)
            forward = change / dt_s / _GRAVITY_M_S2
            bank = -self._speed * self._turn / _GRAVITY_M_S2
            self._pitch += ease * (float(np.arctan(forward)) - self._pitch)
            self._roll += ease * (float(np.arctan(bank)) - self._roll)
        return np.array([*self._spot, self._yaw, self._pitch, self._roll])

    def _choose_turn(self, way: F64) -> tuple[float, float]:
        """Return the best turn rate and the room ahead beyond the radius."""
        turns = np.linspace(-1.0, 1.0, 9) * self._style.turn_rad_s
        times = np.array([0.4, 0.9, 1.6, 2.6])
        heading = self._yaw + 0.5 * turns[:, None] * times
        reach = times * max(self._style.speed_m_s, 0.5)
        points = np.empty((9, 4, 3))
        points[..., 0] = self._spot[0] + np.cos(heading) * reach
        points[..., 1] = self._spot[1] + np.sin(heading) * reach
        points[..., 2] = self._spot[2]
        gap = self._scene.clearance_m(points.reshape(-1, 3), self._band).reshape(9, 4)
        room = np.minimum.accumulate(np.clip(gap - self._radius, -0.3, 0.8), axis=1)
        bearing = np.arctan2(way[1], way[0]) - (self._yaw + turns * 1.0)
        score = room @ np.array([1.5, 1.0, 0.7, 0.4]) + 0.25 * np.cos(bearing)
        score -= 0.15 * np.abs(turns - self._turn)
        best = int(np.argmax(score))
        if room[best, 0] <= 0.0:  # stuck: turn on the spot, always the same way round
            return self._style.turn_rad_s, 0.0
        return float(turns[best]), float(max(room[best, :2].min(), 0.0))

    def _move(self, dt_s: float, climb_way: float) -> None:
        wish = float(np.clip(0.5 * climb_way, -0.6, 0.6)) if self._flies else 0.0
        self._climb += min(1.0, dt_s / 0.8) * (wish - self._climb)
        forward = np.array([np.cos(self._yaw), np.sin(self._yaw), 0.0]) * self._speed
        rise = np.array([0.0, 0.0, self._climb])
        tries = np.array([forward + rise, forward, rise, np.zeros(3)]) * dt_s + self._spot
        now = min(float(self._scene.clearance_m(self._spot[None], self._band)[0]), self._radius)
        gaps = self._scene.clearance_m(tries, self._band)
        chosen = int(np.argmax(gaps >= now - 1e-9))  # standing still always passes
        if chosen >= 2:
            self._speed = 0.0
        if chosen in (1, 3):
            self._climb = 0.0
        self._spot = tries[chosen]


def _shake(style: str, rng: np.random.Generator, time_s: F64) -> F64:
    """Return what mounting, gait and hands add to x y z yaw pitch roll."""
    add = np.zeros((len(time_s), 6))
    tilt = float(rng.normal(0.0, 0.06))
    if style == "robot":
        add[:, 4] = tilt + _wander(rng, time_s, 0.006, 2.5)
        add[:, 5] = float(rng.normal(0.0, 0.015)) + _wander(rng, time_s, 0.005, 2.0)
        add[:, 2] = _wander(rng, time_s, 0.002, 3.0)
    elif style == "drone":
        add[:, 4] = abs(tilt) + 0.05 + _wander(rng, time_s, 0.015, 0.8)
        add[:, 5] = _wander(rng, time_s, 0.015, 0.8)
        add[:, :3] = _wander(rng, time_s, 0.02, 0.5)[:, None] * rng.normal(0, 1, 3)
    else:
        step = 2.0 * np.pi * float(rng.uniform(1.6, 2.0)) * time_s
        add[:, 2] = 0.02 * np.sin(step) + _wander(rng, time_s, 0.02, 0.3)
        add[:, 0] = _wander(rng, time_s, 0.02, 0.9)
        add[:, 1] = _wander(rng, time_s, 0.02, 0.9)
        add[:, 3] = _wander(rng, time_s, 0.2, 0.15) + _wander(rng, time_s, 0.012, 1.5)
        add[:, 4] = 0.12 + tilt + _wander(rng, time_s, 0.12, 0.2) + 0.008 * np.sin(step)
        add[:, 5] = _wander(rng, time_s, 0.05, 0.3) + 0.012 * np.sin(0.5 * step)
    return add


def _wander(rng: np.random.Generator, time_s: F64, size: float, rate_hz: float) -> F64:
    """Return smooth noise: three waves near a rate."""
    total = np.zeros(len(time_s))
    for _ in range(3):
        rate = rate_hz * float(rng.uniform(0.5, 1.5))
        total += np.sin(2.0 * np.pi * (rate * time_s + float(rng.uniform())))
    return np.asarray(size / 3.0 * total)

"""A body that finds its way through a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.scene import Scene

_GRAVITY_M_S2 = 9.81


@dataclass(frozen=True)
class Gait:
    """How a body moves."""

    speed_m_s: float
    acceleration_m_s2: float
    turn_rad_s: float
    radius_m: float  # distance kept from everything
    flies: bool


def free_position(
    scene: Scene,
    rng: np.random.Generator,
    height_m: float,
    radius_m: float,
    *,
    flies: bool,
    choices: int = 1,
) -> tuple[F64, float]:
    """Return a place for a camera and the heading with the longest free way.

    Args:
        scene: where.
        rng: decides.
        height_m: of the camera.
        radius_m: distance to keep from everything.
        flies: keep it in space, not only along the floor.
        choices: take the most open of so many places.

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
    good = good[:choices]
    angles = float(rng.uniform(0, 2 * np.pi)) + np.arange(16) * (np.pi / 8)
    ways = np.array([0.5, 1.0, 1.8, 3.0])
    offsets = np.stack([np.cos(angles), np.sin(angles), np.zeros(16)], axis=1)
    points = spots[good, None, None] + offsets[:, None] * ways[None, :, None]
    gaps = scene.clearance_m(points.reshape(-1, 3), band).reshape(len(good), 16, -1)
    free = np.minimum.accumulate(np.clip(gaps, -0.2, 1.0), axis=2).sum(axis=2)
    free += rng.uniform(0.0, 0.5, free.shape)
    place, way = np.unravel_index(int(np.argmax(free)), free.shape)
    return spots[good[place]], float(angles[way])


class Walker:
    """A body that heads for random goals and turns away from obstacles."""

    def __init__(self, style: Gait, scene: Scene, rng: np.random.Generator) -> None:
        self._style, self._scene, self._rng = style, scene, rng
        self._flies = style.flies
        ceiling = float(scene.high_m[2]) - 0.5
        if style.flies:
            self._low_z, self._high_z = 0.7, float(np.clip(ceiling, 0.6, 8.0))
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
        for share in (1.6, 1.2, 1.0, 0.75):
            try:
                return self._open_place(height, share * self._radius)
            except ConfigError:
                continue
        self._radius *= 0.5
        return self._open_place(height, self._radius)

    def _open_place(self, height: float, radius_m: float) -> tuple[F64, float]:
        return free_position(
            self._scene, self._rng, height, radius_m, flies=self._flies, choices=12
        )

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
        wish = style.speed_m_s * float(np.clip(room / 0.45, 0.0, 1.0))
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
        reach = times * max(self._style.speed_m_s, 0.6)
        points = np.empty((9, 4, 3))
        points[..., 0] = self._spot[0] + np.cos(heading) * reach
        points[..., 1] = self._spot[1] + np.sin(heading) * reach
        points[..., 2] = self._spot[2]
        band = self._band
        if band is None:  # what is at the height of flight; the floor is no reason to turn
            band = (float(self._spot[2]) - self._radius, float(self._spot[2]) + self._radius)
        gap = self._scene.clearance_m(points.reshape(-1, 3), band).reshape(9, 4)
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

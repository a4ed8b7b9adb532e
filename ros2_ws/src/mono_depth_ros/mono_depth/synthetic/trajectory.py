"""Camera paths through a scene: ground robot, drone, person with a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.movers import rotation_y, rotation_z
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.walker import Gait, Walker

TRAJECTORY_STYLES = ("robot", "drone", "handheld")
# optical axes (x right, y down, z forward) in a body frame (x forward, y left, z up), REP 103
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_STEP_HZ = 30.0  # the motion is integrated at least this often


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Poses of the optical frame over time."""

    T_odom_camera: F64  # (n, 4, 4)
    stamps_ns: npt.NDArray[np.int64]  # (n,) from 0


_GAITS = {
    "robot": Gait(0.6, 0.6, 0.9, 0.22, flies=False),
    "drone": Gait(1.6, 1.2, 0.8, 0.40, flies=True),
    "handheld": Gait(0.9, 0.8, 0.8, 0.30, flies=False),
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
    if style not in _GAITS:
        raise ConfigError(f"trajectory '{style}' is not one of {', '.join(_GAITS)}")
    if not (duration_s > 0.0 and rate_hz > 0.0):
        raise ConfigError(f"duration {duration_s} s at {rate_hz} Hz, expected both above 0")
    count = max(1, round(duration_s * rate_hz))
    between = int(np.ceil(_STEP_HZ / rate_hz))
    walker = Walker(_GAITS[style], scene, rng)
    rows = [walker.step(1.0 / (rate_hz * between)) for _ in range(count * between)]
    path = np.array(rows)[::between]  # x y z yaw pitch roll
    time_s = np.arange(count) / rate_hz
    path += _shake(style, rng, time_s)
    poses = np.stack([camera_pose(row[:3], row[3], row[4], row[5]) for row in path])
    return Trajectory(T_odom_camera=poses, stamps_ns=np.rint(time_s * 1e9).astype(np.int64))


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

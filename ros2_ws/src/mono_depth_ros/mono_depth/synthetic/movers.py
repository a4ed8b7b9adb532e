"""Things that move: people and vehicles, with their pose as a function of time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.solids import Solids


def rotation_z(angle_rad: float) -> F64:
    """Return the rotation about z."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def rotation_y(angle_rad: float) -> F64:
    """Return the rotation about y."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


@dataclass(frozen=True, kw_only=True)
class Mover:
    """A body that goes to and fro between two points of the floor."""

    body: Solids  # in its own frame: x forward, z up from the floor
    swing_rad: F64  # (n,) how far each solid swings about its pivot as the body walks
    pivot_z_m: F64  # (n,) height of the pivot
    start_m: tuple[float, float]
    end_m: tuple[float, float]
    speed_m_s: float
    phase_m: float = 0.0  # way already gone at time 0
    stride_m: float = 1.4

    def pose(self, time_s: float) -> tuple[F64, float]:
        """Return position on the floor (2,) and yaw in radians."""
        start, end = np.array(self.start_m), np.array(self.end_m)
        way = end - start
        length = float(np.hypot(*way))
        yaw = float(np.arctan2(way[1], way[0]))
        if length < 1e-6:
            return start, yaw
        gone = (self.phase_m + self.speed_m_s * time_s) % (2.0 * length)
        if gone > length:
            return end - way * (gone / length - 1.0), yaw + np.pi
        return start + way * (gone / length), yaw

    def at(self, time_s: float) -> Solids:
        """Return the solids in the odom frame."""
        position, yaw = self.pose(time_s)
        turn = rotation_z(yaw)
        phase = 2.0 * np.pi * (self.phase_m + self.speed_m_s * time_s) / self.stride_m
        center, rotation = self.body.center_m.copy(), self.body.rotation.copy()
        for i in np.flatnonzero(self.swing_rad):
            swing = rotation_y(self.swing_rad[i] * np.sin(phase))
            pivot = np.array([0.0, center[i, 1], self.pivot_z_m[i]])
            center[i] = swing @ (center[i] - pivot) + pivot
            rotation[i] = swing @ rotation[i]
        return replace(
            self.body,
            center_m=center @ turn.T + np.array([position[0], position[1], 0.0]),
            rotation=turn @ rotation,
        )

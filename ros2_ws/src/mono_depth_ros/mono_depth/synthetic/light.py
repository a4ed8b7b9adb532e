"""Light of a scene: one key light with a shadow map, fill lamps, sky light, contact shadows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mono_depth.synthetic.arrays import F32, F64
from mono_depth.synthetic.solids import Shape, Solids
from mono_depth.synthetic.visibility import RayGrid, draw

Rgb = tuple[float, float, float]
Triple = tuple[F32, F32, F32]


@dataclass(frozen=True, kw_only=True)
class KeyLight:
    """The light that casts shadows: the sun, or a lamp that shines into a half space."""

    position_m: tuple[float, float, float]
    axis: tuple[float, float, float]  # direction it shines in
    rgb: Rgb  # irradiance, of the sun; of a lamp at 1 m
    sun: bool


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """A fill light without shadow."""

    position_m: tuple[float, float, float]
    rgb: Rgb  # irradiance at 1 m


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """All light of a scene."""

    key: KeyLight
    lamps: tuple[Lamp, ...] = ()
    sky_rgb: Rgb = (0.4, 0.4, 0.4)  # ambient light on surfaces that look up
    ground_rgb: Rgb = (0.2, 0.2, 0.2)  # ambient light on surfaces that look down
    haze_per_m: float = 0.0
    haze_rgb: Rgb = (0.7, 0.75, 0.8)


_FINE_MAP = 512  # pixels; a coarser map is soft enough with half of the taps
# taps of the shadow lookup in pixels of the map
_PENUMBRA = tuple(
    (np.float32(x), np.float32(y)) for x, y in ((1.6, 0.5), (-0.5, 1.6), (-1.6, -0.5), (0.5, -1.6))
)


class ShadowMap:
    """Depth image seen from the key light, finer towards its axis for lamps."""

    def __init__(self, key: KeyLight, solids: Solids, size: int, radius_m: float) -> None:
        """Draw the map.

        Args:
            key: the light.
            solids: what casts shadows.
            size: width and height of the map in pixels.
            radius_m: half width of what the sun lights.
        """
        self._sun = key.sun
        self._size = size
        axis = np.array(key.axis) / np.linalg.norm(key.axis)
        side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        self._pose = np.eye(4)
        self._pose[:3, :3] = np.stack([side, np.cross(axis, side), axis], axis=1)
        self._distance_m = 40.0 * radius_m  # far enough to be parallel light
        position = np.array(key.position_m)
        self._pose[:3, 3] = position - axis * self._distance_m if key.sun else position
        steps = ((np.arange(size) + 0.5) / size * 2.0 - 1.0).astype(np.float32)
        self._texel_m = 2.0 * radius_m / size
        self._half = float(radius_m / self._distance_m) if key.sun else 0.95
        steps *= self._half
        slopes = np.asarray(steps if key.sun else steps / (1.0 - np.abs(steps)), np.float32)
        self._grid = RayGrid.pinhole(slopes, slopes)
        casters = solids[solids.shape != Shape.ROOM]
        self.depth_m = draw(casters, self._pose, self._grid).depth_m

    def with_movers(self, movers: Solids) -> F32:
        """Return the map with solids added that are not in the table of the scene."""
        if len(movers) == 0:
            return self.depth_m
        seen = draw(movers, self._pose, self._grid)
        return np.minimum(self.depth_m, seen.depth_m)

    def lit(self, depth_m: F32, point: Triple, normal: Triple) -> F32:
        """Return the share of light, 0..1, that reaches the points (odom frame)."""
        bias = np.float32(1.2 * self._texel_m if self._sun else 0.012)
        to_light = [point[i] + bias * normal[i] for i in range(3)]
        rotation, position = self._pose[:3, :3], self._pose[:3, 3]
        row = rotation.T.astype(np.float32)
        start = (-rotation.T @ position).astype(np.float32)
        x, y, z = (
            row[i, 0] * to_light[0] + row[i, 1] * to_light[1] + row[i, 2] * to_light[2] + start[i]
            for i in range(3)
        )
        z = np.maximum(z, np.float32(1e-3))
        sx, sy = x / z, y / z
        if not self._sun:
            sx, sy = sx / (1.0 + np.abs(sx)), sy / (1.0 + np.abs(sy))
        scale = 0.5 * self._size / self._half
        last = self._size - 4.0  # room for the taps around
        column = np.clip(sx * scale + (0.5 * self._size - 0.5), 2.0, last)
        line = np.clip(sy * scale + (0.5 * self._size - 0.5), 2.0, last)
        slack = np.float32(0.6 * self._texel_m) if self._sun else np.float32(0.015) * z
        limit = z - slack
        if self._sun:
            return _filtered_compare(depth_m, column, line, limit)
        # a lamp is not a point: its shadows have soft edges
        taps = _PENUMBRA if self._size >= _FINE_MAP else _PENUMBRA[::2]
        total = np.zeros_like(limit)
        for dx, dy in taps:
            total += _filtered_compare(depth_m, column + dx, line + dy, limit)
        return np.asarray(total * np.float32(1.0 / len(taps)))


def _filtered_compare(depth_m: F32, column: F32, line: F32, z: F32) -> F32:
    """Return the bilinear mean of `depth >= z` over the four nearest pixels."""
    left, top = column.astype(np.int32), line.astype(np.int32)
    fx, fy = column - left, line - top
    index = top * depth_m.shape[1] + left
    flat = depth_m.reshape(-1)
    a, b = flat.take(index) >= z, flat.take(index + 1) >= z
    index += depth_m.shape[1]
    c, d = flat.take(index) >= z, flat.take(index + 1) >= z
    upper = a + fx * (b.astype(np.float32) - a)
    lower = c + fx * (d.astype(np.float32) - c)
    return np.asarray(upper + fy * (lower - upper))


class ContactMap:
    """Darkness near the feet of things, from an image of the floor plan."""

    def __init__(self, solids: Solids, low_m: F64, high_m: F64, size: int) -> None:
        corners = solids.corners_m()
        bottom, top = corners[..., 2].min(axis=1), corners[..., 2].max(axis=1)
        standing = solids[(bottom < 0.25) & (top > 0.04) & (solids.shape != Shape.ROOM)]
        span = float(max(high_m[0] - low_m[0], high_m[1] - low_m[1])) + 1.0
        center = 0.5 * (low_m + high_m)
        height = 30.0 * span
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[:3, 3] = [center[0], center[1], height]
        slopes = (((np.arange(size) + 0.5) / size - 0.5) * span / height).astype(np.float32)
        taken = np.isfinite(draw(standing, pose, RayGrid.pinhole(slopes, slopes)).depth_m)
        per_m = size / span
        mask = taken.astype(np.float32)
        near = cv2.GaussianBlur(mask, (0, 0), max(0.06 * per_m, 0.6))
        wide = cv2.GaussianBlur(mask, (0, 0), max(0.3 * per_m, 0.8))
        self._image = np.minimum(0.5 * near + 0.5 * wide, 0.8)
        self._per_m = per_m
        self._shift = (size / 2 - 0.5 - center[0] * per_m, size / 2 - 0.5 + center[1] * per_m)

    def openness(self, point: Triple) -> F32:
        """Return the share of sky light that is left at the points, 0..1."""
        column = point[0] * np.float32(self._per_m) + np.float32(self._shift[0])
        line = point[1] * np.float32(-self._per_m) + np.float32(self._shift[1])
        dark = cv2.remap(self._image, column[None], line[None], cv2.INTER_LINEAR)[0]
        height = np.maximum(point[2], 0.0)
        return np.asarray(1.0 - dark * np.exp(height * np.float32(-4.0)))

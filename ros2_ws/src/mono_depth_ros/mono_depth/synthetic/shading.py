"""Light that comes back along rays: surfaces under lamps and sun, and the sky."""

from __future__ import annotations

import numpy as np

from mono_depth.synthetic.arrays import F32, F64, I32
from mono_depth.synthetic.light import Triple
from mono_depth.synthetic.noise import Tile, look_up
from mono_depth.synthetic.scene import Scene, Sky
from mono_depth.synthetic.solids import Solids
from mono_depth.synthetic.surfaces import SurfaceTable

_CHUNK = 16384  # samples shaded at once: what fits the cache


class Shader:
    """Light that comes back along rays."""

    def __init__(
        self, scene: Scene, table: SurfaceTable, movers: Solids, T_odom_camera: F64, pixel: float
    ) -> None:
        self._scene = scene
        self._table = table
        self._light = scene.lighting
        self._shadow_depth = scene.shadows.with_movers(movers)
        self._axes = T_odom_camera[:3, :3].astype(np.float32)
        self._position = T_odom_camera[:3, 3].astype(np.float32)
        self._pixel = pixel

    def shade(self, solid: I32, depth_m: F32, x: F32, y: F32) -> tuple[F32, I32]:
        """Return (n, 3) linear colour and (n,) key of the face that is seen."""
        rgb = np.empty((len(solid), 3), np.float32)
        face = np.full(len(solid), -1, np.int32)
        for start in range(0, len(solid), _CHUNK):
            part = slice(start, start + _CHUNK)
            s, t, u, v = solid[part], depth_m[part], x[part], y[part]
            hit = s >= 0
            if hit.all():
                rgb[part], face[part] = self._surface(s, t, u, v)
                continue
            there, sky = np.flatnonzero(hit), np.flatnonzero(~hit)
            if len(there):
                color, key = self._surface(s[there], t[there], u[there], v[there])
                rgb[start + there], face[start + there] = color, key
            rgb[start + sky] = self._sky(u[sky], v[sky])
        return rgb, face

    def _directions(self, x: F32, y: F32) -> list[F32]:
        a = self._axes
        return [a[i, 0] * x + a[i, 1] * y + a[i, 2] for i in range(3)]

    def _surface(self, solid: I32, depth_m: F32, x: F32, y: F32) -> tuple[F32, I32]:
        light, scene = self._light, self._scene
        surface = self._table.evaluate(solid, depth_m, x, y, self._pixel)
        d = self._directions(x, y)
        point = (
            d[0] * depth_m + self._position[0],
            d[1] * depth_m + self._position[1],
            d[2] * depth_m + self._position[2],
        )
        n = surface.normal
        up = 0.5 + 0.5 * n[2]
        open_ = scene.contact.openness(point)
        open_ *= 1.0 - 0.45 * np.exp(surface.corner_m * np.float32(-4.0))
        key, to_light = self._key_light(point, n)
        shine = self._shine(d, to_light, n) * surface.gloss * key
        fill = self._lamps(point, n)
        rgb = np.empty((len(solid), 3), np.float32)
        haze = np.exp(depth_m * np.float32(-light.haze_per_m)) if light.haze_per_m else None
        for i in range(3):
            ambient = light.ground_rgb[i] + up * (light.sky_rgb[i] - light.ground_rgb[i])
            total = ambient * open_ + key * light.key.rgb[i]
            if fill is not None:
                total += fill[i] * open_
            color = surface.albedo[i] * (total + surface.glow) + shine * light.key.rgb[i]
            if haze is not None:
                color = light.haze_rgb[i] + haze * (color - light.haze_rgb[i])
            rgb[:, i] = color
        return rgb, surface.face_key

    def _key_light(self, point: Triple, n: Triple) -> tuple[F32, list[F32]]:
        key = self._light.key
        axis = np.array(key.axis) / np.linalg.norm(key.axis)
        if key.sun:
            to_light = [np.full_like(point[0], -a) for a in axis]
            strength = to_light[0] * n[0] + to_light[1] * n[1] + to_light[2] * n[2]
            return np.maximum(strength, 0.0) * self._scene.shadows.lit(
                self._shadow_depth, point, n
            ), to_light
        to_light = [np.float32(key.position_m[i]) - point[i] for i in range(3)]
        square = to_light[0] ** 2 + to_light[1] ** 2 + to_light[2] ** 2 + np.float32(0.05)
        inverse = 1.0 / np.sqrt(square)
        to_light = [v * inverse for v in to_light]
        strength = to_light[0] * n[0] + to_light[1] * n[1] + to_light[2] * n[2]
        forward = -sum(np.float32(axis[i]) * to_light[i] for i in range(3))
        cone = np.clip(forward * 4.0 + 0.3, 0.0, 1.0)
        lit = self._scene.shadows.lit(self._shadow_depth, point, n)
        return np.maximum(strength, 0.0) * lit * cone / square, to_light

    def _shine(self, d: list[F32], to_light: list[F32], n: Triple) -> F32:
        length = np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
        half = [to_light[i] - d[i] / length for i in range(3)]
        size = np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2) + np.float32(1e-6)
        c = np.maximum((half[0] * n[0] + half[1] * n[1] + half[2] * n[2]) / size, 0.0)
        for _ in range(5):
            c = c * c
        return np.asarray(c)

    def _lamps(self, point: Triple, n: Triple) -> list[F32] | None:
        if not self._light.lamps:
            return None
        total = [np.zeros_like(point[0]) for _ in range(3)]
        for lamp in self._light.lamps:
            to = [np.float32(lamp.position_m[i]) - point[i] for i in range(3)]
            square = to[0] ** 2 + to[1] ** 2 + to[2] ** 2 + np.float32(0.2)
            facing = (to[0] * n[0] + to[1] * n[1] + to[2] * n[2]) / np.sqrt(square)
            wrapped = np.maximum(0.3 + 0.7 * facing, 0.0) / square
            for i in range(3):
                total[i] += wrapped * np.float32(lamp.rgb[i])
        return total

    def _sky(self, x: F32, y: F32) -> F32:
        sky = self._scene.sky or _DARK
        d = self._directions(x, y)
        up = d[2] / np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
        high = np.sqrt(np.clip(up, 0.0, 1.0))
        far = np.asarray(1.0 / np.maximum(d[2], np.float32(0.05)), np.float32)
        scale = np.asarray(far * np.float32(0.06), np.float32)
        u, v = d[0] * scale, d[1] * scale
        kind = np.full_like(x, float(Tile.FRACTAL))
        flat = scale * np.float32(self._pixel)
        cloud = look_up(kind, u, v, flat) + 0.5 * look_up(kind, 3 * u, 3 * v, 3 * flat)
        share = np.clip(0.6 * cloud + 2.4 * sky.cloudiness - 0.9, 0.0, 1.0)
        rgb = np.empty((len(x), 3), np.float32)
        for i in range(3):
            clear = sky.horizon_rgb[i] + high * (sky.zenith_rgb[i] - sky.horizon_rgb[i])
            rgb[:, i] = clear + share * (sky.cloud_rgb[i] * (1.0 - 0.12 * cloud) - clear)
        return rgb


_DARK = Sky(zenith_rgb=(0, 0, 0), horizon_rgb=(0, 0, 0), cloud_rgb=(0, 0, 0), cloudiness=0.0)

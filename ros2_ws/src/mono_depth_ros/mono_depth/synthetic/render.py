"""Pictures of a scene with exact depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F32, F64, I32, Bool, Rows
from mono_depth.synthetic.noise import Tile, look_up
from mono_depth.synthetic.scene import Scene, Sky
from mono_depth.synthetic.solids import Solids, unit_maps
from mono_depth.synthetic.surfaces import SurfaceTable
from mono_depth.synthetic.visibility import Grid, draw, draw_rays

_CHUNK = 16384  # samples shaded at once: what fits the cache
# where the further samples of an edge pixel lie: a rotated square, then its diagonal twin
_SUBPIXELS = (
    (0.375, 0.125),
    (-0.125, 0.375),
    (-0.375, -0.125),
    (0.125, -0.375),
    (0.3, 0.3),
    (-0.3, 0.3),
    (-0.3, -0.3),
    (0.3, -0.3),
)


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A picture before any effect of lens or sensor."""

    rgb_linear: F32  # (H, W, 3) radiance, 1 = white paper in full light
    depth_m: F32  # (H, W) along z through the pixel centre, NaN = sky
    instance: I32  # (H, W) row of the scene's solids followed by its movers' solids, -1 = sky
    mover_mask: Bool  # (H, W) the pixel centre lies on something that moves


def render(
    scene: Scene,
    intrinsics: Intrinsics,
    T_odom_camera: F64,
    time_s: float = 0.0,
    samples_per_pixel: int = 4,
    distortion: F64 | None = None,
) -> Rendered:
    """Render what a camera sees.

    Textures are filtered to the pixel analytically, so one sample at the pixel centre is
    enough inside a face; pixels at edges get more.

    Args:
        scene: the world.
        intrinsics: the camera.
        T_odom_camera: (4, 4) pose of the optical frame.
        time_s: decides where the movers are.
        samples_per_pixel: samples in pixels at edges, 1 to 9; 1 = no anti-aliasing.
        distortion: plumb_bob coefficients k1 k2 p1 p2 k3 of the lens, None = rectified image.

    Raises:
        ConfigError: samples_per_pixel is out of range.
    """
    if not 1 <= samples_per_pixel <= 1 + len(_SUBPIXELS):
        raise ConfigError(f"samples_per_pixel is {samples_per_pixel}, expected 1 to 9")
    movers = scene.movers_at(time_s)
    solids = Solids.joined(scene.solids, movers) if len(movers) else scene.solids
    maps = unit_maps(solids, T_odom_camera)
    grid = ray_grid(intrinsics, distortion)
    seen = draw(solids, T_odom_camera, grid, maps)
    table = SurfaceTable(solids, maps, scene.materials)
    table.look_from(T_odom_camera)
    shader = _Shader(scene, table, movers, T_odom_camera, 1.0 / intrinsics.fx)

    height, width = grid.shape
    x = np.ascontiguousarray(np.broadcast_to(grid.x, grid.shape)).reshape(-1)
    y = np.ascontiguousarray(np.broadcast_to(grid.y, grid.shape)).reshape(-1)
    rgb, face = shader.shade(seen.solid.reshape(-1), seen.depth_m.reshape(-1), x, y)
    if samples_per_pixel > 1:
        edges = np.flatnonzero(_edges(face.reshape(height, width)))
        if len(edges):
            rays = _extra_rays(intrinsics, distortion, edges, width, samples_per_pixel - 1)
            more = draw_rays(solids, maps, *rays)
            extra, _ = shader.shade(more.solid, more.depth_m, *rays)
            total = extra.reshape(samples_per_pixel - 1, len(edges), 3).sum(axis=0)
            rgb[edges] = (rgb[edges] + total) / np.float32(samples_per_pixel)
    depth = seen.depth_m
    depth[seen.solid < 0] = np.nan
    mover = np.append(solids.mover, -1) >= 0
    return Rendered(
        rgb_linear=rgb.reshape(height, width, 3),
        depth_m=depth,
        instance=seen.solid,
        mover_mask=mover[seen.solid],
    )


def ray_grid(intrinsics: Intrinsics, distortion: F64 | None = None) -> Grid:
    """Return the rays through the pixel centres."""
    columns, rows = np.arange(intrinsics.width), np.arange(intrinsics.height)
    if distortion is None or not np.any(distortion):
        x = (columns - intrinsics.cx) / intrinsics.fx
        y = (rows - intrinsics.cy) / intrinsics.fy
        return Grid.pinhole(x.astype(np.float32), y.astype(np.float32))
    u, v = np.meshgrid(columns.astype(np.float64), rows.astype(np.float64))
    x, y = undistorted(intrinsics, distortion, u.reshape(-1), v.reshape(-1))
    return Grid.distorted(x.reshape(u.shape), y.reshape(u.shape))


def undistorted(intrinsics: Intrinsics, distortion: F64, u: F64, v: F64) -> tuple[F32, F32]:
    """Return the slopes x/z, y/z of the rays that a lens brings to pixels (u, v)."""
    pixels = np.stack([u, v], axis=1)[:, None]
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
    lens = np.asarray(distortion, np.float64)
    same = np.eye(3)
    rays = cv2.undistortPointsIter(pixels, intrinsics.matrix(), lens, same, same, criteria)[:, 0]
    return rays[:, 0].astype(np.float32), rays[:, 1].astype(np.float32)


def _edges(face: I32) -> Bool:
    """Return the pixels that have a neighbour on another face."""
    edge = np.zeros(face.shape, bool)
    change = face[:, 1:] != face[:, :-1]
    edge[:, 1:] |= change
    edge[:, :-1] |= change
    change = face[1:] != face[:-1]
    edge[1:] |= change
    edge[:-1] |= change
    return edge


def _extra_rays(
    intrinsics: Intrinsics, distortion: F64 | None, pixels: Rows, width: int, count: int
) -> tuple[F32, F32]:
    steps = np.array(_SUBPIXELS[:count])
    u = ((pixels % width)[None] + steps[:, :1]).reshape(-1)
    v = ((pixels // width)[None] + steps[:, 1:]).reshape(-1)
    if distortion is not None and np.any(distortion):
        return undistorted(intrinsics, distortion, u, v)
    x, y = (u - intrinsics.cx) / intrinsics.fx, (v - intrinsics.cy) / intrinsics.fy
    return x.astype(np.float32), y.astype(np.float32)


class _Shader:
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

    def _key_light(
        self, point: tuple[F32, F32, F32], n: tuple[F32, F32, F32]
    ) -> tuple[F32, list[F32]]:
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

    def _shine(self, d: list[F32], to_light: list[F32], n: tuple[F32, F32, F32]) -> F32:
        length = np.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
        half = [to_light[i] - d[i] / length for i in range(3)]
        size = np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2) + np.float32(1e-6)
        c = np.maximum((half[0] * n[0] + half[1] * n[1] + half[2] * n[2]) / size, 0.0)
        for _ in range(5):
            c = c * c
        return np.asarray(c)

    def _lamps(self, point: tuple[F32, F32, F32], n: tuple[F32, F32, F32]) -> list[F32] | None:
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

"""Images of a scene with exact depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError
from mono_depth.synthetic.arrays import F32, F64, I32, Bool, Rows
from mono_depth.synthetic.glass import GlassWorld, Samples, add_glass
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.shading import Shader
from mono_depth.synthetic.solids import Solids, UnitMaps, unit_maps
from mono_depth.synthetic.surfaces import SurfaceTable
from mono_depth.synthetic.visibility import RayGrid, draw, draw_rays, rectangles

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
_GLASSY = 0.75  # gloss above it is that of glass, screens and car paint


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """An image before any effect of lens or sensor."""

    rgb_linear: F32  # (H, W, 3) radiance, 1 = white paper in full light
    depth_m: F32  # (H, W) along z through the pixel centre, NaN = sky
    instance: I32  # (H, W) row of the scene's solids followed by its movers' solids, -1 = sky
    mover_mask: Bool  # (H, W) the pixel centre lies on something that moves
    glassy: Bool  # (H, W) it lies on glass or polish, where depth sensors see nothing


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
    table = SurfaceTable(solids, maps, scene.materials, T_odom_camera)
    shader = Shader(scene, table, movers, T_odom_camera, 1.0 / intrinsics.fx)

    height, width = grid.shape
    x = np.ascontiguousarray(np.broadcast_to(grid.x, grid.shape)).reshape(-1)
    y = np.ascontiguousarray(np.broadcast_to(grid.y, grid.shape)).reshape(-1)
    rgb, face = shader.shade(seen.solid.reshape(-1), seen.depth_m.reshape(-1), x, y)
    glassy = table.gloss_of(face).reshape(height, width) > _GLASSY
    if samples_per_pixel > 1:
        edge = _edges(face.reshape(height, width))
        _mark_thin(edge, maps, grid)
        edges = np.flatnonzero(edge)
        if len(edges):
            rays = _extra_rays(intrinsics, distortion, edges, width, samples_per_pixel - 1)
            more = draw_rays(solids, maps, *rays)
            extra, _ = shader.shade(more.solid, more.depth_m, *rays)
            total = extra.reshape(samples_per_pixel - 1, len(edges), 3).sum(axis=0)
            rgb[edges] = (rgb[edges] + total) / np.float32(samples_per_pixel)
    world = GlassWorld(scene, solids, movers, table, T_odom_camera, 1.0 / intrinsics.fx)
    hits = Samples(seen.solid.reshape(-1), seen.depth_m.reshape(-1), face, x, y)
    add_glass(rgb, world, hits)
    depth = seen.depth_m
    depth[seen.solid < 0] = np.nan
    mover = np.append(solids.mover, -1) >= 0
    return Rendered(
        rgb_linear=rgb.reshape(height, width, 3),
        depth_m=depth,
        instance=seen.solid,
        mover_mask=mover[seen.solid],
        glassy=glassy,
    )


def exact_depth(
    scene: Scene, intrinsics: Intrinsics, T_odom_camera: F64, time_s: float = 0.0
) -> F32:
    """Return (H, W) depth along z through the pixel centres, NaN = sky: `render` without light."""
    movers = scene.movers_at(time_s)
    solids = Solids.joined(scene.solids, movers) if len(movers) else scene.solids
    seen = draw(solids, T_odom_camera, ray_grid(intrinsics))
    seen.depth_m[seen.solid < 0] = np.nan
    return seen.depth_m


def ray_grid(intrinsics: Intrinsics, distortion: F64 | None = None) -> RayGrid:
    """Return the rays through the pixel centres."""
    columns, rows = np.arange(intrinsics.width), np.arange(intrinsics.height)
    if distortion is None or not np.any(distortion):
        x = (columns - intrinsics.cx) / intrinsics.fx
        y = (rows - intrinsics.cy) / intrinsics.fy
        return RayGrid.pinhole(x.astype(np.float32), y.astype(np.float32))
    u, v = np.meshgrid(columns.astype(np.float64), rows.astype(np.float64))
    x, y = undistorted(intrinsics, distortion, u.reshape(-1), v.reshape(-1))
    return RayGrid.distorted(x.reshape(u.shape), y.reshape(u.shape))


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


def _mark_thin(edge: Bool, maps: UnitMaps, grid: RayGrid) -> None:
    """Mark pixels where a solid may pass between pixel centres, such as a far pole."""
    x0, x1, y0, y1 = rectangles(maps, grid)
    ahead = maps.rects[:, 0] <= maps.rects[:, 2]
    thin = ahead & (np.minimum(x1 - x0, y1 - y0) <= 2) & (np.maximum(x1 - x0, y1 - y0) > 3)
    for i in np.flatnonzero(thin).tolist():
        edge[max(y0[i] - 1, 0) : y1[i] + 1, max(x0[i] - 1, 0) : x1[i] + 1] = True


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

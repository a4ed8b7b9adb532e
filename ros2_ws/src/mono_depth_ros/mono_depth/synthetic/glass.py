"""What mirrors show and what is seen through glass. The depth stays that of the surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.synthetic.arrays import F32, F64, I32, Bool, Rows
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.shading import Shader
from mono_depth.synthetic.solids import Shape, Solids, unit_maps
from mono_depth.synthetic.surfaces import SurfaceTable
from mono_depth.synthetic.visibility import draw_rays

_MOST_FACES = 5  # mirrors that are followed in one image, the largest
_FEWEST_PIXELS = 6
_BEHIND_M = 1e-3
_TINT = (0.93, 0.97, 0.95)  # of clear glass


@dataclass(frozen=True)
class Samples:
    """What the rays of an image have hit."""

    solid: I32  # (n,)
    depth_m: F32  # (n,)
    face: I32  # (n,) key of the face, -1 = sky
    x: F32  # (n,) ray slopes
    y: F32  # (n,)

    def __getitem__(self, rows: Rows) -> Samples:
        return Samples(
            self.solid[rows], self.depth_m[rows], self.face[rows], self.x[rows], self.y[rows]
        )


@dataclass(frozen=True)
class GlassWorld:
    """A scene at one moment, and the camera that looks at it."""

    scene: Scene
    solids: Solids
    movers: Solids
    table: SurfaceTable
    T_odom_camera: F64
    pixel: float  # width of a pixel at depth 1

    def seen_from(self, pose: F64, rows: Bool, x: F32, y: F32) -> F32:
        """Return (n, 3) the light along rays from a pose, with only some solids there."""
        solids = self.solids[rows]
        maps = unit_maps(solids, pose)
        table = SurfaceTable(solids, maps, self.scene.materials, pose)
        hit = draw_rays(solids, maps, x, y)
        shader = Shader(self.scene, table, self.movers, pose, self.pixel)
        return shader.shade(hit.solid, hit.depth_m, x, y)[0]


def add_glass(rgb: F32, world: GlassWorld, samples: Samples) -> None:
    """Add what mirrors and glass show to (n, 3) linear colours of samples, in place."""
    materials = world.scene.materials
    material = world.table.face_material.take(np.maximum(samples.face, 0))
    for name, add in (("clear", _see_through), ("mirror", _mirrored)):
        if not materials[name].any():
            continue
        share = np.where(samples.face < 0, np.float32(0.0), materials[name].take(material))
        if share.any():
            add(rgb, world, samples, np.asarray(share, np.float32))


def _see_through(rgb: F32, world: GlassWorld, samples: Samples, share: F32) -> None:
    rows = np.flatnonzero(share)
    is_clear = world.scene.materials["clear"].take(world.solids.material).max(axis=1) > 0.0
    behind = world.seen_from(world.T_odom_camera, ~is_clear, samples.x[rows], samples.y[rows])
    part = share[rows, None]
    rgb[rows] = (1.0 - part) * rgb[rows] + part * behind * np.array(_TINT, np.float32)


def _mirrored(rgb: F32, world: GlassWorld, samples: Samples, share: F32) -> None:
    is_flat = (world.solids.shape == Shape.BOX) | (world.solids.shape == Shape.ROOM)
    there = (share > 0.0) & is_flat[np.maximum(samples.solid, 0)]
    faces, counts = np.unique(samples.face[there], return_counts=True)
    for index in np.argsort(-counts)[:_MOST_FACES]:
        if counts[index] < _FEWEST_PIXELS:
            break
        rows = np.flatnonzero(there & (samples.face == faces[index]))
        _follow(rgb, world, samples[rows], rows, share[rows])


def _follow(rgb: F32, world: GlassWorld, samples: Samples, rows: Rows, share: F32) -> None:
    """Look into one flat mirror from the place behind it where the camera seems to stand."""
    normal = world.table.face_normal[:, samples.face[0]].astype(np.float64)
    axes, position = world.T_odom_camera[:3, :3], world.T_odom_camera[:3, 3]
    ray = np.array([samples.x[0], samples.y[0], 1.0])
    point = position + axes @ ray * float(samples.depth_m[0])
    pose = world.T_odom_camera.copy()
    turned = np.eye(3) - 2.0 * np.outer(normal, normal)
    pose[:3, :3] = turned @ axes
    pose[:3, 3] = position - 2.0 * float((position - point) @ normal) * normal
    is_before = ((world.solids.corners_m() - point) @ normal).max(axis=1) > _BEHIND_M
    solid = int(samples.solid[0])
    if world.solids.shape[solid] == Shape.BOX:
        is_before[solid] = False
    shown = world.seen_from(pose, is_before, samples.x, samples.y)
    length = np.sqrt(samples.x**2 + samples.y**2 + 1.0)
    slope = normal @ axes
    facing = np.abs(slope[0] * samples.x + slope[1] * samples.y + slope[2]) / length
    # Source: Schlick, "An Inexpensive BRDF Model", Computer Graphics Forum 1994, equation 15
    part = (share + (1.0 - share) * (1.0 - facing) ** 5).astype(np.float32)[:, None]
    rgb[rows] = (1.0 - part) * rgb[rows] + part * shown

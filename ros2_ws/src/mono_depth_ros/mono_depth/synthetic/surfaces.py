"""Colour and normal of surface samples, from the solid that each ray has hit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.synthetic.arrays import F32, F64, I32, Rows
from mono_depth.synthetic.materials import MaterialTable
from mono_depth.synthetic.noise import look_up
from mono_depth.synthetic.solids import Shape, Solids, UnitMaps

FINE_PERIOD_M = 0.064


@dataclass(frozen=True)
class Surface:
    """Samples on surfaces; every array has shape (n,) or is a triple of those."""

    normal: tuple[F32, F32, F32]  # odom frame, towards the camera's side
    albedo: tuple[F32, F32, F32]
    gloss: F32
    glow: F32
    corner_m: F32  # distance to the nearest edge of the wall it lies on, inf on other solids
    face_key: I32  # equal for samples on the same face


class SurfaceTable:
    """Per-solid columns for one camera pose, ready to be gathered by sample."""

    def __init__(
        self, solids: Solids, maps: UnitMaps, materials: MaterialTable, T_odom_camera: F64
    ) -> None:
        count = len(solids)
        self._axes = T_odom_camera[:3, :3].astype(np.float32)
        self.materials = materials
        self.directions = maps.directions.reshape(count, 9).T.astype(np.float32).copy()
        self.origins = maps.origins.T.astype(np.float32).copy()
        self.half = solids.half_size_m.T.astype(np.float32).copy()
        self.curved = solids.shape >= Shape.ELLIPSOID
        self.room = solids.shape == Shape.ROOM
        self.shape = solids.shape
        self.rotation = solids.rotation.reshape(count, 9).T.astype(np.float32).copy()
        self.offset = solids.texture_offset_m.T.copy()
        self.face_material = solids.material.reshape(-1).astype(np.int32)
        axes = solids.rotation.transpose(0, 2, 1)  # (n, axis, xyz)
        faces = np.stack([-axes, axes], axis=2)  # (n, axis, side, xyz)
        faces = np.where(self.room[:, None, None, None], -faces, faces)
        self.face_normal = faces.reshape(-1, 3).T.astype(np.float32).copy()

    def evaluate(self, solid: I32, depth_m: F32, x: F32, y: F32, pixel: F64 | float) -> Surface:
        """Return the surfaces hit by the rays (x, y, 1) at that depth.

        Args:
            solid: (n,) rows of the table.
            depth_m: (n,) depth along z.
            x: (n,) ray slope to the right.
            y: (n,) ray slope downwards.
            pixel: width of a pixel at depth 1.
        """
        q = self._unit_points(solid, depth_m, x, y)
        p = [q[i] * self.half[i].take(solid) for i in range(3)]
        axis = self._face_axis(q, solid)
        side = np.where(axis == 0, q[0], np.where(axis == 1, q[1], q[2])) > 0.0
        face = solid * 6 + axis * 2 + side
        normal = [self.face_normal[i].take(face) for i in range(3)]
        self._bend_normals(normal, q, solid)

        slant = np.abs(self._facing(normal, x, y))
        # a compromise between sharp across and smooth along a slanted surface
        stretched = np.maximum(slant, np.float32(0.04)) ** np.float32(0.6)
        footprint = np.asarray(depth_m * np.float32(pixel) / stretched, np.float32)
        u = np.where(axis == 0, p[1], p[0]) + self.offset[0].take(solid)
        v = np.where(axis == 2, p[1], p[2]) + self.offset[1].take(solid)
        material = self.face_material.take(face)
        albedo = self._albedo(material, u, v, footprint)

        corner = np.full_like(depth_m, np.inf)
        inside = np.flatnonzero(self.room.take(solid))
        if len(inside):
            corner[inside] = self._corner_distance(q, axis, solid, inside)
        return Surface(
            (normal[0], normal[1], normal[2]),
            albedo,
            self.materials["gloss"].take(material),
            self.materials["glow"].take(material),
            corner,
            face,
        )

    def gloss_of(self, face_key: I32) -> F32:
        """Return the gloss of faces by their `Surface.face_key`; -1 = sky, which has none."""
        gloss = self.materials["gloss"].take(self.face_material.take(np.maximum(face_key, 0)))
        return np.where(face_key < 0, np.float32(0.0), gloss)

    def _facing(self, normal: list[F32], x: F32, y: F32) -> F32:
        a = self._axes
        d = [a[i, 0] * x + a[i, 1] * y + a[i, 2] for i in range(3)]
        dot = d[0] * normal[0] + d[1] * normal[1] + d[2] * normal[2]
        return np.asarray(dot / np.sqrt(x * x + y * y + 1.0))

    def _unit_points(self, solid: I32, depth_m: F32, x: F32, y: F32) -> list[F32]:
        points = []
        for i in range(3):
            along = self.directions[3 * i].take(solid) * x
            along += self.directions[3 * i + 1].take(solid) * y
            along += self.directions[3 * i + 2].take(solid)
            along *= depth_m
            along += self.origins[i].take(solid)
            points.append(along)
        return points

    def _face_axis(self, q: list[F32], solid: I32) -> I32:
        ax, ay, az = np.abs(q[0]), np.abs(q[1]), np.abs(q[2])
        shape = self.shape.take(solid)
        az[((shape == Shape.CYLINDER) | (shape == Shape.CONE)) & (az < 0.9999)] = 0.0
        axis = (ay > ax).astype(np.int32)
        axis[az > np.maximum(ax, ay)] = 2
        return axis

    def _bend_normals(self, normal: list[F32], q: list[F32], solid: I32) -> None:
        rows = np.flatnonzero(self.curved.take(solid))
        if not len(rows):
            return
        s = solid[rows]
        g = [q[i][rows] for i in range(3)]
        shape = self.shape.take(s)
        cylinder, cone = shape == Shape.CYLINDER, shape == Shape.CONE
        radius2 = g[0] * g[0] + g[1] * g[1]
        side = cylinder & (np.abs(g[2]) < 0.9999)
        cap = (cylinder & ~side) | (cone & (g[2] < -0.9999) & (radius2 < 0.9999))
        g[2] = np.where(side, np.float32(0.0), g[2])
        g[2] = np.where(cone, 0.25 * (1.0 - g[2]), g[2])
        g[0], g[1] = np.where(cap, 0.0, g[0]), np.where(cap, 0.0, g[1])
        g[2] = np.where(cap, np.where(q[2][rows] > 0, 1.0, -1.0), g[2])
        g = [g[i] / self.half[i].take(s) for i in range(3)]
        r = [self.rotation[i].take(s) for i in range(9)]
        n = [r[3 * i] * g[0] + r[3 * i + 1] * g[1] + r[3 * i + 2] * g[2] for i in range(3)]
        length = np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]) + np.float32(1e-12)
        for i in range(3):
            normal[i][rows] = n[i] / length

    def _corner_distance(self, q: list[F32], axis: I32, solid: I32, rows: Rows) -> F32:
        s, a = solid[rows], axis[rows]
        edge = [(1.0 - np.abs(q[i][rows])) * self.half[i].take(s) for i in range(3)]
        for i in range(3):
            edge[i][a == i] = np.inf
        return np.asarray(np.minimum(np.minimum(edge[0], edge[1]), edge[2]))

    def _albedo(self, material: I32, u: F32, v: F32, footprint: F32) -> tuple[F32, F32, F32]:
        table = self.materials
        long_v = v / table["stretch"].take(material)
        # noise differs from material to material
        shift = material.astype(np.float32) * np.float32(0.377)

        def noise(kind: str, period_m: F32 | float) -> F32:
            scale = 1.0 / np.asarray(period_m, np.float32)
            tile = table[kind].take(material)
            return look_up(tile, u * scale + shift, long_v * scale, footprint * scale)

        fine = noise("fine", FINE_PERIOD_M) * table["fine_gain"].take(material)
        mid = noise("mid", table["mid_period_m"].take(material))
        mid *= table["mid_gain"].take(material)
        share = noise("coarse", table["coarse_period_m"].take(material))
        share *= table["coarse_gain"].take(material)
        share += 0.5 * table["coarse_gain"].take(material)
        inside, tint, parity = self._cells(material, u, v, footprint)
        share += table["check"].take(material) * parity
        np.clip(share, 0.0, 1.0, out=share)
        bright = np.clip(1.0 + fine + mid, 0.15, 2.0)
        jitter = table["cell_jitter"].take(material)
        out = []
        for i in range(3):
            first = table.color[i].take(material)
            value = first + share * (table.second_color[i].take(material) - first)
            value *= 1.0 + jitter * _TINTS[i].take(tint)
            joint = table.joint_color[i].take(material)
            out.append((joint + inside * (value - joint)) * bright)
        return out[0], out[1], out[2]

    def _cells(self, material: I32, u: F32, v: F32, footprint: F32) -> tuple[F32, I32, F32]:
        """Return how much of the pixel is cell rather than joint, the cell's tint, its parity."""
        table = self.materials
        width, height = table["cell_width_m"].take(material), table["cell_height_m"].take(material)
        joint = table["joint_m"].take(material)
        shift = table["cell_shift"].take(material)
        cv = v / height
        row = np.floor(cv)
        random_shift = row * np.float32(0.6180339)
        cu = u / width + np.where(shift < 0.0, random_shift, shift * row)
        column = np.floor(cu)
        fu, fv = (cu - column) * width, (cv - row) * height
        du, dv = np.minimum(fu, width - fu), np.minimum(fv, height - fv)
        soft = footprint + np.float32(1e-5)
        half = 0.5 * joint
        inside = _coverage(du, half, soft, width) * _coverage(dv, half, soft, height)
        np.copyto(inside, np.float32(1.0), where=joint == 0.0)
        key = (column.astype(np.int32) * 73 + row.astype(np.int32) * 151 + material * 31) & 255
        # a check that is finer than the pixel is an even mix
        fade = np.clip(0.5 * width / soft - 0.5, 0.0, 1.0)
        odd = ((column + row) % 2.0).astype(np.float32)
        return inside, key, 0.5 + fade * (odd - 0.5)


def _coverage(distance: F32, half_joint: F32, footprint: F32, period: F32) -> F32:
    """Return the share of a pixel-wide box that lies outside the joint at distance 0."""
    near = np.clip((distance - half_joint) / footprint + 0.5, 0.0, 1.0)
    mean = 1.0 - 2.0 * half_joint / period
    blend = np.clip(2.0 * footprint / period - 0.5, 0.0, 1.0)
    return np.asarray(near + blend * (mean - near))


def _tint_table() -> F32:
    rng = np.random.default_rng(7)
    common = rng.uniform(-1.0, 1.0, 256)
    own = rng.uniform(-1.0, 1.0, (3, 256))
    return np.asarray((0.8 * common + 0.5 * own).astype(np.float32))


_TINTS = _tint_table()

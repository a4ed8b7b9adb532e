"""Solids of a scene and where a ray meets them.

Every solid is a unit shape under an affine map, so a ray is mapped into unit space once and
keeps its parameter. Rays are (x, y, 1) in the optical frame: the parameter IS depth along z.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from mono_depth.synthetic.arrays import F32, F64, I32, Bool, Rows

NEAR_M = 0.02  # nothing nearer than this is drawn


class Shape(IntEnum):
    """Unit shapes; all of them fill the cube [-1, 1]^3."""

    BOX = 0
    ROOM = 1  # a box seen from its inside
    ELLIPSOID = 2
    CYLINDER = 3  # axis z
    CONE = 4  # base at z = -1, apex at z = +1


@dataclass(frozen=True, kw_only=True)
class Solids:
    """Table of n solids. Poses are in the odom frame (z up)."""

    shape: I32  # (n,) Shape
    center_m: F64  # (n, 3)
    rotation: F64  # (n, 3, 3) columns are the solid's axes
    half_size_m: F64  # (n, 3)
    material: I32  # (n, 6) index per face -x +x -y +y -z +z
    texture_offset_m: F32  # (n, 2)
    mover: I32  # (n,) index of the mover it belongs to, -1 = static

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: Bool | Rows | slice) -> Solids:
        return Solids(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @staticmethod
    def joined(first: Solids, second: Solids) -> Solids:
        """Return the rows of both tables."""
        return Solids(
            **{
                f.name: np.concatenate([getattr(first, f.name), getattr(second, f.name)])
                for f in fields(first)
            }
        )

    def corners_m(self) -> F64:
        """Return the (n, 8, 3) corners of the oriented bounding boxes in the odom frame."""
        scaled = _CUBE[None] * self.half_size_m[:, None, :]
        corners: F64 = np.einsum("nij,nkj->nki", self.rotation, scaled) + self.center_m[:, None]
        return corners


_CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_EDGES = np.array([(i, j) for i in range(8) for j in range(i + 1, 8) if bin(i ^ j).count("1") == 1])


@dataclass(frozen=True)
class UnitMaps:
    """Maps from camera rays into the unit space of each solid."""

    directions: F64  # (n, 3, 3) unit direction = directions @ (x, y, 1)
    origins: F64  # (n, 3) camera centre in unit space
    rects: F64  # (n, 4) x0 y0 x1 y1 bounds of x/z and y/z; x0 > x1 = behind the camera
    nearest_m: F64  # (n,) lower bound of depth


def unit_maps(solids: Solids, T_odom_camera: F64) -> UnitMaps:
    """Return the ray maps and image bounds of every solid for one camera pose."""
    rotation, position = T_odom_camera[:3, :3], T_odom_camera[:3, 3]
    inverse = solids.rotation.transpose(0, 2, 1) / solids.half_size_m[:, :, None]
    origins = np.einsum("nij,nj->ni", inverse, position - solids.center_m)
    corners = (solids.corners_m() - position) @ rotation  # camera frame
    a, b = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    points = np.concatenate([_clipped(a, b), _clipped(b, a)], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = points[..., :2] / points[..., 2:]
    low = np.where(np.isfinite(xy), xy, np.inf).min(axis=1)
    high = np.where(np.isfinite(xy), xy, -np.inf).max(axis=1)
    nearest = np.maximum(corners[..., 2].min(axis=1), NEAR_M)
    return UnitMaps(inverse @ rotation, origins, np.concatenate([low, high], axis=1), nearest)


def _clipped(a: F64, b: F64) -> F64:
    """Move the ends `a` that lie behind the camera along their edge to the near plane."""
    za, zb = a[..., 2:], b[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        on_plane = a + (b - a) * ((NEAR_M - za) / (zb - za))
    behind = za < NEAR_M
    clipped = np.where(behind & (zb >= NEAR_M), on_plane, a)
    return np.where(behind & (zb < NEAR_M), np.nan, clipped)


def intersect(shape: int, directions: F64, origin: F64, x: F32, y: F32) -> F32:
    """Return the depth where the rays (x, y, 1) enter a solid, inf where they miss.

    `x` and `y` broadcast against each other; a ROOM is left, not entered.
    """
    rows = directions.tolist()
    d = [a * x + (b * y + c) for a, b, c in rows]
    o = [float(v) for v in origin]
    with np.errstate(all="ignore"):
        if shape in (Shape.BOX, Shape.ROOM):
            return _slabs(d, o, leave=shape == Shape.ROOM)
        if shape == Shape.ELLIPSOID:
            return _ellipsoid(d, o)
        if shape == Shape.CYLINDER:
            return _cylinder(d, o)
        return _cone(d, o)


def _slabs(d: list[F32], o: list[float], *, leave: bool) -> F32:
    enter, exit_ = _slab(d[0], o[0])
    for axis in (1, 2):
        t0, t1 = _slab(d[axis], o[axis])
        np.maximum(enter, t0, out=enter)
        np.minimum(exit_, t1, out=exit_)
    t = exit_ if leave else enter
    t[(enter > exit_) | (t < NEAR_M)] = np.inf
    return t


def _slab(d: F32, o: float) -> tuple[F32, F32]:
    inverse = 1.0 / d
    t0, t1 = inverse * (-1.0 - o), inverse * (1.0 - o)
    return np.minimum(t0, t1), np.maximum(t0, t1, out=t1)


def _ellipsoid(d: list[F32], o: list[float]) -> F32:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = d[0] * o[0] + d[1] * o[1] + d[2] * o[2]
    return _first_root(a, b, sum(v * v for v in o) - 1.0)


def _first_root(a: F32, b: F32, c: float) -> F32:
    """Return the smaller root of a t^2 + 2 b t + c = 0, inf where there is none ahead."""
    root = b * b - a * c
    t = (-b - np.sqrt(root)) / a
    t[~(root >= 0.0) | ~(t >= NEAR_M)] = np.inf
    return t


def _cylinder(d: list[F32], o: list[float]) -> F32:
    a = d[0] * d[0] + d[1] * d[1]
    b = d[0] * o[0] + d[1] * o[1]
    c = o[0] * o[0] + o[1] * o[1] - 1.0
    root = np.sqrt(b * b - a * c)
    t0, t1 = _slab(d[2], o[2])
    t = np.maximum((-b - root) / a, t0)
    t[~(t <= np.minimum((root - b) / a, t1)) | (t < NEAR_M)] = np.inf
    return t


def _cone(d: list[F32], o: list[float]) -> F32:
    # x^2 + y^2 = w^2 with w = (1 - z) / 2, which is linear along the ray
    wd, wo = -0.5 * d[2], 0.5 * (1.0 - o[2])
    a = d[0] * d[0] + d[1] * d[1] - wd * wd
    b = d[0] * o[0] + d[1] * o[1] - wd * wo
    root = np.sqrt(b * b - a * (o[0] * o[0] + o[1] * o[1] - wo * wo))
    best = np.full_like(a, np.inf)
    for t in ((-b - root) / a, (root - b) / a):
        w = wo + t * wd
        hit = (w >= 0.0) & (w <= 1.0) & (t >= NEAR_M) & (t < best)
        best[hit] = t[hit]
    base = (-1.0 - o[2]) / d[2]
    px, py = o[0] + base * d[0], o[1] + base * d[1]
    hit = (px * px + py * py <= 1.0) & (base >= NEAR_M) & (base < best)
    best[hit] = base[hit]
    return best

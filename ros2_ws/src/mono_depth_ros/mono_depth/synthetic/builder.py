"""Puts solids together: a list that grows, with a local frame to place furniture in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.materials import Material
from mono_depth.synthetic.movers import Mover, rotation_y, rotation_z
from mono_depth.synthetic.solids import Shape, Solids

Faces = int | Sequence[int]  # one material, or one per face -x +x -y +y -z +z


@dataclass
class Builder:
    """Collects the solids, materials and movers of a scene."""

    rng: np.random.Generator
    materials: list[Material] = field(default_factory=list)
    rows: list[tuple[Shape, F64, F64, F64, tuple[int, ...]]] = field(default_factory=list)
    movers: list[Mover] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius

    def material(self, material: Material) -> int:
        """Add a material and return its index."""
        self.materials.append(material)
        return len(self.materials) - 1

    def frame(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> LocalFrame:
        """Return a frame to place solids in."""
        return LocalFrame(self, np.array([x, y, z]), rotation_z(yaw))

    def is_free(self, x: float, y: float, radius: float) -> bool:
        """Tell whether a disc of the floor is not taken yet."""
        return all(np.hypot(x - u, y - v) >= radius + r for u, v, r in self.taken)

    def take(self, x: float, y: float, radius: float) -> None:
        """Mark a disc of the floor as taken."""
        self.taken.append((x, y, radius))

    def solids(self) -> Solids:
        """Return the table of everything added so far."""
        return self.table(self.rows)

    def mover_body(self, first_row: int) -> Solids:
        """Take the rows added since `first_row` out and return them as the body of a mover."""
        rows, self.rows = self.rows[first_row:], self.rows[:first_row]
        return self.table(rows, len(self.movers))

    def table(
        self, rows: list[tuple[Shape, F64, F64, F64, tuple[int, ...]]], mover: int = -1
    ) -> Solids:
        """Return rows as a table."""
        n = len(rows)
        return Solids(
            shape=np.array([r[0] for r in rows], np.int32),
            center_m=np.array([r[1] for r in rows], np.float64).reshape(n, 3),
            rotation=np.array([r[2] for r in rows], np.float64).reshape(n, 3, 3),
            half_size_m=np.array([r[3] for r in rows], np.float64).reshape(n, 3),
            material=np.array([r[4] for r in rows], np.int32).reshape(n, 6),
            texture_offset_m=self.rng.uniform(0.0, 16.0, (n, 2)).astype(np.float32),
            mover=np.full(n, mover, np.int32),
        )


@dataclass(frozen=True)
class LocalFrame:
    """A place on the floor with a heading; lengths are full sizes in metres."""

    builder: Builder
    origin_m: F64
    rotation: F64

    def at(
        self, x: float, y: float, z: float = 0.0, yaw: float = 0.0, pitch: float = 0.0
    ) -> LocalFrame:
        """Return a frame inside this one."""
        origin = self.origin_m + self.rotation @ np.array([x, y, z])
        turned = self.rotation @ rotation_z(yaw)
        return LocalFrame(self.builder, origin, turned @ rotation_y(pitch) if pitch else turned)

    def add(self, shape: Shape, center: Sequence[float], size: Sequence[float], m: Faces) -> None:
        """Add a solid that is `size` long along the axes of the frame."""
        faces = (m,) * 6 if isinstance(m, int) else tuple(m)
        half = np.maximum(0.5 * np.array(size, np.float64), 5e-4)
        place = self.origin_m + self.rotation @ np.array(center, np.float64)
        self.builder.rows.append((shape, place, self.rotation, half, faces))

    def box(
        self, x: float, y: float, bottom: float, dx: float, dy: float, dz: float, m: Faces
    ) -> None:
        """Add a box that stands at `bottom`."""
        self.add(Shape.BOX, (x, y, bottom + dz / 2), (dx, dy, dz), m)

    def cylinder(
        self, x: float, y: float, bottom: float, diameter: float, height: float, m: Faces
    ) -> None:
        """Add an upright cylinder."""
        self.add(Shape.CYLINDER, (x, y, bottom + height / 2), (diameter, diameter, height), m)

    def cone(
        self, x: float, y: float, bottom: float, diameter: float, height: float, m: Faces
    ) -> None:
        """Add an upright cone."""
        self.add(Shape.CONE, (x, y, bottom + height / 2), (diameter, diameter, height), m)

    def ball(
        self, x: float, y: float, bottom: float, dx: float, dy: float, dz: float, m: Faces
    ) -> None:
        """Add an ellipsoid that stands at `bottom`."""
        self.add(Shape.ELLIPSOID, (x, y, bottom + dz / 2), (dx, dy, dz), m)

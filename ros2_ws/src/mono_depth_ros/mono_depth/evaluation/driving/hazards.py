"""What is hard to see on the way: a glass door across it, a pit in the floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mono_depth.errors import ConfigError
from mono_depth.evaluation.driving.course import Course, shortest_way
from mono_depth.evaluation.driving.robot import Body
from mono_depth.synthetic.arrays import F64
from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.materials import Material, MaterialTable
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.solids import Shape, Solids

_DOOR_M = 0.9, 2.0  # width and height of the pane
_POST_M = 0.05
_PIT_M = 1.0, 0.6  # length of its sides, and how deep
_FROM_START_M = 1.0  # of the way, before and behind which there is nothing
_EVERY_M = 0.1  # places on the way that are tried, the middle one first


def with_glass_door(course: Course, body: Body) -> Course:
    """Return the course with a pane between two posts across its way, and a way around it.

    Raises:
        ConfigError: the pane would leave no way wherever it stands.
    """
    for x, y, yaw in _places(course, body):
        b = _builder(course, 13)
        f, (wide, tall) = b.frame(x, y, 0.0, yaw), _DOOR_M
        pane = Material(
            color=(0.8, 0.85, 0.85),
            fine_gain=0.01,
            mid_gain=0.02,
            coarse_gain=0.05,
            gloss=0.9,
            mirror=0.08,
            clear=0.9,
        )
        post = b.material(Material(color=(0.25, 0.25, 0.27), gloss=0.3))
        f.box(0.0, 0.0, 0.0, 0.012, wide, tall, b.material(pane))
        for side in (-1, 1):
            f.box(0.0, side * wide / 2, 0.0, _POST_M, _POST_M, tall, post)
        scene = _with_rows(course.scene, b)
        way = shortest_way(scene, course.place_m, course.goal_m, body)
        if way.reaches:
            return replace(course, scene=scene, still=scene, shortest_m=way.length_m)
    raise ConfigError(f"{course.kind} {course.seed} has no room for a glass door")


def with_pit(course: Course, body: Body) -> Course:
    """Return the course with a square pit in the floor of its way, and a way around it.

    Raises:
        ConfigError: there is no room for one.
    """
    side, deep = _PIT_M
    corners = 0.5 * (side + 0.1) * np.array([[a, b] for a in (-1, 0, 1) for b in (-1, 0, 1)])
    for x, y, _ in _places(course, body):
        ground = np.c_[corners + np.array([x, y]), np.zeros(9)]
        if course.still.clearance_m(ground, (0.0, 2.0)).min() <= 0.0:
            continue  # furniture or a rug would float over it
        b = _builder(course, 17)
        b.frame(x, y).box(0.0, 0.0, 0.0, side, side, body.height_m, 0)
        still = _with_rows(course.still, b)  # to the wheels it is as bad as a block
        way = shortest_way(still, course.place_m, course.goal_m, body)
        if way.reaches:
            scene = _dug(course, x, y, side, deep)
            return replace(course, scene=scene, still=still, shortest_m=way.length_m)
    raise ConfigError(f"{course.kind} {course.seed} has no room for a pit")


def _places(course: Course, body: Body) -> Iterator[tuple[float, float, float]]:
    """Yield places on the way with its heading, from the middle outwards."""
    way = shortest_way(course.still, course.place_m, course.goal_m, body).way_m
    run = np.r_[0.0, np.cumsum(np.hypot(*np.diff(way, axis=0).T))]
    at = np.arange(_FROM_START_M, run[-1] - _FROM_START_M + 1e-9, _EVERY_M)
    for along in at[np.argsort(np.abs(at - 0.5 * run[-1]), kind="stable")]:
        before, here, after = (
            np.array([np.interp(along + d, run, way[:, i]) for i in (0, 1)])
            for d in (-0.3, 0.0, 0.3)
        )
        yield float(here[0]), float(here[1]), float(np.arctan2(*(after - before)[::-1]))


def _builder(course: Course, number: int) -> Builder:
    b = Builder(np.random.default_rng([course.seed, number]))
    b.materials = list(course.still.materials.materials)
    return b


def _with_rows(scene: Scene, b: Builder) -> Scene:
    solids = Solids.joined(scene.solids, b.table(b.rows))
    return replace(scene, solids=solids, materials=MaterialTable(b.materials))


def _dug(course: Course, x: float, y: float, side: float, deep: float) -> Scene:
    """Return the scene with its floor lowered, and slabs on it at the old height but for a pit."""
    scene = course.scene
    room = int(np.flatnonzero(scene.solids.shape == Shape.ROOM)[0])
    center, half = scene.solids.center_m.copy(), scene.solids.half_size_m.copy()
    center[room, 2] -= 0.5 * deep
    half[room, 2] += 0.5 * deep
    floor = int(scene.solids.material[room, 4])
    (x0, y0), (x1, y1) = (end[room, :2] for end in (center - half, center + half))
    west, east, south, north = x - side / 2, x + side / 2, y - side / 2, y + side / 2
    b = _builder(course, 19)
    for low, high in (
        ((x0, y0), (west, y1)),
        ((east, y0), (x1, y1)),
        ((west, y0), (east, south)),
        ((west, north), (east, y1)),
    ):
        _slab(b, np.array(low), np.array(high), deep, floor)
    lowered = replace(scene, solids=replace(scene.solids, center_m=center, half_size_m=half))
    return _with_rows(lowered, b)


def _slab(b: Builder, low_m: F64, high_m: F64, deep: float, material: int) -> None:
    x, y = 0.5 * (low_m + high_m)
    dx, dy = high_m - low_m
    b.frame(float(x), float(y)).box(0.0, 0.0, -deep, float(dx), float(dy), deep, material)

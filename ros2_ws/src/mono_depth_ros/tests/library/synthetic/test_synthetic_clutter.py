"""Things lie on level surfaces and on the floor, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from mono_depth.synthetic.builder import Builder
from mono_depth.synthetic.clutter import litter, tops
from mono_depth.synthetic.furniture import table
from mono_depth.synthetic.scenes import make_scene
from mono_depth.synthetic.solids import Shape


def test_the_top_of_a_table_is_a_surface_and_its_legs_are_not():
    b = Builder(np.random.default_rng(0))
    f = b.frame(1.0, 2.0, 0.0, 0.5)
    f.box(0.0, 0.0, 0.7, 0.8, 1.4, 0.04, 0)
    f.box(0.3, 0.6, 0.0, 0.05, 0.05, 0.7, 0)
    (top,) = tops(b.solids())
    np.testing.assert_allclose(top.center_m, [1.0, 2.0, 0.74])
    np.testing.assert_allclose(top.half_m, [0.4, 0.7])


def test_what_leans_or_is_too_high_or_too_low_is_no_surface():
    b = Builder(np.random.default_rng(0))
    b.frame().at(0, 0, 0, 0.0, 0.2).box(0, 0, 0.5, 1.0, 1.0, 0.1, 0)
    b.frame().box(3, 0, 0.0, 1.0, 1.0, 0.1, 0)
    b.frame().box(6, 0, 0.0, 1.0, 1.0, 2.0, 0)
    b.frame().ball(9, 0, 0.0, 1.0, 1.0, 1.0, 0)
    assert tops(b.solids()) == []


def test_points_of_a_surface_lie_on_it():
    b = Builder(np.random.default_rng(0))
    table(b.frame(1.0, -1.0, 0.0, 0.7), 0.8, 1.4, 0.74)
    top = max(tops(b.solids()), key=lambda t: float(np.prod(t.half_m)))
    for seed in range(20):
        point = top.at(np.random.default_rng(seed)) - top.center_m
        assert point[2] == 0.0
        assert np.all(np.abs(top.rotation.T @ point)[:2] <= top.half_m)


@pytest.mark.parametrize("kind", ["room", "office"])
def test_litter_rests_on_surfaces_and_on_the_floor(kind: str):
    scene = make_scene(kind, np.random.default_rng(1), 64)
    levels = {round(float(top.center_m[2]), 6) for top in tops(scene.solids)} | {0.0}
    counts = []
    for seed in range(6):
        b = Builder(np.random.default_rng(seed), materials=list(scene.materials.materials))
        litter(scene, b)
        added = b.solids()
        counts.append(len(added))
        upright = added[np.abs(added.rotation[:, 2, 2]) > 0.9999]
        bottoms = upright.center_m[:, 2] - upright.half_size_m[:, 2]
        resting = [any(abs(bottom - level) < 1e-6 for level in levels) for bottom in bottoms]
        assert sum(resting) >= 0.5 * len(resting)  # the others stand on these
        assert np.all(bottoms > -1e-6)
        assert np.all(added.shape != Shape.ROOM)
    assert 20 < max(counts) < 400

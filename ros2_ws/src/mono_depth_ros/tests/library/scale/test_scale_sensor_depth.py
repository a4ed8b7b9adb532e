"""Metric scale from a depth camera where there are no sparse points."""

import numpy as np
import pytest
import torch

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.scale.sparse_points import sampled
from mono_depth.scale.tracker import ScaleTracker

WIDTH, HEIGHT = 160, 120
CAMERA = Intrinsics(width=WIDTH, height=HEIGHT, fx=140.0, fy=140.0, cx=79.5, cy=59.5)
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
TRUE_M = (2.0 + 0.02 * COLUMNS + 0.01 * ROWS).astype(np.float32)


def frame(at_s=1.0, **known):
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stamp_ns = round(at_s * 1e9)
    return Frame(rgb=rgb, stamp_ns=stamp_ns, frame_id="camera", intrinsics=CAMERA, **known)


def scaled(kind, values, source="auto", **known):
    """Return the depth of the fourth frame."""
    tracker = ScaleTracker()
    prediction = Prediction(values=torch.from_numpy(values), kind=kind)
    for i in range(4):
        depth_m, status = tracker.update(
            prediction, frame(1.0 + 0.1 * i, **known), ScaleConfig(source=source)
        )
    return depth_m, status


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (OutputKind.METRIC, TRUE_M / 1.7),
        (OutputKind.INVERSE_AFFINE, 3.0 / TRUE_M + 0.5),
        (OutputKind.DEPTH_AFFINE, 0.2 * TRUE_M - 0.1),
    ],
)
def test_a_depth_camera_gives_metres_to_every_kind_of_network(kind, values, step):
    depth_m, status = scaled(kind, values, sensor_depth_m=TRUE_M[::step, ::step])

    assert (status.source, status.state) == ("sparse_points", "valid")
    # every second pixel of a slanted wall is off by half a pixel: 0.015 of 2 m at most
    assert np.abs(depth_m.numpy() / TRUE_M - 1.0).max() < 0.01


def test_holes_and_a_mirror_that_shows_depth_behind_it_do_not_matter():
    sensor_m = TRUE_M.copy()
    sensor_m[:60, :80] = np.nan
    sensor_m[80:, 100:] *= 2.0  # a seventh of all pixels

    depth_m, status = scaled(OutputKind.METRIC, TRUE_M / 1.7, sensor_depth_m=sensor_m)

    assert status.state == "valid"
    assert np.abs(depth_m.numpy() / TRUE_M - 1.0).max() < 0.02


def test_points_come_before_the_depth_camera():
    z = TRUE_M[::10, ::10].reshape(-1)
    x = (COLUMNS[::10, ::10].reshape(-1) - CAMERA.cx) / CAMERA.fx * z
    y = (ROWS[::10, ::10].reshape(-1) - CAMERA.cy) / CAMERA.fy * z
    points_m = np.stack((x, y, z), axis=1).astype(np.float32)
    wrong_m = 1.5 * TRUE_M

    by_points, _ = scaled(
        OutputKind.METRIC, TRUE_M / 1.7, sparse_points_m=points_m, sensor_depth_m=wrong_m
    )
    by_depth, _ = scaled(
        OutputKind.METRIC, TRUE_M / 1.7, sparse_points_m=points_m[:0], sensor_depth_m=wrong_m
    )

    assert np.median(by_points.numpy() / TRUE_M) == pytest.approx(1.0, abs=0.01)
    assert np.median(by_depth.numpy() / TRUE_M) == pytest.approx(1.5, abs=0.01)


def test_a_blind_depth_camera_measures_nothing():
    blind = np.full((HEIGHT, WIDTH), np.nan, np.float32)

    depth_m, status = scaled(
        OutputKind.METRIC, TRUE_M, source="sparse_points", sensor_depth_m=blind
    )

    assert depth_m is None
    assert "0 usable points" in status.reason


def test_pixels_are_picked_from_everywhere_but_holes_and_edges():
    depth_m = np.full((20, 20), 2.0, np.float32)
    depth_m[:, 10:] = 4.0
    depth_m[5, 5] = np.nan

    columns, rows, z = sampled(depth_m, 40, 20)

    pixels = set(zip((columns - 0.5) / 2, rows, strict=True))
    hole_reasons = {(c, r) for c in (4, 5, 6) for r in (4, 5, 6)} | {
        (c, r) for c in (9, 10) for r in range(20)
    }
    assert pixels == {(c, r) for c in range(20) for r in range(20)} - hole_reasons
    assert {float(value) for value in z} == {2.0, 4.0}

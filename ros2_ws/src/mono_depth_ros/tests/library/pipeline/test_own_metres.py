"""Depth in another unit contradicts a network even if the network is guided by it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from mono_depth.config import PipelineConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.models.checks import pseudo_random
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline

CAMERA = Intrinsics(width=128, height=96, fx=100.0, fy=100.0, cx=63.5, cy=47.5)
FRAME = Frame(
    rgb=pseudo_random.image(96, 128), stamp_ns=10**9, frame_id="camera", intrinsics=CAMERA
)


@pytest.fixture(scope="module")
def pipeline() -> DepthPipeline:
    config = PipelineConfig(
        model="nano",
        device="cpu",
        engine="torch",
        threads=1,
        temporal=TemporalConfig(mode="none"),
    )
    return build_pipeline(config)


@pytest.fixture(scope="module")
def own_depth_m(pipeline: DepthPipeline) -> np.ndarray:
    depth_m = pipeline.process(FRAME).depth_m
    assert depth_m is not None
    return depth_m.cpu().numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "text"),
    [
        (
            10.0,
            r"sensor_depth has a median of .* m, 1?\d.* times the network's own metres: is it in",
        ),
        (1000 / 256, "times the network's own metres"),
        (0.1, r"1/1?\d.* of the network's own metres: is it in metres in 32FC1 or millimetres"),
    ],
)
def test_sensor_depth_in_another_unit_contradicts_the_network_that_it_guides(
    pipeline: DepthPipeline, own_depth_m: np.ndarray, times: float, text: str
) -> None:
    pipeline.reset()
    result = pipeline.process(replace(FRAME, sensor_depth_m=own_depth_m * np.float32(times)))
    assert result.completed == "sensor_depth"
    assert re.search(text, result.scale.conflict)


@pytest.mark.slow
def test_depth_that_the_network_is_off_by_half_from_is_no_conflict(
    pipeline: DepthPipeline, own_depth_m: np.ndarray
) -> None:
    for times in (0.5, 1.0, 2.0):
        pipeline.reset()
        result = pipeline.process(replace(FRAME, sensor_depth_m=own_depth_m * np.float32(times)))
        assert "own metres" not in result.scale.conflict


@pytest.mark.slow
def test_the_conflict_is_remembered_between_two_looks_and_ends_with_the_depth(
    pipeline: DepthPipeline, own_depth_m: np.ndarray
) -> None:
    pipeline.reset()
    wrong, right = own_depth_m * np.float32(10.0), own_depth_m
    said = []
    for at_s, depth_m in ((1.0, wrong), (2.0, right), (7.0, right), (8.0, wrong), (9.0, None)):
        frame = replace(FRAME, stamp_ns=round(at_s * 1e9), sensor_depth_m=depth_m)
        said.append("own metres" in pipeline.process(frame).scale.conflict)
    assert said == [True, True, False, False, False]


def test_points_in_another_unit_contradict_the_network_too(
    pipeline: DepthPipeline, own_depth_m: np.ndarray
) -> None:
    pipeline.reset()
    rows, columns = (grid.reshape(-1) for grid in np.mgrid[4:96:8, 4:128:8])
    z = 10.0 * own_depth_m[rows, columns]
    points = np.stack(
        [(columns - CAMERA.cx) / CAMERA.fx * z, (rows - CAMERA.cy) / CAMERA.fy * z, z]
    )
    result = pipeline.process(replace(FRAME, sparse_points_m=points.T.astype(np.float32)))
    assert result.scale.conflict.startswith("sparse_points has a median of")

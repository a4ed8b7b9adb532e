"""The pipeline on real networks made for the test."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, ScaleConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.errors import ConfigError, FrameError
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.build import build_pipeline, choose_device, warm_up
from mono_depth.pipeline.pipeline import DepthPipeline

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
GREY = np.uint8(100 + 2 * COLUMNS + ROWS)
DEPTH_M = np.float32(GREY / 25)  # 4.0 to 4.76 m
CAMERA = Intrinsics(width=8, height=6, fx=10.0, fy=10.0, cx=3.5, cy=2.5)


def config(models: Path, **changes: object) -> PipelineConfig:
    values = {"model": "tiny_metric", "registry": str(models), "device": "cpu", "threads": 1}
    values["temporal"] = TemporalConfig(mode="none")
    return PipelineConfig(**{**values, **changes})


def pipeline(models: Path, **changes: object) -> DepthPipeline:
    return build_pipeline(config(models, **changes))


def frame(rgb: np.ndarray | None = None, *, camera: Intrinsics | None = CAMERA) -> Frame:
    image = np.dstack([GREY] * 3) if rgb is None else rgb
    return Frame(rgb=image, stamp_ns=5, frame_id="camera", intrinsics=camera)


def test_a_frame_becomes_depth_with_its_stamp_frame_and_camera(tiny_models):
    result = pipeline(tiny_models).process(frame())

    assert (result.stamp_ns, result.frame_id, result.intrinsics) == (5, "camera", CAMERA)
    np.testing.assert_allclose(result.depth_m.numpy(), DEPTH_M, rtol=1e-6)
    np.testing.assert_allclose(result.relative.numpy(), 1 / DEPTH_M, rtol=1e-6)
    assert result.scale.is_metric
    assert {"upload", "infer", "scale"} <= result.stage_ms.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_metric", "nano"])
def test_metres_that_only_the_network_claims_are_assumed_and_clear_nothing(tiny_models, name):
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    seen = pipeline(tiny_models, model=name).process(frame(rgb, camera=CAMERA.scaled_to(64, 48)))

    record = read_registry(tiny_models)[name].scale_sigma_rel
    assert (seen.scale.state, seen.scale.sigma_rel) == ("assumed", record)
    assert (seen.planner_use, seen.scale.planner_use) == ("mark", "mark")


def test_the_image_may_have_any_size(tiny_models):
    camera = CAMERA.scaled_to(80, 60)
    large = np.dstack([GREY] * 3).repeat(10, axis=0).repeat(10, axis=1)

    result = pipeline(tiny_models).process(frame(large, camera=camera))

    assert result.depth_m.shape == result.relative.shape == result.confidence.shape == (60, 80)


def test_without_a_camera_there_are_no_metres(tiny_models):
    result = pipeline(tiny_models).process(frame(camera=None))

    assert result.depth_m is None
    assert "uncalibrated" in result.scale.reason
    np.testing.assert_allclose(result.relative.numpy(), 1 / DEPTH_M, rtol=1e-6)


def test_live_values_take_effect_on_the_next_frame(tiny_models):
    running = pipeline(tiny_models)
    running.process(frame())
    limited = replace(config(tiny_models), max_depth_m=4.51, out_of_range="inf")

    running.reconfigure(limited)

    depth_m = running.process(frame()).depth_m.numpy()
    np.testing.assert_array_equal(np.isinf(depth_m), DEPTH_M > 4.51)


def test_a_fixed_scale_makes_metres_of_inverse_depth(tiny_models):
    scale = ScaleConfig(source="fixed", factor=0.05, shift=0.05)

    result = pipeline(tiny_models, model="tiny_inverse", scale=scale).process(frame())

    np.testing.assert_allclose(result.depth_m.numpy(), 1 / (0.05 * DEPTH_M + 0.05), rtol=1e-5)


def test_a_scale_that_the_model_does_not_have_is_refused_at_the_start(tiny_models):
    with pytest.raises(ConfigError, match="the model gives inverse_affine, not metres"):
        pipeline(tiny_models, model="tiny_inverse", scale=ScaleConfig(source="model"))


@pytest.mark.parametrize(
    ("color", "reason"),
    [
        ((100, 250, 0), "no finite value"),
        ((100, 0, 250), "no finite value"),
        ((0, 0, 0), "no positive value"),
        ((100, 0, 0), "the constant 2"),
        ((255, 0, 0), "ONNX Runtime failed"),
    ],
)
@pytest.mark.parametrize("mode", ["none", "static"])
def test_useless_output_is_refused_and_leaves_no_trace(tiny_models, color, reason, mode):
    running = pipeline(tiny_models, model="tiny_fickle", temporal=TemporalConfig(mode=mode))
    before = running.process(frame()).depth_m

    with pytest.raises(FrameError, match=reason):
        running.process(replace(frame(np.full((6, 8, 3), color, np.uint8)), stamp_ns=6))

    after = running.process(replace(frame(), stamp_ns=7)).depth_m
    torch.testing.assert_close(after, before, rtol=1e-4, atol=0.0)


def test_unknown_pixels_stay_unknown(tiny_models):
    image = np.dstack([GREY] * 3)
    image[2, 3] = (100, 250, 0)  # NaN

    result = pipeline(tiny_models, model="tiny_fickle").process(frame(image))

    assert torch.isnan(result.depth_m).nonzero().tolist() == [[2, 3]]
    assert (result.confidence == 0.0).nonzero().tolist() == [[2, 3]]


@pytest.mark.parametrize("source", ["sparse_points", "ground_plane", "odometry"])
def test_a_first_frame_of_few_values_measures_no_scale_and_does_not_fail(tiny_models, source):
    image = np.full((6, 8, 3), (100, 250, 0), np.uint8)  # NaN
    image[0] = np.dstack([GREY] * 3)[0]
    running = pipeline(tiny_models, model="tiny_fickle", scale=ScaleConfig(source=source))

    result = running.process(frame(image))

    assert result.depth_m is None
    assert result.scale.source == source
    assert "nothing measured yet" in result.scale.reason


def test_warm_up_tells_the_time_of_a_frame(tiny_models):
    assert 0.0 < warm_up(pipeline(tiny_models)) < 10_000.0


@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_a_device_is_chosen_by_its_name(name):
    assert choose_device(name).type in ("cpu", "cuda")


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="'abacus' is not one of auto, cpu, cuda, cuda:N"):
        choose_device("abacus")
    count = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=r"finds no CUDA GPU|there are \d+ GPUs"):
        choose_device(f"cuda:{count}")


def test_depth_is_never_zero_or_negative(tiny_models):
    image = np.dstack([GREY] * 3)
    image[:3] = 0  # black: 0 m
    image[3] = 1  # 0.04 m, nearer than min_depth_m

    depth_m = pipeline(tiny_models).process(frame(image)).depth_m.numpy()

    assert np.isnan(depth_m[:4]).all()
    assert depth_m[4:].min() > 0.0
    assert not math.isnan(depth_m[5, 7])

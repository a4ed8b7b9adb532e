"""The temporal filters within the pipeline: who is filtered, and what is given out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, ScanConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.outputs.robot_view import RobotView, RobotViews
from mono_depth.pipeline.build import build_pipeline

CAMERA = Intrinsics(width=96, height=72, fx=90.0, fy=90.0, cx=47.5, cy=35.5)
RAMP = np.repeat(np.array([60, 95, 130, 185], np.uint8), 24)
IMAGE = np.repeat(np.repeat(RAMP[None, :, None], 72, axis=0), 3, axis=2)


def frame(index, brighter=0, intrinsics=CAMERA):
    image = IMAGE + np.uint8(brighter)
    return Frame(rgb=image, stamp_ns=index * 66_000_000, frame_id="cam", intrinsics=intrinsics)


def results(registry, model, brighter, **temporal):
    """Return what comes of an image whose brightness, and so the network's output, flickers."""
    config = PipelineConfig(
        model=model,
        device="cpu",
        registry=str(registry),
        temporal=TemporalConfig(**temporal),
    )
    pipeline = build_pipeline(config)
    return [pipeline.process(frame(index, more)) for index, more in enumerate(brighter)]


FLICKER = [0, 0, 0, 0, 0, 10]  # in metres 0.4


@pytest.mark.slow
def test_relative_depth_of_a_metric_model_is_one_over_its_filtered_depth(tiny_models):
    last = results(tiny_models, "tiny_metric", FLICKER, mode="static")[-1]
    assert last.temporal == "static"
    torch.testing.assert_close(last.network_relative, 1.0 / last.network_depth_m)


@pytest.mark.parametrize("model", ["tiny_inverse", "tiny_affine"])
def test_a_model_without_metres_is_filtered_too(tiny_models, model):
    raw = results(tiny_models, model, FLICKER, mode="none")
    calm = results(tiny_models, model, FLICKER, mode="static")
    jump, calm_jump = (
        float((r[-1].relative / r[-2].relative - 1.0).abs().mean()) for r in (raw, calm)
    )
    assert calm[-1].depth_m is None
    assert calm[-1].temporal == "static"
    assert calm_jump < 0.6 * jump


def test_without_a_filter_every_frame_stands_by_itself(tiny_models):
    last = results(tiny_models, "tiny_inverse", FLICKER, mode="none")[-1]
    alone = results(tiny_models, "tiny_inverse", FLICKER[-1:], mode="none")[0]
    assert last.temporal == "none"
    torch.testing.assert_close(last.relative, alone.relative, atol=0.0, rtol=0.0)


def test_a_filter_that_was_off_for_a_while_starts_over(tiny_models):
    pipeline = build_pipeline(
        PipelineConfig(model="tiny_metric", device="cpu", registry=str(tiny_models))
    )
    on, off = (
        PipelineConfig(model="tiny_metric", temporal=TemporalConfig(mode=mode))
        for mode in ("static", "none")
    )
    for index, config in enumerate((on, on, off)):
        pipeline.reconfigure(config)
        pipeline.process(frame(index))
    pipeline.reconfigure(on)
    fresh = pipeline.process(frame(3, brighter=10))
    expected = torch.from_numpy(IMAGE[..., 0] + np.float32(10)) / 25
    assert fresh.depth_m is not None
    torch.testing.assert_close(fresh.depth_m[:, 10:-10], expected[:, 10:-10], atol=0.05, rtol=0.0)


@pytest.mark.slow
def test_a_robot_sees_the_scan_of_a_network_that_has_not_the_size_of_the_filter():
    config = PipelineConfig(model="nano", device="cpu", engine="torch")
    pipeline = build_pipeline(config)
    level = np.array((0.0, 1.0, 0.0))
    frames = [
        replace(frame(index), gravity_camera=level, camera_height_m=0.4) for index in range(2)
    ]
    result = [pipeline.process(each) for each in frames][-1]
    assert result.network_depth_m is not None
    assert result.network_confidence is not None
    assert result.network_depth_m.shape != (CAMERA.height, CAMERA.width)
    assert result.network_confidence.shape == result.network_depth_m.shape
    view = RobotViews().of(result, ScanConfig())
    assert isinstance(view, RobotView)

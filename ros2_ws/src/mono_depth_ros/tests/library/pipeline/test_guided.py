"""A monocular model that is guided by what else a frame brings, in the pipeline."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from mono_depth.config import CompletionConfig, PipelineConfig, ScaleConfig, TemporalConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.errors import FrameError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.nano.weights import save_weights
from mono_depth.pipeline.build import build_pipeline, warm_up

CAMERA = Intrinsics(width=128, height=96, fx=100.0, fy=100.0, cx=63.5, cy=47.5)
RGB = pseudo_random.image(96, 128)
DOWN = np.array([0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def guided_registry(tmp_path_factory):
    """Registry with `small_guided`: nano with weights by chance that listen to hints."""
    folder = tmp_path_factory.mktemp("guided")
    torch.manual_seed(0)
    net = NanoNet()
    with torch.no_grad():
        net.hints.head.weight.normal_(0.0, 0.02)
    save_weights(net, folder / "guided.safetensors", {})
    entry = {
        "family": "nano",
        "kind": "metric_focal",
        "description": "made by a test",
        "licence": "CC0-1.0",
        "commercial": True,
        "weights": {"file": "guided.safetensors"},
    }
    registry = folder / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": {"small_guided": entry}}))
    return registry


@pytest.fixture(scope="module")
def pipeline(guided_registry):
    return build_pipeline(config(guided_registry))


def config(registry, **completion):
    return PipelineConfig(
        model="small_guided",
        registry=str(registry),
        device="cpu",
        engine="torch",
        threads=1,
        temporal=TemporalConfig(mode="none"),
        completion=CompletionConfig(**completion),
    )


def frame(**known):
    return Frame(rgb=RGB, stamp_ns=1, frame_id="camera", intrinsics=CAMERA, **known)


def half_a_wall():
    depth_m = np.full((96, 128), 2.0, np.float32)
    depth_m[:, 64:] = np.nan
    return depth_m


def some_points(count):
    random = np.random.default_rng(0)
    across, down = random.uniform(-1.0, 1.0, count), random.uniform(-0.8, 0.8, count)
    return np.stack([across, down, np.full(count, 2.0)], axis=1).astype(np.float32)


@pytest.mark.slow
def test_warm_up_readies_the_engines_of_both_networks(guided_registry, caplog):
    pytest.importorskip("onnxruntime", reason="the package onnxruntime runs the engines")
    pipeline = build_pipeline(replace(config(guided_registry), engine="onnxruntime"))
    assert pipeline.engine_reports() == []

    with caplog.at_level("INFO", "mono_depth.engines.runner"):
        warm_up(pipeline)

    tried = [text for record in caplog.records if "trying" in (text := record.getMessage())]
    assert tried == [  # once each: with hints and without, the size is the same
        "small_guided at 1x3x160x224, 1x2x160x224: trying onnxruntime fp32",
        "small_guided hints at 1x3x160x224, 1x2x160x224, 1x6x160x224: trying onnxruntime fp32",
    ]
    plans = {report.model: str(report.plan) for report in pipeline.engine_reports()}
    assert plans == {"small_guided": "onnxruntime fp32", "small_guided hints": "onnxruntime fp32"}


@pytest.mark.slow
def test_an_image_alone_is_enough(pipeline):
    result = pipeline.process(frame())

    assert result.completed == ""
    assert result.mask is None
    assert result.depth_m.isfinite().all()


@pytest.mark.slow
def test_depth_of_a_sensor_is_kept_and_its_holes_are_filled(pipeline):
    result = pipeline.process(frame(sensor_depth_m=half_a_wall()))

    assert result.completed == "sensor_depth"
    torch.testing.assert_close(result.depth_m[:, :60], torch.full((96, 60), 2.0))
    assert result.depth_m[:, 66:].isfinite().all()
    assert result.mask[:, 66:].all()
    assert not result.mask[:, :60].any()


@pytest.mark.parametrize("count", [1, 5, 50])
def test_any_number_of_points_is_used(pipeline, count):
    result = pipeline.process(frame(sparse_points_m=some_points(count)))

    assert result.completed == "sparse_points"
    assert int((~result.network_mask).sum()) in range(1, count + 1)
    seen = result.network_depth_m[~result.network_mask]
    torch.testing.assert_close(seen, torch.full_like(seen, 2.0), rtol=0.02, atol=0.0)


def test_height_and_gravity_are_used(pipeline):
    alone = pipeline.process(frame()).network_depth_m
    told = pipeline.process(frame(camera_height_m=0.3, gravity_camera=DOWN)).network_depth_m

    assert not torch.equal(told, alone)
    assert torch.equal(pipeline.process(frame(camera_height_m=0.3)).network_depth_m, alone)


def test_the_ground_can_be_kept_from_it(guided_registry, pipeline):
    alone = pipeline.process(frame()).network_depth_m
    pipeline.reconfigure(config(guided_registry, level_ground=False))
    not_told = pipeline.process(frame(camera_height_m=0.3, gravity_camera=DOWN)).network_depth_m
    pipeline.reconfigure(config(guided_registry))

    torch.testing.assert_close(not_told, alone)


def test_depth_can_be_kept_from_it(guided_registry, pipeline):
    alone = pipeline.process(frame()).network_depth_m
    pipeline.reconfigure(config(guided_registry, source="guess"))
    not_told = pipeline.process(frame(sensor_depth_m=half_a_wall()))
    pipeline.reconfigure(config(guided_registry))

    assert not_told.completed == ""
    torch.testing.assert_close(not_told.network_depth_m, alone)


@pytest.mark.slow
@pytest.mark.parametrize("known", ["ground", "points", "sensor_depth"])
def test_a_fixed_factor_is_applied_to_the_image_alone_and_that_is_said_once(
    guided_registry, pipeline, caplog, known
):
    hints = {
        "ground": {"camera_height_m": 0.3, "gravity_camera": DOWN},
        "points": {"sparse_points_m": some_points(50)},
        "sensor_depth": {"sensor_depth_m": half_a_wall()},
    }[known]
    alone = pipeline.process(frame()).network_depth_m
    fixed = replace(config(guided_registry), scale=ScaleConfig(source="fixed", factor=2.5))
    calibrated = build_pipeline(fixed)
    with caplog.at_level("WARNING", "mono_depth.pipeline.pipeline"):
        results = [calibrated.process(replace(frame(**hints), stamp_ns=i)) for i in (1, 2)]

    for result in results:
        torch.testing.assert_close(result.network_depth_m, 2.5 * alone)
        assert "the network gets the image alone" in result.scale.last_reject
        assert result.completed == ""
    assert sum("scale.source is fixed" in text for text in caplog.messages) == 1
    assert calibrated.process(replace(frame(), stamp_ns=3)).scale.last_reject == ""


def test_a_chosen_source_that_is_missing_is_an_error_of_the_frame(guided_registry, pipeline):
    pipeline.reconfigure(config(guided_registry, source="sparse_points"))
    with pytest.raises(FrameError, match=r"completion\.source is sparse_points, but the frame"):
        pipeline.process(frame(sensor_depth_m=half_a_wall()))
    pipeline.reconfigure(config(guided_registry))

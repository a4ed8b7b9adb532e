"""Memory of a device that runs out in any stage of a frame: a step down, and on with the stream."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, RefineConfig
from mono_depth.errors import ModelError
from mono_depth.models.loading import load_model
from mono_depth.pipeline.memory_fallback import Loaded, ModelLoader, Step
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.open import open_sequence
from pretend_gpu import pretend_gpu

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def gpu():
    with pretend_gpu() as found:
        yield found


@pytest.fixture(scope="module")
def walk():
    sequence = open_sequence("synthetic:office/robot/1/320x240")
    return [sequence[index].as_camera_frame() for index in range(4)]


@cache
def nano_on(device: torch.device):
    return load_model("nano", device=device)


def stepping_pipeline(*steps: torch.device, **values) -> DepthPipeline:
    def load(step: Step) -> Loaded:
        return Loaded(model=nano_on(step.device), engines=None)

    loader = ModelLoader([Step(device=device) for device in steps], load)
    return DepthPipeline.from_loader(loader, PipelineConfig(threads=1, **values))


def devices(result) -> set[str]:
    return {item.device.type for item in (result.depth_m, result.relative, result.confidence)}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["models/", "scale/", "temporal/"])
def test_frames_after_the_step_to_the_cpu_are_found_there(gpu, walk, stage):
    pipeline = stepping_pipeline(GPU, CPU)
    assert devices(pipeline.process(walk[0])) == {"cuda"}

    gpu.full_in = stage
    found = [pipeline.process(frame) for frame in walk[1:]]

    assert [devices(result) for result in found] == [{"cpu"}] * 3
    assert [result.temporal for result in found] == ["pose"] * 3
    assert all(np.isfinite(result.depth_m.numpy()).mean() > 0.5 for result in found)
    assert pipeline.memory_problem.endswith("; next: cpu")
    assert "Tried to allocate at " + stage in pipeline.memory_problem


@pytest.mark.slow
def test_memory_that_an_output_lacks_costs_its_frame_and_no_other(gpu, walk):
    pipeline = stepping_pipeline(GPU, CPU, refine=RefineConfig(mode="guided"))
    result = pipeline.process(walk[0])
    gpu.full_in = "outputs/"
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        result.depth_m  # noqa: B018 - it is made when it is asked for

    assert pipeline.give_way(caught.value)
    assert devices(pipeline.process(walk[1])) == {"cpu"}


@pytest.mark.slow
def test_an_error_of_an_output_that_memory_has_no_part_in_changes_nothing(gpu):
    pipeline = stepping_pipeline(GPU, CPU)
    assert not pipeline.give_way(RuntimeError("a broken pipe"))
    assert pipeline.model.device == GPU
    assert pipeline.memory_problem == ""


@pytest.mark.slow
def test_without_a_further_step_it_is_an_error_of_the_frame(gpu, walk):
    pipeline = stepping_pipeline(GPU)
    gpu.full_in = "temporal/"
    with pytest.raises(ModelError, match="out of memory on cuda:0: CUDA out of memory"):
        pipeline.process(walk[0])

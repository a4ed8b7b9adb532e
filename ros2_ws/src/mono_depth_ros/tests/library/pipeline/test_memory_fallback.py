"""When memory does not suffice: a smaller input once, then the CPU, and never a crash loop.

The network raises the error of a full GPU by itself, above a size: there need not be a GPU.
"""

from __future__ import annotations

import pytest
import torch
import yaml

from mono_depth.config import PipelineConfig, TemporalConfig
from mono_depth.data import Frame
from mono_depth.errors import ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.families.midas import MidasNet
from mono_depth.models.loading import load_model
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.memory_fallback import Loaded, ModelLoader, Step, steps_for

CPU, GPU = torch.device("cpu"), torch.device("cuda:1")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Registry with `midas`: MiDaS small on weights of a rule, at 96x96 pixels."""
    folder = tmp_path_factory.mktemp("midas")
    with torch.device("meta"):
        state = MidasNet("small").state_dict()
    shapes = {name: value.shape for name, value in state.items()}
    weights = pseudo_random.fill(shapes, positive=["scratch.output_conv.4.bias"])
    torch.save(weights, folder / "model.pt")
    entry = {
        "family": "midas",
        "variant": "small",
        "kind": "inverse_affine",
        "description": "made by a test",
        "licence": "CC0-1.0",
        "commercial": True,
        "weights": {"file": "model.pt"},
        "input": {"width": 96, "height": 96, "rule": "upper_bound", "multiple_of": 32},
    }
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump({"models": {"midas": entry}}))
    return path


@pytest.fixture
def memory(monkeypatch):
    """Limit the input of the network to `memory["pixels"]`; `memory["sizes"]` saw all of them."""
    forward = MidasNet.forward
    memory = {"pixels": 10**6, "sizes": []}

    def limited(self, image):
        memory["sizes"].append(tuple(image.shape[-2:]))
        if image.shape[-2] * image.shape[-1] > memory["pixels"]:
            raise torch.cuda.OutOfMemoryError("tried to allocate 2.00 GiB\nand more text")
        return forward(self, image)

    monkeypatch.setattr(MidasNet, "forward", limited)
    return memory


def config(registry, **values):
    plain = {"model": "midas", "registry": str(registry), "device": "cpu", "threads": 1}
    plain |= {"engine": "torch", "precision": "fp32", "temporal": TemporalConfig(mode="none")}
    return PipelineConfig(**(plain | values))


def frame(number: int) -> Frame:
    rgb = pseudo_random.image(120, 160)
    return Frame(rgb=rgb, stamp_ns=number * 10**8, frame_id="camera")


def test_steps_of_a_gpu_end_on_the_cpu():
    assert [str(step) for step in steps_for(GPU)] == [
        "cuda:1",
        "cuda:1, with an input of 70 % the side",
        "cpu",
    ]
    assert [str(step) for step in steps_for(CPU)] == ["cpu", "cpu, with an input of 70 % the side"]


@pytest.mark.slow
def test_memory_that_runs_out_in_the_stream_makes_the_input_smaller(registry, memory, caplog):
    pipeline = build_pipeline(config(registry))
    before = pipeline.process(frame(1))
    assert before.network_relative.shape == (64, 96)
    assert pipeline.memory_problem == ""

    memory["pixels"] = 50 * 96
    after = pipeline.process(frame(2))

    assert after.network_relative.shape == (64, 64)
    assert after.network_relative.isfinite().all()
    told = "out of memory on cpu: tried to allocate 2.00 GiB; next: cpu, with an input of 70 %"
    assert pipeline.memory_problem.startswith(told)
    assert told in caplog.text
    # each time three images, then frames; the last one at 64x96 is the one that failed
    assert memory["sizes"] == 5 * [(64, 96)] + 4 * [(64, 64)]
    assert pipeline.process(frame(3)).network_relative.shape == (64, 64)


@pytest.mark.slow
def test_memory_that_does_not_suffice_at_start_makes_the_input_smaller(registry, memory):
    memory["pixels"] = 50 * 96
    pipeline = build_pipeline(config(registry, engine="auto", precision="auto"), is_live=True)
    assert pipeline.process(frame(1)).network_relative.shape == (64, 64)
    assert "next: cpu, with an input of 70 % the side" in pipeline.memory_problem


@pytest.mark.slow
def test_memory_that_never_suffices_is_an_error_at_start_and_of_each_frame(registry, memory):
    pipeline = build_pipeline(config(registry))
    memory["pixels"] = 100
    told = r"out of memory on cpu, with an input of 70 % the side: tried to allocate 2\.00 GiB$"
    for number in (1, 2, 3):
        with pytest.raises(ModelError, match=told):
            pipeline.process(frame(number))

    with pytest.raises(ModelError, match=told):
        build_pipeline(config(registry, engine="auto", precision="auto"), is_live=True)


@pytest.mark.slow
def test_the_cpu_comes_after_the_smaller_input():
    tried = []
    model = load_model("nano")

    def load(step: Step) -> Loaded:
        tried.append(str(step))
        if step.device != CPU:
            raise torch.cuda.OutOfMemoryError("full")
        return Loaded(model=model, engines=None)

    loader = ModelLoader(steps_for(GPU), load)
    assert loader.load().model is model
    assert tried == ["cuda:1", "cuda:1, with an input of 70 % the side", "cpu"]
    told = "out of memory on cuda:1, with an input of 70 % the side: full; next: cpu"
    assert loader.problem == told
    assert loader.is_exhausted


@pytest.mark.slow
def test_a_network_of_one_size_goes_to_the_cpu_at_once():
    def load(step: Step) -> Loaded:
        if step.shrink != 1.0:
            raise ModelError("the input size of nano is fixed")
        if step.device != CPU:
            raise torch.cuda.OutOfMemoryError("full")
        return Loaded(model=load_model("nano"), engines=None)

    loader = ModelLoader(steps_for(GPU), load)
    assert loader.load().model.name == "nano"
    assert loader.problem.endswith("the input size of nano is fixed; next: cpu")


def test_an_error_that_has_nothing_to_do_with_memory_stays():
    def load(step: Step) -> Loaded:
        raise ModelError("no weights")

    with pytest.raises(ModelError, match=r"^no weights$"):
        ModelLoader(steps_for(GPU), load).load()

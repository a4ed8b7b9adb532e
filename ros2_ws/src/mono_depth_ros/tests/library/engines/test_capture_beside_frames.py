"""A graph that is captured while frames flow: neither breaks the other."""

from __future__ import annotations

import threading

import pytest
import torch

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.engines import torch_engine
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.protocol import BuildContext, Network, Plan
from mono_depth.engines.trial_images import trial_images
from mono_depth.models.loading import load_model
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.system.unused_memory import free_unused_memory
from pretend_gpu import pretend_gpu

GPU = torch.device("cuda", 0)
_LONG_S = 20.0


@pytest.fixture
def gpu():
    with pretend_gpu() as found:
        yield found


class SlowToCapture(torch.nn.Module):
    """Doubles its input; a capture of it lasts until `may_end`."""

    def __init__(self, gpu) -> None:
        super().__init__()
        self.gpu, self.is_in, self.may_end = gpu, threading.Event(), threading.Event()

    def forward(self, values):
        if self.gpu.is_capturing:
            self.is_in.set()
            assert self.may_end.wait(_LONG_S)
        return values * 2.0


class Constant:
    """A model without a network: a ramp of depth."""

    name, kind, device, weights_sha256 = "ramp", OutputKind.METRIC, GPU, ""
    scale_sigma_rel = 0.5

    def infer(self, rgb, intrinsics):
        del intrinsics
        return Prediction(values=rgb[..., 0].float() + 1.0, kind=self.kind)


def frame(number: int) -> Frame:
    return Frame(rgb=trial_images()[0], stamp_ns=number * 10**8, frame_id="camera")


@pytest.mark.slow
@pytest.mark.parametrize("beside", ["a frame", "memory that is given back"])
def test_what_comes_during_a_capture_waits_for_its_end(gpu, tmp_path, beside):
    net = SlowToCapture(gpu)
    inputs = (torch.ones(3, device=GPU),)
    network = Network(name="slow", sha256="0" * 64, arguments=inputs, net=net)
    context = BuildContext(
        device=GPU, device_name="a GPU", threads=1, store=EngineCache(tmp_path / "engines")
    )
    engines, results = [], []

    def build():
        plan = Plan(engine="torch", precision="fp32")
        engines.append(torch_engine.build(network, plan, context))

    pipeline = DepthPipeline(Constant(), PipelineConfig(threads=1))

    def work():
        made = pipeline.process(frame(1)) if beside == "a frame" else free_unused_memory()
        results.append(made)

    builder, worker = threading.Thread(target=build), threading.Thread(target=work)
    builder.start()
    assert net.is_in.wait(_LONG_S)
    worker.start()
    worker.join(0.2)
    assert worker.is_alive()
    net.may_end.set()
    builder.join(_LONG_S)
    worker.join(_LONG_S)

    assert engines[0].detail == "CUDA graph"  # not refused
    assert len(results) == 1
    (doubled,) = engines[0].call(torch.full((3,), 4.0, device=GPU))
    assert doubled.cpu().tolist() == [8.0, 8.0, 8.0]


@pytest.mark.slow
def test_no_frame_waits_for_the_whole_device(gpu):
    pipeline = DepthPipeline(load_model("nano", device=GPU), PipelineConfig(threads=1))
    for number in (1, 2):
        result = pipeline.process(frame(number))
    assert not [what for what in gpu.waits if "device" in what or "stream" in what]

    result.relative.cpu()
    waited = sum(gpu.stalls.values())
    stages = {"upload", "motion", "infer", "scale", "correction", "temporal", "trust"}
    assert stages == result.stage_ms.keys()
    assert all(value >= 0.0 for value in result.stage_ms.values())
    assert sum(gpu.stalls.values()) == waited  # events that had passed by then

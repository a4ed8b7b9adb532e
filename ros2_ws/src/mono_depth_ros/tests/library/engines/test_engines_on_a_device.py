"""Which engine wins on a device, and what becomes of one whose numbers overflow later."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from mono_depth.config import PipelineConfig, TemporalConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.engines import choice, gpu_libraries, runner, torch_engine
from mono_depth.engines import engines as engines_module
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.copies import copied
from mono_depth.engines.engines import Engines
from mono_depth.engines.protocol import EngineError, Network, Plan
from mono_depth.engines.trial_images import trial_images
from mono_depth.models.loading import load_model
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.pipeline import DepthPipeline
from pretend_gpu import pretend_gpu

GPU = torch.device("cuda", 0)
_REFERENCE_MS = 3.0
FP16, BF16 = (Plan(engine="torch", precision=precision) for precision in ("fp16", "bf16"))


@pytest.fixture(autouse=True)
def _small_images(monkeypatch):
    """Engines are tried on images of 160x120, for half precision is slow on a CPU."""
    small = [rgb[::4, ::4].copy() for rgb in trial_images()]
    monkeypatch.setattr(engines_module, "trial_images", lambda: small)


@pytest.fixture
def gpu():
    with pretend_gpu() as found:
        yield found


class Blur:
    """A model whose network is one convolution; `gain` is that of its camera."""

    name, kind, device, weights_sha256 = "blur", OutputKind.INVERSE_AFFINE, GPU, "0" * 64
    scale_sigma_rel = 0.5

    def __init__(self) -> None:
        blur = torch.nn.Conv2d(3, 1, 5, padding=2)
        torch.nn.init.constant_(blur.weight, 1.0)
        self.gain = 1.0
        self.net = ReplaceableNet(blur.to(GPU).eval())
        self.networks = (self.net,)

    def infer(self, rgb: torch.Tensor, intrinsics: None) -> Prediction:
        del intrinsics
        values = self.net(rgb.to(GPU).permute(2, 0, 1)[None].float() * self.gain)
        return Prediction(values=values[0, 0], kind=self.kind)


def fitted(folder, **options):
    """Return the model with engines under it, and the engines."""
    engines = Engines(device=GPU, threads=1, weights_folder=folder, **options)
    model = Blur()
    engines.fit(model, replace(read_registry(None)["nano"], name="blur"))
    engines.prepare(model)
    return model, engines


@pytest.fixture
def speeds(monkeypatch):
    """Times of engines [ms], by precision, in place of the pretend device's; the others fail."""
    times_ms: dict[str, float] = {}
    build = torch_engine.build
    by_call: dict[object, float] = {}

    def timed_build(network, plan, context):
        if plan.engine != "torch" or plan.precision not in times_ms:
            raise EngineError("there is none")
        engine = build(network, plan, context)
        by_call[engine.call] = times_ms[plan.precision]
        return engine

    def raced(_reference, *runs, device):
        assert device == GPU
        return [_REFERENCE_MS, *(by_call[run.func] for run in runs)]

    monkeypatch.setattr(runner, "race", raced)
    monkeypatch.setattr(runner, "timed", lambda run, device: (_REFERENCE_MS, run()))
    monkeypatch.setattr(choice, "build", timed_build)
    return times_ms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times_ms", "winner"),
    [
        ({"fp16": 1.0, "bf16": 0.5, "fp32": 2.0}, "bf16"),
        ({"fp16": 0.5, "bf16": 1.0, "fp32": 2.0}, "fp16"),
        ({"fp16": 1.0, "bf16": 1.04}, "bf16"),  # as fast, and it cannot overflow
        ({"fp16": 1.0, "bf16": 1.10}, "fp16"),
        ({"fp32": 2.0}, "fp32"),
        ({"fp16": 5.0, "bf16": 2.9, "fp32": 2.5}, "fp32"),
    ],
)
def test_the_fastest_engine_wins_on_a_device(gpu, speeds, tmp_path, times_ms, winner):
    speeds.update(times_ms)
    model, engines = fitted(tmp_path)
    model.infer(torch.zeros(120, 160, 3, dtype=torch.uint8), None)
    (report,) = engines.reports()
    assert report.plan == Plan(engine="torch", precision=winner)
    assert report.ms == times_ms[winner]


@pytest.mark.slow
def test_a_network_of_a_few_ms_is_worth_an_engine_on_a_device(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "timed", lambda run, device: (_REFERENCE_MS, run()))
    monkeypatch.setattr(runner, "race", lambda *_, device: [_REFERENCE_MS, 0.2])
    model, engines = fitted(tmp_path)
    rgb = torch.zeros(120, 160, 3, dtype=torch.uint8)
    model.infer(rgb, None)
    (report,) = engines.reports()
    assert report.detail == "CUDA graph"
    assert report.plan.precision in ("fp16", "bf16")
    assert "0.200 ms, torch fp32 3.000 ms" in report.why


@pytest.mark.slow
def test_of_two_graphs_the_faster_one_is_taken(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    for times_ms, detail in (([1.0, 2.0], "compiled, CUDA graph"), ([2.0, 1.0], "CUDA graph")):
        monkeypatch.setattr(torch_engine, "race", lambda *_, device, ms=times_ms: ms)
        model, engines = fitted(tmp_path, engine="torch", precision="fp16")
        model.infer(torch.zeros(120, 160, 3, dtype=torch.uint8), None)
        (report,) = engines.reports()
        assert report.detail == detail


def frame(number: int) -> Frame:
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:, :80] = 100
    return Frame(rgb=rgb, stamp_ns=number * 10**8, frame_id="camera")


@pytest.mark.slow
@pytest.mark.parametrize("is_live", [False, True])
def test_an_overflow_in_a_later_frame_is_seen_in_it_and_ends_fp16(
    gpu, speeds, tmp_path, is_live, caplog
):
    speeds.update({"fp16": 1.0, "bf16": 2.0})
    model, engines = fitted(tmp_path, engine="torch", is_live=is_live)
    config = PipelineConfig(threads=1, temporal=TemporalConfig(mode="none"))
    pipeline = DepthPipeline(model, config, engines)
    assert pipeline.process(frame(1)).relative.isfinite().all().cpu()
    assert plans(engines) == [FP16]

    model.gain = 20.0  # 75 * 100 * 20 is too much for fp16
    result = pipeline.process(frame(2))

    assert result.relative.isfinite().all().cpu()
    assert float(result.relative.amax().cpu()) > 65504.0
    deadline_s = time.monotonic() + 20.0
    while plans(engines) != [BF16] and time.monotonic() < deadline_s:
        assert pipeline.process(frame(3)).relative.isfinite().all().cpu()
        time.sleep(0.01)
    (report,) = engines.reports()
    assert report.plan == BF16
    (refused,) = report.refused
    assert refused.startswith("torch fp16: ")
    assert refused.endswith("% of a frame's output is NaN or infinite")
    assert refused in caplog.text.replace(" is not taken:", ":")
    engines.close()


def plans(engines: Engines) -> list[Plan]:
    return [report.plan for report in engines.reports()]


def test_a_provider_that_was_compiled_in_but_does_not_load_costs_no_attempt(gpu, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    compiled_in = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: compiled_in)
    for why in (gpu_libraries.why_no_cuda, gpu_libraries.why_no_tensorrt):
        why.cache_clear()

    assert {plan.engine for plan in choice.plans("auto", "auto", GPU)} == {"torch"}
    with pytest.raises(EngineError, match="ONNX Runtime cannot use CUDA: this ONNX Runtime was"):
        choice.plans("onnxruntime", "auto", GPU)
    assert gpu_libraries.why_no_tensorrt().startswith("the libraries of TensorRT are not installed")


def test_a_library_that_lacks_another_is_named(monkeypatch, tmp_path):
    capi = tmp_path / "capi"
    capi.mkdir()
    (capi / "libonnxruntime_providers_cuda.so").write_bytes(b"no library")
    monkeypatch.setattr(
        gpu_libraries,
        "_onnxruntime",
        lambda: SimpleNamespace(__file__=str(tmp_path / "__init__.py")),
    )
    gpu_libraries.why_no_cuda.cache_clear()
    assert "libonnxruntime_providers_cuda.so" in gpu_libraries.why_no_cuda()
    gpu_libraries.why_no_cuda.cache_clear()


@pytest.mark.slow
def test_fp32_on_a_device_is_not_tf32(gpu, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    load_model("nano", device=GPU)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("is_named_by_torch", [False, True])
def test_what_was_compiled_is_kept_beside_the_engines(
    gpu, tmp_path, monkeypatch, is_named_by_torch
):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    if is_named_by_torch:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())
    model, _ = fitted(tmp_path, engine="torch", precision="fp16")
    model.infer(torch.zeros(120, 160, 3, dtype=torch.uint8), None)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "engines" / "inductor")

    (tmp_path / "engines" / "inductor").mkdir(parents=True)
    cache = EngineCache(tmp_path / "engines")
    assert cache.stored() == []
    assert cache.clear()[0] == 1


def test_on_a_device_it_is_no_engine_for_cpus_that_is_missing(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "plans", lambda *_: [])
    model, engines = fitted(tmp_path)
    model.infer(torch.zeros(120, 160, 3, dtype=torch.uint8), None)
    (report,) = engines.reports()
    assert report.why == "nothing faster is installed: pip install onnxruntime-gpu"


def test_a_copy_in_a_shorter_format_shares_what_is_not_rounded(gpu):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).to(GPU).eval()
    short = copied(net, lambda weight: weight.half() if weight.ndim == 4 else weight)
    assert short[0].weight.dtype == torch.float16
    assert net[0].weight.dtype == torch.float32
    assert short[1].weight is net[1].weight
    assert short[1].running_mean is net[1].running_mean


def test_a_network_is_copied_to_the_cpu_without_a_second_one_on_the_device(gpu):
    arguments = (torch.ones(1, 3, 8, 8, device=GPU),)
    network = Network(
        name="net", sha256="0" * 64, arguments=arguments, net=torch.nn.Conv2d(3, 4, 3).to(GPU)
    )
    gpu.reset()
    module, (image,) = network.on_cpu()
    assert gpu.launched == 0  # a clone on the device would be one
    assert {item.device.type for item in (image, *module.parameters())} == {"cpu"}
    expected = network.net(*arguments)
    torch.testing.assert_close(module(image)[0], expected.cpu())

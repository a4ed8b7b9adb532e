"""What runs a network: each engine says what torch in fp32 says, or is not taken."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.engines import choice, onnxruntime_engine, openvino_engine, runner
from mono_depth.engines.arguments import resized
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.engines import Engines
from mono_depth.engines.protocol import ONNX_FILE, EngineError, EngineKey, Plan
from mono_depth.engines.trial_images import trial_images
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import VIT_SIZES, VitConfig
from mono_depth.models.checks import pseudo_random
from mono_depth.models.families.depth_anything import _SIZES, DepthAnythingNet
from mono_depth.models.loading import load_model
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.build import build_pipeline, choose_device, warm_up
from mono_depth.system.machine import cpu_computes_bf16
from mono_depth.system.threads import torch_threads

openvino = pytest.importorskip("openvino", reason="the package openvino is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
pytest.importorskip("onnx", reason="the package onnx is not installed")

CPU = torch.device("cpu")
ROOM, STREET = (torch.from_numpy(rgb) for rgb in trial_images())
needs_bf16 = pytest.mark.skipif(not cpu_computes_bf16(), reason="this CPU has no bf16")


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of weights whose cache of engines the tests of this module share."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def _one_thread():
    with torch_threads(1):
        yield


def fitted(name: str, folder: Path, *, registry: Path | None = None, **options):
    """Return a model with engines under it, and the engines."""
    engines = Engines(device=CPU, threads=1, weights_folder=folder, **options)
    model = load_model(name, engines=engines, registry=registry)
    engines.prepare(model)
    return model, engines


class Blur:
    """A model whose network is one convolution: built in no time."""

    name = "blur"
    kind = OutputKind.INVERSE_AFFINE
    device = CPU

    def __init__(self, weights_sha256: str = "0" * 64) -> None:
        self.weights_sha256 = weights_sha256
        blur = torch.nn.Conv2d(3, 1, 5, padding=2)
        torch.manual_seed(0)
        torch.nn.init.uniform_(blur.weight, 0.0, 0.1)
        self.net = ReplaceableNet(blur)
        self.networks = (self.net,)

    def infer(self, rgb: torch.Tensor, intrinsics: None) -> Prediction:
        with torch.inference_mode():
            values = self.net(rgb.permute(2, 0, 1)[None].float())
        return Prediction(values=values[0, 0], kind=self.kind)


def fitted_blur(folder: Path, *, sha256: str = "0" * 64, **options):
    engines = Engines(
        device=CPU, weights_folder=folder, engine="openvino", precision="fp32", **options
    )
    model = Blur(sha256)
    engines.fit(model, replace(read_registry(None)["nano"], name="blur"))
    engines.prepare(model)
    return model, engines


def report_of(model, engines: Engines, rgb: torch.Tensor = ROOM):
    """Return what runs the network of a model once it has seen an image."""
    model.infer(rgb, None)
    (report,) = engines.reports()
    return report


# Each engine and precision, on each kind of network.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "precision", "largest"),
    [
        ("openvino", "fp32", 1e-4),
        pytest.param("openvino", "bf16", 0.05, marks=needs_bf16),
        ("onnxruntime", "fp32", 1e-4),
        pytest.param("torch", "bf16", 0.05, marks=needs_bf16),
    ],
)
def test_nano_says_the_same_depth_on_every_engine(cache_folder, engine, precision, largest):
    model, engines = fitted("nano", cache_folder, engine=engine, precision=precision)
    depth_m, expected_m = model.infer(STREET, None), load_model("nano").infer(STREET, None)

    (report,) = engines.reports()
    assert (report.plan.engine, report.plan.precision) == (engine, precision)
    assert report.refused == ()
    assert report.ms > 0.0
    median = (depth_m.values / expected_m.values - 1.0).abs().median()
    assert median < largest
    assert (depth_m.values != expected_m.values).any()  # something else has computed it
    torch.testing.assert_close(depth_m.confidence, expected_m.confidence, atol=0.1, rtol=0.0)


@pytest.fixture(scope="module")
def fastdepth(shared_data, tmp_path_factory) -> Path:
    """Registry with FastDepth, an ONNX file of a really trained network."""
    source = Path(__file__).parents[3] / "config" / "fastdepth_registry.example.yaml"
    folder = tmp_path_factory.mktemp("fastdepth")
    network = shared_data / "fastdepth" / "fastdepth_nyu_224.onnx"
    (folder / network.name).symlink_to(network)
    return Path(shutil.copy(source, folder / "registry.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_openvino_reads_the_onnx_file_of_fastdepth(cache_folder, fastdepth, precision):
    options = {"engine": "openvino", "precision": precision}
    model, engines = fitted("fastdepth", cache_folder, registry=fastdepth, **options)
    depth_m = model.infer(ROOM, None).values
    expected_m = load_model("fastdepth", registry=fastdepth).infer(ROOM, None).values

    (report,) = engines.reports()
    assert report.plan == Plan(engine="openvino", precision=precision)
    assert report.shapes == "1x3x224x224"
    assert (depth_m / expected_m - 1.0).abs().median() < (1e-4 if precision == "fp32" else 0.02)


@pytest.mark.slow
def test_an_interrupt_is_one_also_after_another_thread_freed_a_network_of_openvino():
    work = """
        import signal, sys, threading
        sys.path[:0] = sys.argv[1:]
        from mono_depth.engines import openvino_engine

        held = [openvino_engine.core()]
        held[0].get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # loads what is for the CPU
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
    """
    command = [sys.executable, "-c", dedent(work), *sys.path]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120.0, check=False)
    assert (process.returncode, process.stdout) == (0, "interrupted\n"), process.stderr


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory):
    """Registry with `tiny_vit`: Depth Anything V2 with four thin blocks, on weights of a rule."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VIT_SIZES, "tiny", VitConfig(width=64, depth=4, heads=2))
        thin = {"spread": (0, 1, 2, 3), "features": 16, "channels": (16, 16, 16, 16)}
        patch.setitem(_SIZES, "tiny", replace(_SIZES["small"], **thin))
        with torch.device("meta"):
            state = DepthAnythingNet("tiny", None).state_dict()
        shapes = {name: value.shape for name, value in state.items()}
        last = "depth_head.scratch.output_conv2.2.bias"
        folder = tmp_path_factory.mktemp("tiny_vit")
        torch.save(pseudo_random.fill(shapes, positive=[last]), folder / "model.pth")
        entry = {
            "family": "depth_anything_v2",
            "variant": "tiny",
            "kind": "inverse_affine",
            "description": "made by a test",
            "licence": "CC0-1.0",
            "commercial": True,
            "weights": {"file": "model.pth"},
            "input": {"width": 98, "height": 98, "rule": "lower_bound", "multiple_of": 14},
        }
        registry = folder / "registry.yaml"
        registry.write_text(yaml.safe_dump({"models": {"tiny_vit": entry}}))
        yield registry


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("openvino", "fp32"),
        pytest.param("openvino", "bf16", marks=needs_bf16),
        ("onnxruntime", "fp32"),
        pytest.param("torch", "bf16", marks=needs_bf16),
    ],
)
def test_a_transformer_says_the_same_on_every_engine(cache_folder, tiny_vit, engine, precision):
    options = {"engine": engine, "precision": precision}
    model, engines = fitted("tiny_vit", cache_folder, registry=tiny_vit, **options)
    values = model.infer(STREET, None).values
    expected = load_model("tiny_vit", registry=tiny_vit).infer(STREET, None).values

    (report,) = engines.reports()
    assert report.plan == Plan(engine=engine, precision=precision)
    spread = expected.quantile(0.98) - expected.quantile(0.02)
    assert (values - expected).abs().median() < spread * (1e-4 if precision == "fp32" else 0.02)


@pytest.mark.slow
def test_torch_attends_by_its_fused_kernel(tiny_vit):
    class Called(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.names.append(str(function))
            return function(*args, **(kwargs or {}))

    model = load_model("tiny_vit", registry=tiny_vit)
    with torch.no_grad(), Called() as called:
        model.net(torch.zeros(1, 3, 98, 126))

    fused = [name for name in called.names if "_scaled_dot_product_flash_attention" in name]
    assert len(fused) == 4
    assert not [name for name in called.names if "softmax" in name]


# Engines that are not what they should be.


def replaced(cache: EngineCache, key: EngineKey, change) -> None:
    """Store an engine in the place of another: whole by its manifest, but another one."""
    folder = cache.find(key)
    assert folder is not None
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    del files["manifest.json"]
    cache.remove(key)

    def write(made: Path) -> None:
        for name, content in files.items():
            (made / name).write_bytes(content)
        change(made)

    cache.put(key, write)


@pytest.fixture(scope="module")
def engines_of_nano(cache_folder) -> Path:
    """The folder of weights, with two engines of nano."""
    with torch_threads(1):
        for engine in ("onnxruntime", "openvino"):
            fitted("nano", cache_folder, engine=engine, precision="fp32", is_live=True)
    return cache_folder


@pytest.fixture
def own_cache(engines_of_nano, tmp_path) -> Path:
    """A copy of the folder of weights, whose engines a test may damage."""
    shutil.copytree(engines_of_nano, tmp_path / "weights")
    return tmp_path / "weights"


def key_of(folder: Path, engine: str) -> EngineKey:
    (stored,) = [
        item
        for item in EngineCache(folder / "engines").stored()
        if (item.key.plan.engine, item.key.model, item.key.part) == (engine, "nano", "depth")
    ]
    return stored.key


@pytest.fixture
def exporter_goes_wrong(monkeypatch):
    """Return a function that lets every exported file of nano be changed."""
    exported = onnxruntime_engine.exported

    def by(change) -> None:
        def wrongly(network, path):
            exported(network, path)
            if network.part == "depth":
                change(path.parent)

        monkeypatch.setattr(onnxruntime_engine, "exported", wrongly)

    return by


@pytest.mark.slow
@pytest.mark.parametrize("wrong_by", [1.5, math.nan])
def test_a_stored_engine_that_is_wrong_is_deleted_and_built_once_more(
    own_cache, with_one_weight_more_by, caplog, wrong_by
):
    key = key_of(own_cache, "onnxruntime")
    replaced(EngineCache(own_cache / "engines"), key, with_one_weight_more_by(wrong_by))

    model, engines = fitted("nano", own_cache, engine="onnxruntime", precision="fp32")
    report = report_of(model, engines)

    assert (report.plan, report.refused) == (Plan(engine="onnxruntime", precision="fp32"), ())
    assert "the stored onnxruntime fp32 was deleted and is built anew: " in caplog.text
    expected = load_model("nano").infer(ROOM, None).values
    torch.testing.assert_close(model.infer(ROOM, None).values, expected, rtol=1e-3, atol=1e-3)
    caplog.clear()
    report_of(*fitted("nano", own_cache, engine="onnxruntime", precision="fp32"))
    assert "built anew" not in caplog.text  # what is stored now is right


@pytest.mark.slow
def test_a_changed_weight_is_found_out_and_torch_taken(
    own_cache, exporter_goes_wrong, with_one_weight_more_by, caplog
):
    EngineCache(own_cache / "engines").clear()
    exporter_goes_wrong(with_one_weight_more_by(1.5))

    model, engines = fitted("nano", own_cache, engine="onnxruntime", precision="fp32")
    report = report_of(model, engines)

    assert report.plan == Plan(engine="torch", precision="fp32")
    (reason,) = report.refused
    refusal = r"onnxruntime fp32: error below 0.001 % \(99th percentile 1\d\d %\), allowed is .*"
    assert re.fullmatch(refusal, reason)
    assert "onnxruntime fp32 is not taken: error" in caplog.text
    expected = load_model("nano").infer(ROOM, None).values
    torch.testing.assert_close(model.infer(ROOM, None).values, expected)


@pytest.mark.slow
def test_an_engine_that_says_nan_is_found_out_and_torch_taken(
    own_cache, exporter_goes_wrong, with_one_weight_more_by
):
    EngineCache(own_cache / "engines").clear()
    exporter_goes_wrong(with_one_weight_more_by(math.nan))

    report = report_of(*fitted("nano", own_cache, engine="onnxruntime", precision="fp32"))

    assert report.plan == Plan(engine="torch", precision="fp32")
    nothing = "onnxruntime fp32: 25 % of the output is NaN or infinite where it must not be"
    assert report.refused == (nothing,)


@pytest.mark.slow
def test_after_an_engine_of_another_network_the_next_one_is_taken(own_cache, monkeypatch):
    outputs = load_model("nano").net.module.head.out_channels // 4

    class Other(torch.nn.Module):
        def forward(self, image, rays):
            return (image + rays[:, :1])[:, :outputs]

    def other(network):
        inputs = (torch.rand(1, 3, 160, 224), torch.rand(1, 2, 160, 224))
        return openvino.convert_model(Other(), example_input=inputs)

    monkeypatch.setattr(openvino_engine, "convert", other)
    EngineCache(own_cache / "engines").remove(key_of(own_cache, "openvino"))
    engines = Engines(device=CPU, threads=1, weights_folder=own_cache, precision="fp32")
    model = load_model("nano", engines=engines)
    engines.prepare(model)
    report = report_of(model, engines)

    assert report.plan == Plan(engine="onnxruntime", precision="fp32")
    (reason,) = report.refused
    assert reason.startswith("openvino fp32: error ")


@pytest.mark.slow
def test_a_file_that_is_damaged_on_the_disk_is_built_anew(own_cache, caplog):
    stored = EngineCache(own_cache / "engines").find(key_of(own_cache, "onnxruntime"))
    file = stored / ONNX_FILE
    file.write_bytes(file.read_bytes()[:-1000])

    report = report_of(*fitted("nano", own_cache, engine="onnxruntime", precision="fp32"))

    assert report.plan == Plan(engine="onnxruntime", precision="fp32")
    assert "is built anew: model.onnx is missing or damaged" in caplog.text


@pytest.mark.slow
def test_an_engine_that_fails_on_a_frame_is_given_up(cache_folder, caplog):
    model, engines = fitted_blur(cache_folder)
    by_openvino = model.infer(ROOM, None).values
    (slot,) = model.net.call._slots.values()
    del slot.engine.call._request

    torch.testing.assert_close(model.infer(ROOM, None).values, by_openvino)
    report = report_of(model, engines)
    assert report.plan == Plan(engine="torch", precision="fp32")
    assert report.refused[0].startswith("openvino fp32: failed on a frame: ")
    assert "not taken: failed on a frame" in caplog.text


# What can be had on this machine.


@pytest.fixture
def without(monkeypatch):
    def hide(*packages: str) -> None:
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return hide


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_that_is_not_installed_is_told_with_the_cure(without, engine):
    without(engine)
    with pytest.raises(
        ModelError, match=f"engine {engine} is not installed: pip install {engine}$"
    ):
        build_pipeline(PipelineConfig(model="nano", engine=engine))


def test_auto_runs_torch_where_nothing_else_is_installed(without, tiny_vit):
    without("openvino", "onnxruntime")
    pipeline = build_pipeline(PipelineConfig(model="tiny_vit", registry=str(tiny_vit), threads=1))
    warm_up(pipeline)
    (report,) = pipeline.engine_reports()
    assert report.plan.engine == "torch"
    assert report.refused == ()


@pytest.mark.parametrize(
    ("engine", "precision", "device", "reason"),
    [
        ("torch", "int8", "cpu", "engine torch has no int8: use engine openvino"),
        ("torch", "fp16", "cpu", "engine torch has no fp16 on a CPU: use bf16 or fp32"),
        ("onnxruntime", "bf16", "cpu", "engine onnxruntime has no bf16 on a CPU"),
        ("openvino", "fp32", "cuda", "engine openvino runs on the CPU, not on cuda"),
        ("openvino", "auto", "cuda", "engine openvino runs on the CPU, not on cuda"),
        ("onnxruntime", "fp32", "cuda", "this ONNX Runtime has no CUDA"),
        ("auto", "fp16", "cpu", "engine torch has no fp16 on a CPU"),
    ],
)
def test_what_cannot_be_had_is_told(engine, precision, device, reason):
    with pytest.raises(EngineError, match=reason):
        choice.plans(engine, precision, torch.device(device))


def test_the_order_in_which_engines_are_tried():
    bf16 = ["openvino bf16"] if cpu_computes_bf16() else []
    last = ["torch bf16"] if cpu_computes_bf16() else []
    everything = [*bf16, "openvino fp32", "onnxruntime fp32", *last, "torch fp32"]
    assert [str(plan) for plan in choice.plans("auto", "auto", CPU)] == everything
    in_fp32 = ["openvino fp32", "onnxruntime fp32", "torch fp32"]
    assert [str(plan) for plan in choice.plans("auto", "fp32", CPU)] == in_fp32
    of_openvino = [*bf16, "openvino fp32"]
    assert [str(plan) for plan in choice.plans("openvino", "auto", CPU)] == of_openvino
    assert [str(plan) for plan in choice.plans("auto", "int8", CPU)] == ["openvino int8"]


def test_openvino_keeps_auto_on_the_cpu():
    assert choose_device("auto", "openvino") == CPU
    has_gpu = torch.cuda.is_available()
    assert choose_device("auto", "torch").type == ("cuda" if has_gpu else "cpu")


@pytest.mark.slow
def test_a_missing_int8_file_is_told_with_the_command(cache_folder):
    report = report_of(*fitted("nano", cache_folder, precision="int8"))
    assert report.plan == Plan(engine="torch", precision="fp32")
    (reason,) = report.refused
    assert reason == (
        "openvino int8: no int8 file for 1x3x160x224, 1x2x160x224; make it with: "
        "mono-depth engine build nano --precision int8 --calibrate PICTURES"
    )


@pytest.mark.parametrize("options", [{"engine": "torch"}, {"engine": "torch", "precision": "fp32"}])
def test_torch_is_not_asked_to_run_an_onnx_file(tiny_models, cache_folder, options):
    with pytest.raises(ModelError, match=r"tiny_metric is an ONNX file, which torch .* cannot run"):
        fitted("tiny_metric", cache_folder, registry=tiny_models, **options)


@pytest.mark.slow
def test_an_engine_that_breaks_in_the_check_is_not_taken(cache_folder, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("in one file\n\nout of luck\n")

    monkeypatch.setattr(openvino_engine._Call, "__call__", broken)
    report = report_of(*fitted_blur(cache_folder))
    assert report.refused == ("openvino fp32: out of luck",)
    assert report.plan == Plan(engine="torch", precision="fp32")


@pytest.mark.slow
def test_an_engine_that_never_answers_is_not_taken(cache_folder, monkeypatch):
    """OpenVINO repeats a loop of a negative count for ever."""
    ends = threading.Event()
    monkeypatch.setattr(openvino_engine._Call, "__call__", lambda *_: ends.wait())
    monkeypatch.setattr(runner, "_ANSWER_S", 0.1)
    monkeypatch.setattr(runner, "_ANSWER_TIMES", 0.0)
    report = report_of(*fitted_blur(cache_folder))
    ends.set()
    assert report.refused == ("openvino fp32: no answer within 0.1 s",)
    assert report.plan == Plan(engine="torch", precision="fp32")


def test_auto_leaves_a_network_alone_that_takes_no_time(tiny_models, cache_folder):
    report = report_of(*fitted("tiny_metric", cache_folder, registry=tiny_models))
    assert report.plan == Plan(engine="onnxruntime", precision="fp32")
    assert report.why.endswith("ms, which leaves little to gain")


@pytest.mark.slow
def test_what_was_chosen_is_told_with_times_and_error(cache_folder):
    report = report_of(*fitted("nano", cache_folder, engine="openvino", precision="fp32"))
    times, small = r"[\d.]+ ms, torch fp32 [\d.]+ ms", "below 0.001 %"
    told = rf"openvino fp32: {times}, error {small} \(99th percentile {small}\)"
    assert re.fullmatch(told, report.why)
    assert report.detail.startswith("OpenVINO 20")


# Sizes, caches, threads.


@pytest.mark.slow
def test_another_input_size_is_served_by_torch_until_its_engine_is_ready(cache_folder):
    model, engines = fitted_blur(cache_folder, is_live=True)
    assert report_of(model, engines).plan.engine == "openvino"
    portrait = STREET.permute(1, 0, 2).contiguous()

    meanwhile = report_of(model, engines, portrait)
    assert (meanwhile.plan.engine, meanwhile.is_building) == ("torch", True)
    assert meanwhile.shapes == "1x3x640x480"
    by_torch = model.infer(portrait, None).values
    deadline_s = time.monotonic() + 60.0
    while report_of(model, engines, portrait).is_building and time.monotonic() < deadline_s:
        time.sleep(0.02)

    after = report_of(model, engines, portrait)
    assert (after.plan.engine, after.is_building) == ("openvino", False)
    torch.testing.assert_close(model.infer(portrait, None).values, by_torch)
    assert report_of(model, engines).shapes == "1x3x480x640"  # whose engine is still there
    engines.close()


def test_the_images_take_the_place_of_images_of_another_size():
    camera = (torch.zeros(1, 3, 2, 4), torch.ones(1, 2, 2, 4), 2.0, torch.ones(1, 4, 2, 4))
    call = (torch.full((1, 3, 4, 4), 7.0), torch.zeros(1, 2, 4, 4), 1.0)
    image, rays, aspect, hints = resized(call, camera)
    assert image.shape == (1, 3, 2, 4)
    assert (image == 7.0).all()
    assert not rays.any()
    assert aspect == 2.0
    assert hints is camera[3]
    assert resized(camera, (camera[0],))[0] is camera[0]


@pytest.mark.slow
def test_off_line_the_first_image_of_a_size_waits_for_its_engine(cache_folder):
    model, engines = fitted_blur(cache_folder)
    assert engines.reports() == []
    report = report_of(model, engines, STREET[::2].contiguous())
    assert (report.plan.engine, report.shapes) == ("openvino", "1x3x240x640")


@pytest.mark.slow
def test_the_fifth_input_size_is_left_to_torch(cache_folder):
    model, engines = fitted_blur(cache_folder)
    plans = [
        report_of(model, engines, STREET[:rows].contiguous()).plan.engine
        for rows in (32, 64, 96, 128, 160)
    ]
    assert plans == ["openvino"] * 4 + ["torch"]


@pytest.mark.slow
def test_an_engine_is_built_once_and_anew_when_a_version_or_the_weights_change(
    tmp_path, monkeypatch
):
    converted = []
    convert = openvino_engine.convert

    def counted(network):
        converted.append(network.sha256)
        return convert(network)

    monkeypatch.setattr(openvino_engine, "convert", counted)

    def built(sha256: str = "first") -> int:
        assert report_of(*fitted_blur(tmp_path, sha256=sha256)).plan.engine == "openvino"
        return len(converted)

    assert built() == 1
    assert built() == 1
    assert built("second") == 2
    versions = openvino_engine.versions()
    monkeypatch.setattr(openvino_engine, "versions", lambda: versions | {"openvino": "2099.1"})
    assert built() == 3
    assert built() == 3
    monkeypatch.undo()
    assert len(EngineCache(tmp_path / "engines").stored()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_cache_that_cannot_be_written_stops_no_engine(tmp_path, engine, caplog):
    (tmp_path / "engines").write_text("a file in the way")
    options = {"engine": engine, "precision": "fp32"}
    engines = Engines(device=CPU, weights_folder=tmp_path, **options)
    model = Blur()
    engines.fit(model, replace(read_registry(None)["nano"], name="blur"))
    engines.prepare(model)
    assert report_of(model, engines).plan.engine == engine
    assert "blur: cannot store engines in" in caplog.text


@pytest.mark.slow
def test_threads_reach_every_engine(cache_folder):
    model, _ = fitted_blur(cache_folder, threads=2)
    model.infer(ROOM, None)
    (slot,) = model.net.call._slots.values()
    compiled = slot.engine.call._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2
    assert compiled.get_property("NUM_STREAMS") == 1
    options = onnxruntime_engine.session_options(2)
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@needs_bf16
def test_both_networks_of_a_completing_model_have_engines(completing_models, cache_folder):
    config = PipelineConfig(
        model="small_lingbot",
        registry=str(completing_models),
        weights_dir=str(cache_folder),
        engine="torch",
        precision="bf16",
        threads=1,
    )
    pipeline = build_pipeline(config)
    pipeline.process(Frame(rgb=trial_images()[1], stamp_ns=1, frame_id="camera"))
    runs = {report.model: str(report.plan) for report in pipeline.engine_reports()}
    assert runs == {"nano": "torch bf16", "small_lingbot": "torch bf16"}

"""Models of several networks, and networks behind other models: each has an engine of its own."""

from __future__ import annotations

import gc
import time
import weakref

import numpy as np
import pytest
import torch

from mono_depth.commands.main import main
from mono_depth.config import CompletionConfig, PipelineConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.engines import onnxruntime_engine
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.capture import Capture
from mono_depth.engines.engines import Engines
from mono_depth.engines.protocol import Plan
from mono_depth.engines.trial_images import trial_hints, trial_images
from mono_depth.models.guessed_completion import GuessedCompletion
from mono_depth.models.loading import load_model
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.nano.model import Nano
from mono_depth.models.nano.net import NanoNet
from mono_depth.models.protocol import Hints
from mono_depth.models.store.registry import read_registry
from mono_depth.pipeline.build import build_pipeline
from mono_depth.system.machine import cpu_computes_bf16
from mono_depth.system.threads import torch_threads

pytest.importorskip("openvino", reason="the package openvino is not installed")
pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")
pytest.importorskip("onnx", reason="the package onnx is not installed")

CPU = torch.device("cpu")
IMAGES = trial_images()
CAMERA = Intrinsics(width=640, height=480, fx=540.0, fy=545.0, cx=315.0, cy=250.0)
DOWN = np.array([0.0, 1.0, 0.0])
needs_bf16 = pytest.mark.skipif(not cpu_computes_bf16(), reason="this CPU has no bf16")


@pytest.fixture(autouse=True)
def _one_thread():
    with torch_threads(1):
        yield


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    """Folder of weights whose cache of engines the tests of this module share."""
    return tmp_path_factory.mktemp("weights")


def fitted(folder, **options):
    """Return nano with engines under it, and the engines."""
    engines = Engines(device=CPU, threads=1, weights_folder=folder, **options)
    model = load_model("nano", engines=engines)
    engines.prepare(model)
    return model, engines


def plans_of(engines: Engines) -> dict[str, str]:
    return {report.model: str(report.plan) for report in engines.reports()}


def some_depth() -> torch.Tensor:
    depth_m = torch.full((480, 640), torch.nan)
    depth_m[10::25, 10:400:25] = 2.5
    return depth_m


HINTS = {
    "points": Hints(depth_m=some_depth()),
    "sensor": Hints(depth_m=some_depth(), keeps_depth=True),
    "ground": Hints(gravity_camera=DOWN, camera_height_m=0.8),
    "all": Hints(depth_m=some_depth(), gravity_camera=DOWN, camera_height_m=0.8),
}


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
def test_with_hints_nano_says_the_same_on_every_engine(cache_folder, engine, precision, largest):
    model, engines = fitted(cache_folder, engine=engine, precision=precision)
    exact = load_model("nano")
    for hints in HINTS.values():
        for rgb in map(torch.from_numpy, IMAGES):
            found = model.infer_guided(rgb, CAMERA, hints)
            expected = exact.infer_guided(rgb, CAMERA, hints)
            assert (found.values / expected.values - 1.0).abs().median() < largest
            assert (found.values != expected.values).any()  # something else has computed it
            difference = (found.confidence - expected.confidence).abs()
            assert difference.median() < largest
            assert difference.max() < 0.1
    plan = f"{engine} {precision}"
    assert plans_of(engines) == {"nano": plan, "nano hints": plan}
    assert [report.refused for report in engines.reports()] == [(), ()]


@pytest.mark.slow
def test_each_network_is_stored_and_told_under_its_name(cache_folder):
    model, engines = fitted(cache_folder, engine="onnxruntime", precision="fp32")
    model.infer(torch.from_numpy(IMAGES[0]), CAMERA)
    assert plans_of(engines) == {"nano": "onnxruntime fp32"}  # without hints the other has no part

    model.infer_guided(torch.from_numpy(IMAGES[0]), CAMERA, HINTS["points"])

    first, second = engines.reports()
    assert first.shapes == "1x3x160x224, 1x2x160x224"
    assert second.shapes == "1x3x160x224, 1x2x160x224, 1x6x160x224"
    assert second.ms > 0.0
    assert second.why.startswith("onnxruntime fp32: ")
    stored = {
        item.key.part: item.key.model
        for item in EngineCache(cache_folder / "engines").stored()
        if item.key.plan.engine == "onnxruntime"
    }
    assert stored == {"depth": "nano", "hints": "nano"}


@pytest.mark.slow
def test_live_both_engines_are_there_before_the_first_frame(cache_folder):
    model, engines = fitted(cache_folder, engine="openvino", precision="fp32", is_live=True)
    before = plans_of(engines)
    assert before == {"nano": "openvino fp32", "nano hints": "openvino fp32"}

    model.infer_guided(torch.from_numpy(IMAGES[0]), CAMERA, HINTS["all"])
    assert plans_of(engines) == before
    assert not any(report.is_building for report in engines.reports())


@pytest.mark.slow
def test_live_frames_of_another_size_wait_for_neither_engine(cache_folder):
    model, engines = fitted(cache_folder, engine="onnxruntime", precision="fp32", is_live=True)
    portrait = torch.from_numpy(IMAGES[1]).permute(1, 0, 2).contiguous()
    exact = load_model("nano")
    expected = exact.infer_guided(portrait, None, Hints(depth_m=some_depth().T)).values

    def look():
        found = model.infer_guided(portrait, None, Hints(depth_m=some_depth().T)).values
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        return engines.reports()

    images, hints = look()
    assert (images.plan.engine, images.is_building) == ("torch", True)
    assert (hints.plan.engine, hints.is_building) == ("torch", False)
    assert hints.why == "another engine is being built"
    deadline_s = time.monotonic() + 60.0
    while "torch fp32" in plans_of(engines).values() and time.monotonic() < deadline_s:
        look()
        time.sleep(0.02)
    assert plans_of(engines) == {"nano": "onnxruntime fp32", "nano hints": "onnxruntime fp32"}
    engines.close()


@pytest.mark.slow
def test_a_wrong_engine_for_hints_is_found_out_alone(
    tmp_path, with_one_weight_more_by, monkeypatch
):
    exported = onnxruntime_engine.exported

    def wrongly(network, path):
        exported(network, path)
        if network.part == "hints":
            with_one_weight_more_by(3.0)(path.parent)

    monkeypatch.setattr(onnxruntime_engine, "exported", wrongly)
    _, engines = fitted(tmp_path, engine="onnxruntime", precision="fp32", is_live=True)
    assert plans_of(engines) == {"nano": "onnxruntime fp32", "nano hints": "torch fp32"}
    assert engines.reports()[0].refused == ()
    assert engines.reports()[1].refused[0].startswith("onnxruntime fp32: error ")


@pytest.mark.slow
def test_int8_is_for_the_network_that_was_calibrated(cache_folder):
    _, engines = fitted(cache_folder, precision="int8", is_live=True)
    images, hints = engines.reports()
    assert images.refused[0].startswith("openvino int8: no int8 file for 1x3x160x224, ")
    assert (hints.plan.engine, hints.refused) == ("openvino", ())
    assert hints.plan.precision != "int8"


@pytest.mark.slow
def test_the_engines_of_both_networks_can_be_built_beforehand(tmp_path, capsys):
    options = ["--engine", "onnxruntime", "--size", "320x180", "--weights-dir", str(tmp_path)]
    assert main(["engine", "build", "nano", *options]) == 0

    said = capsys.readouterr().out
    assert "nano at 1x3x128x224, 1x2x128x224: onnxruntime fp32: " in said
    assert "nano hints at 1x3x128x224, 1x2x128x224, 1x6x128x224: onnxruntime fp32: " in said
    parts = [item.key.part for item in EngineCache(tmp_path / "engines").stored()]
    assert sorted(parts) == ["depth", "hints"]


@pytest.mark.slow
def test_weights_that_know_no_hints_have_one_network(cache_folder):
    blind = Nano(NanoNet(has_hints=False), CPU)
    assert [net.part for net in blind.networks] == ["depth"]

    engines = Engines(engine="onnxruntime", device=CPU, threads=1, weights_folder=cache_folder)
    engines.fit(blind, read_registry()["nano"])
    engines.prepare(blind)
    blind.infer_guided(torch.from_numpy(IMAGES[0]), CAMERA, HINTS["all"])
    assert plans_of(engines) == {"nano": "onnxruntime fp32"}


@pytest.mark.slow
def test_the_frame_of_a_pipeline_tells_both(cache_folder):
    config = PipelineConfig(
        model="nano", engine="openvino", precision="fp32", weights_dir=str(cache_folder), threads=1
    )
    pipeline = build_pipeline(config, is_live=True)
    result = pipeline.process(
        Frame(
            rgb=IMAGES[0],
            stamp_ns=1,
            frame_id="camera",
            intrinsics=CAMERA,
            sensor_depth_m=some_depth().numpy(),
        )
    )
    assert result.completed == "sensor_depth"
    plans = {report.model: report.plan for report in pipeline.engine_reports()}
    plan = Plan(engine="openvino", precision="fp32")
    assert plans == {"nano": plan, "nano hints": plan}
    pipeline.close()


@pytest.mark.slow
def test_networks_that_were_let_go_of_are_freed_and_cannot_run(cache_folder):
    model, engines = fitted(cache_folder, engine="onnxruntime", precision="fp32")
    modules = [weakref.ref(net.module) for net in model.networks]

    engines.release()

    gc.collect()
    assert [module() for module in modules] == [None, None]
    with pytest.raises(RuntimeError, match="the network depth was let go of"):
        model.infer(torch.from_numpy(IMAGES[0]), None)
    with pytest.raises(RuntimeError, match="the network hints was let go of"):
        model.hint_net.module  # noqa: B018


# Networks behind another model.


@pytest.mark.slow
def test_an_engine_runs_the_network_for_image_and_mirror_image(cache_folder):
    model, exact = MirrorAveraged(load_model("nano")), MirrorAveraged(load_model("nano"))
    engines = Engines(engine="onnxruntime", device=CPU, threads=1, weights_folder=cache_folder)
    engines.fit(model, read_registry()["nano"])
    engines.prepare(model)

    rgb = torch.from_numpy(IMAGES[0])
    found, expected = (one.infer(rgb, CAMERA).values for one in (model, exact))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert plans_of(engines) == {"nano": "onnxruntime fp32"}


class Shifted:
    """Completes by the network of nano for images: a stand-in for a completing network."""

    def __init__(self, nano: Nano) -> None:
        self._nano, self.networks = nano, nano.networks
        self.name, self.kind, self.device = "shifted", nano.kind, nano.device
        self.weights_sha256 = nano.weights_sha256

    def complete(self, rgb, depth_m):
        return self._nano.infer(rgb, None)


@pytest.mark.slow
def test_arguments_are_seen_through_the_models_around_a_network():
    nano, entry = load_model("nano"), read_registry()["nano"]
    expected = Capture(nano, entry).arguments(IMAGES[0], CAMERA)
    mirrored = Capture(MirrorAveraged(nano), entry).arguments(IMAGES[0], CAMERA)
    completed = GuessedCompletion(Shifted(nano), load_model("nano"), CompletionConfig())
    behind = Capture(completed, entry).arguments(IMAGES[0], None)

    for one, other in zip(mirrored, expected, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(behind[0], expected[0])
    assert Capture(completed, entry).network(behind).net is nano.net.module


@pytest.mark.slow
def test_what_engines_are_tried_on_reaches_both_networks():
    nano, calls = load_model("nano"), []
    for net in nano.networks:
        run = net.call
        net.call = lambda *given, run=run, name=net.part: (calls.append(name), run(*given))[1]

    camera, hints = trial_hints(IMAGES[0])
    nano.infer_guided(torch.from_numpy(IMAGES[0]), camera, hints)

    assert calls == ["depth", "hints"]
    known = hints.depth_m.isfinite()
    assert 0 < int(known.sum()) < known.numel() // 100
    assert not known[:, 320:].any()
    assert hints.has_ground

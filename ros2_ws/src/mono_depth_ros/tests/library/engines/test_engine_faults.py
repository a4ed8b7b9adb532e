"""Engines on machines as they are: full disks, other drivers, packages that nobody installed."""

from __future__ import annotations

import errno
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mono_depth.commands.main import main
from mono_depth.data import OutputKind, Prediction
from mono_depth.engines import cache as cache_module
from mono_depth.engines import onnxruntime_engine, openvino_engine, runner
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.engines import Engines
from mono_depth.engines.found_engines import FoundEngines
from mono_depth.engines.protocol import EngineError, EngineKey, NotInstalledError, Plan
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.registry import read_registry

CPU = torch.device("cpu")
ROOM = torch.randint(0, 256, (48, 64, 3), dtype=torch.uint8)
KEY = EngineKey(
    model="blur",
    model_sha256="ab" * 32,
    arguments=("1x3x48x64",),
    plan=Plan(engine="openvino", precision="fp32"),
    device="cpu: some processor",
    versions=(),
)


class Blur:
    """A model whose network is one convolution: built in no time."""

    name, kind, device, weights_sha256 = "blur", OutputKind.INVERSE_AFFINE, CPU, "0" * 64

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = ReplaceableNet(torch.nn.Conv2d(3, 1, 5, padding=2))
        self.networks = (self.net,)

    def infer(self, rgb: torch.Tensor, intrinsics: None) -> Prediction:
        with torch.inference_mode():
            values = self.net(rgb.permute(2, 0, 1)[None].float())
        return Prediction(values=values[0, 0], kind=self.kind)


def report_of(folder: Path, **options):
    """Return what runs the network of `Blur`."""
    engines = Engines(device=CPU, weights_folder=folder, **options)
    model = Blur()
    engines.fit(model, replace(read_registry(None)["nano"], name="blur"))
    engines.prepare(model)
    model.infer(ROOM, None)
    (report,) = engines.reports()
    return report


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_full_disk_costs_a_warning_and_no_engine(tmp_path, monkeypatch, caplog, engine):
    pytest.importorskip(engine)
    monkeypatch.setattr(cache_module, "_write_manifest", full_disk)
    report = report_of(tmp_path, engine=engine, precision="fp32")
    assert (report.plan.engine, report.refused) == (engine, ())
    assert "blur: cannot store an engine in" in caplog.text
    assert "No space left on device" in caplog.text
    assert list((tmp_path / "engines").iterdir()) == []


@pytest.mark.slow
def test_openvino_that_cannot_write_is_a_full_disk_too(tmp_path, monkeypatch, caplog):
    openvino = pytest.importorskip("openvino")

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(openvino, "save_model", fails)
    assert report_of(tmp_path, engine="openvino", precision="fp32").plan.engine == "openvino"
    assert "iostream error" in caplog.text


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    engines = EngineCache(tmp_path / "engines")
    with pytest.raises(EngineError, match=r"cannot store an engine in .*No space left on device"):
        engines.put(KEY, full_disk)
    assert list(engines.folder.iterdir()) == []


def test_what_a_user_made_of_images_is_not_deleted(tmp_path):
    engines = EngineCache(tmp_path / "engines")
    int8 = replace(KEY, plan=Plan(engine="openvino", precision="int8"))
    for key in (KEY, int8):
        engines.put(key, lambda folder: (folder / "model.xml").write_text("<net/>") and None)
    found = FoundEngines(engines)
    assert not found.discard()  # nothing was taken
    assert found.find(KEY)
    assert found.find(int8)
    assert found.discard()
    assert (engines.find(KEY), engines.find(int8) is None) == (None, False)
    assert not found.discard()


@pytest.mark.slow
@pytest.mark.parametrize("is_auto", [True, False])
def test_a_package_that_nobody_asked_for_is_no_warning(tmp_path, monkeypatch, caplog, is_auto):
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(runner._QUICK_MS, "cpu", 0.0)

    def fails(*_: object) -> None:
        raise NotInstalledError("the export to ONNX needs onnx: pip install onnx")

    monkeypatch.setattr(onnxruntime_engine, "exported", fails)
    monkeypatch.setattr(openvino_engine, "exported", fails)
    options = {} if is_auto else {"engine": "onnxruntime", "precision": "fp32"}
    with caplog.at_level(logging.WARNING):
        report = report_of(tmp_path, **options)
    assert report.plan.engine == "torch"
    assert ("needs onnx" in caplog.text) == (not is_auto)
    assert bool(report.refused) == (not is_auto)


def test_the_export_names_the_package_that_it_lacks(tmp_path, monkeypatch):
    from mono_depth.engines.export import export_onnx

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(NotInstalledError, match="needs onnx: pip install onnx"):
        export_onnx(
            torch.nn.Conv2d(3, 1, 1),
            (torch.zeros(1, 3, 4, 4),),
            tmp_path / "net.onnx",
            input_names=["image"],
            output_names=["depth"],
            traced=True,
        )


def test_tensorrt_keeps_its_engines_by_gpu_driver_and_version(monkeypatch):
    libraries = onnxruntime_engine.gpu_libraries
    known = {}

    def folder(gpu: str, driver: str, version: str) -> str:
        monkeypatch.setattr(libraries, "driver_version", lambda: driver)
        monkeypatch.setattr(libraries, "tensorrt_version", lambda: version)
        return onnxruntime_engine._tensorrt_key(gpu)

    known = {
        folder(*case)
        for case in [
            ("cuda:0: A", "580.1", "101400"),
            ("cuda:0: B", "580.1", "101400"),
            ("cuda:0: A", "590.2", "101400"),
            ("cuda:0: A", "580.1", "110000"),
        ]
    }
    assert len(known) == 4
    assert folder("cuda:0: A", "580.1", "101400") in known


@pytest.mark.slow
def test_the_exit_status_tells_whether_the_engine_is_there(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    options = ["--size", "64x48", "--weights-dir", str(tmp_path), "--precision", "fp32"]
    argv = ["engine", "build", "nano", "--engine", "onnxruntime", *options]

    def fails(*_: object) -> None:
        raise EngineError("the exporter fails")

    monkeypatch.setattr(onnxruntime_engine, "exported", fails)
    assert main(argv) == 1
    assert "not taken: onnxruntime fp32: the exporter fails" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(argv) == 0

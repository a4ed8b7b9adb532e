"""What the node tells about an engine that is not what it should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mono_depth.engines.cache import MANIFEST, EngineCache
from mono_depth.engines.engines import Engines
from mono_depth.engines.protocol import ONNX_FILE
from mono_depth.models.loading import load_model

pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

pytestmark = pytest.mark.ros


@pytest.fixture
def weights_with_a_wrong_engine(tmp_path, with_one_weight_more_by) -> Path:
    """Folder of weights whose cache holds an engine of nano with one weight that is wrong."""
    engines = Engines(
        device=torch.device("cpu"),
        weights_folder=tmp_path,
        engine="onnxruntime",
        precision="fp32",
        is_live=True,
    )
    engines.prepare(load_model("nano", engines=engines))
    cache = EngineCache(tmp_path / "engines")
    (stored,) = [item for item in cache.stored() if item.key.part == "depth"]
    kept = tmp_path / "kept"
    shutil.copytree(stored.folder, kept)
    with_one_weight_more_by(1.5)(kept)
    cache.remove(stored.key)
    changed = cache.put(
        stored.key, lambda folder: shutil.copy(kept / ONNX_FILE, folder / ONNX_FILE)
    )
    assert (changed / MANIFEST).is_file()
    return tmp_path


def test_a_wrong_engine_is_refused_and_told(depth_bench, weights_with_a_wrong_engine):
    bench = depth_bench(
        model="nano",
        engine="onnxruntime",
        precision="fp32",
        weights_dir=str(weights_with_a_wrong_engine),
    )

    def refusals():
        return [
            status
            for message in bench.diagnostics
            for status in message.status
            if status.message.startswith("not taken: onnxruntime fp32: error below 0.001 % (99th")
        ]

    bench.ros.wait_until(refusals, what="the refusal in the diagnostics")
    status = refusals()[0]
    assert (status.name, status.level) == ("mono_depth: model", b"\x01")
    values = {pair.key: pair.value for pair in status.values}
    assert (values["engine"], values["precision"]) == ("torch", "fp32")
    assert values["engine_refused"].startswith("onnxruntime fp32: error")
    bench.wait_for_log("onnxruntime fp32 is not taken: error below 0.001 %")

"""What the node tells about an engine that is not what it should be."""

from __future__ import annotations

import pytest

from mono_depth.engines import onnxruntime_engine

pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

pytestmark = pytest.mark.ros


@pytest.fixture
def engines_go_wrong(monkeypatch, with_one_weight_more_by) -> None:
    """Let every engine of nano that is built have one weight that is wrong."""
    exported = onnxruntime_engine.exported

    def wrongly(network, path):
        exported(network, path)
        if network.part == "depth":
            with_one_weight_more_by(1.5)(path.parent)

    monkeypatch.setattr(onnxruntime_engine, "exported", wrongly)


def test_a_wrong_engine_is_refused_and_told(depth_bench, engines_go_wrong, tmp_path):
    bench = depth_bench(
        model="nano",
        engine="onnxruntime",
        precision="fp32",
        weights_dir=str(tmp_path),
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

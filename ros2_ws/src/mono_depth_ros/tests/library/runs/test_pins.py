"""What decides the bytes of a result has a name before the first frame is written."""

from __future__ import annotations

from mono_depth.config import PipelineConfig, flatten
from mono_depth.runs.pins import as_before, pinned
from mono_depth.system.threads import usable_cores


def test_what_is_left_free_is_named(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models))

    found = pinned(config)

    assert (found.engine, found.precision) == ("onnxruntime", "fp32")  # it is an ONNX file
    assert found.threads == usable_cores()
    nano = pinned(PipelineConfig(precision="bf16", threads=3))
    assert (nano.model, nano.engine, nano.precision, nano.threads) == ("nano", "torch", "bf16", 3)


def test_what_an_earlier_run_took_is_taken_again(tiny_models):
    before = PipelineConfig(model="nano", engine="openvino", precision="bf16", threads=2)

    found = as_before(PipelineConfig(threads=1), {"pipeline": flatten(before)})

    assert (found.model, found.engine, found.precision) == ("nano", "openvino", "bf16")
    assert found.threads == 1

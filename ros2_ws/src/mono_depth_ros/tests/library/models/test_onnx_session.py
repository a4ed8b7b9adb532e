"""Sessions that read and write tensors where they lie; here that is the memory of the CPU.

On a GPU it has not been run: the same calls, with the name of another device.
"""

from __future__ import annotations

import pytest
import torch

from mono_depth.models.onnx_session import BoundSession

onnx = pytest.importorskip("onnx", reason="the package onnx makes the networks of this test")
onnxruntime = pytest.importorskip("onnxruntime", reason="the package onnxruntime runs them")
CPU = torch.device("cpu")
FIXED = """
    doubled (float[1, 3, 2, 4] rgb) => (float[1, 1, 2, 4] mean, float[1, 3, 2, 4] same) {
      mean = ReduceMean <axes = [1]> (rgb)
      same = Identity (rgb)
    }"""
OPEN = """
    open (float[1, 3, h, w] rgb) => (float[a, b, c, d] mean) {
      mean = ReduceMean <axes = [1]> (rgb)
    }"""
HALF = "half (float[1, 3, h, w] rgb) => (float16[1, 3, h, w] out) { out = Cast <to = 10> (rgb) }"
TEXT = "text (float[1, 3, h, w] rgb) => (string[1, 3, h, w] out) { out = Cast <to = 8> (rgb) }"


def session(text: str):
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 13]> {text}')
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def test_all_outputs_of_a_fixed_size_are_filled():
    rgb = image(2, 4)
    mean, same = BoundSession(session(FIXED), CPU)(rgb)
    torch.testing.assert_close(mean, rgb.mean(1, keepdim=True))
    assert torch.equal(same, rgb)


def test_one_output_of_several_may_be_named():
    (same,) = BoundSession(session(FIXED), CPU, ("same",))(image(2, 4))
    assert same.shape == (1, 3, 2, 4)


def test_sizes_that_the_file_leaves_open_are_found_out_for_each_input():
    bound = BoundSession(session(OPEN), CPU)
    for size in ((2, 4), (5, 3), (2, 4)):
        rgb = image(*size)
        (mean,) = bound(rgb)
        torch.testing.assert_close(mean, rgb.mean(1, keepdim=True))


def test_an_image_that_is_not_in_one_piece_is_read_right():
    rgb = image(4, 2).transpose(2, 3)
    (mean,) = BoundSession(session(OPEN), CPU)(rgb)
    torch.testing.assert_close(mean, rgb.mean(1, keepdim=True))


def test_results_outlive_the_next_call():
    bound = BoundSession(session(OPEN), CPU)
    (first,) = bound(image(2, 4))
    before = first.clone()
    bound(2.0 * image(2, 4))
    assert torch.equal(first, before)


def test_half_an_output_is_given_as_float32():
    rgb = image(2, 4)
    (out,) = BoundSession(session(HALF), CPU)(rgb)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, rgb, atol=1e-3, rtol=0.0)


def test_an_output_that_is_no_number_is_refused_by_name():
    with pytest.raises(ValueError, match=r"output out is a tensor\(string\)"):
        BoundSession(session(TEXT), CPU)

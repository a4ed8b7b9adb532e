import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mono_depth.data import OutputKind
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.loading import load_model

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

EXAMPLE = Path(__file__).parents[4] / "config" / "fastdepth_registry.example.yaml"


def field(number: int, value: int | bytes | str) -> bytes:
    """Encode one protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def port(name: str, shape: tuple[int | str, ...], element: int = 1) -> bytes:
    """Encode a ValueInfoProto; element 1 is float32, 10 float16."""
    sizes = b"".join(field(1, field(1 if isinstance(n, int) else 2, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, element) + field(2, sizes)))


def onnx_file(
    path: Path,
    inputs: tuple[bytes, ...] = (port("image", (1, 3, 2, 4)),),
    outputs: tuple[bytes, ...] = (port("depth", (1, 1, 2, 4)),),
    keep_channel: int = 1,
    axis: int = 1,
) -> Path:
    """Write a network `depth = sum of image along an axis`, by default of its channels."""
    axes = field(1, "axes") + field(8, axis) + field(20, 7)
    keep = field(1, "keepdims") + field(3, keep_channel) + field(20, 2)
    names = field(1, "image") + field(2, "depth") + field(4, "ReduceSum")
    node = names + field(5, axes) + field(5, keep)
    graph = field(1, node) + field(2, "sum")
    graph += b"".join(field(11, item) for item in inputs)
    graph += b"".join(field(12, item) for item in outputs)
    path.write_bytes(field(1, 7) + field(8, field(2, 11)) + field(7, graph))
    return path


def load(path: Path, extra: str = "", shape: str = "width: 4, height: 2", **options):
    registry = path.with_name("registry.yaml")
    registry.write_text(
        "models:\n"
        "  mine:\n"
        "    family: onnx\n"
        "    kind: metric\n"
        "    description: sum of the channels\n"
        "    licence: MIT\n"
        "    commercial: true\n"
        f"    weights: {{file: {path.name}}}\n"
        f"    input: {{{shape}}}\n"
        f"{extra}"
    )
    return load_model("mine", registry=registry, **options)


RED_TO_WHITE = torch.tensor([[[255, 0, 0], [255, 51, 0], [0, 0, 0], [255, 255, 255]]] * 2).byte()


@pytest.mark.parametrize(
    ("shape", "keep_channel"), [((1, 1, 2, 4), 1), ((1, 2, 4), 0), ((1, 1, "h", "w"), 1)]
)
def test_rgb_goes_in_as_0_to_1_and_a_map_comes_out(tmp_path, shape, keep_channel):
    outputs = (port("depth", shape),)
    path = onnx_file(tmp_path / "sum.onnx", outputs=outputs, keep_channel=keep_channel)

    prediction = load(path).infer(RED_TO_WHITE, None)

    assert prediction.kind is OutputKind.METRIC
    assert prediction.values.dtype == torch.float32
    torch.testing.assert_close(prediction.values, torch.tensor([[1.0, 1.2, 0.0, 3.0]] * 2))


def test_a_network_of_free_size_follows_the_size_rule_of_the_entry(tmp_path):
    path = onnx_file(
        tmp_path / "sum.onnx",
        inputs=(port("image", (1, 3, "h", "w")),),
        outputs=(port("depth", (1, 1, "h", "w")),),
    )
    rule = "size: 4, rule: lower_bound, multiple_of: 2"

    model = load(path, shape=rule, input_size=8)

    assert model.infer(torch.zeros(12, 6, 3, dtype=torch.uint8), None).values.shape == (16, 8)


@pytest.mark.parametrize(
    ("network", "entry", "message"),
    [
        (
            {"inputs": (port("image", (1, 3, 8, 8)),)},
            {},
            r"input image has shape \[1, 3, 8, 8\], but the registry entry makes 1x3x2x4",
        ),
        (
            {"inputs": (port("image", (1, 1, 2, 4)),)},
            {},
            r"shape \[1, 1, 2, 4\], but the registry entry makes 1x3x2x4",
        ),
        (
            {"inputs": (port("image", (1, 3, 2, 4)), port("rays", (1, 2, 2, 4)))},
            {},
            "input must be named in the registry entry, one of: image, rays",
        ),
        (
            {"inputs": (port("image", (1, 3, 2, 4)), port("rays", (1, 2, 2, 4)))},
            {"extra": "    input_name: image\n"},
            "has further inputs: rays; camera_input",
        ),
        ({}, {"extra": "    input_name: img\n"}, "input 'img' is not in the network.*: image"),
        ({}, {"extra": "    output_name: d\n"}, "output 'd' is not in the network.*: depth"),
        (
            {"outputs": (port("depth", (1, 3, 2, 4)),), "axis": 0},
            {},
            r"output depth has shape \[1, 3, 2, 4\], expected \[1, 1, h, w\]",
        ),
        (
            {
                "inputs": (port("image", (1, 3, 2, 4), element=6),),
                "outputs": (port("depth", (1, 1, 2, 4), element=6),),
            },
            {},
            r"input image is tensor\(int32\)",
        ),
        ({}, {"input_size": 4}, "but the registry entry makes 1x3x4x8"),
    ],
)
def test_a_network_that_its_entry_does_not_fit_is_refused(tmp_path, network, entry, message):
    path = onnx_file(tmp_path / "sum.onnx", **network)

    with pytest.raises(ModelError, match=message):
        load(path, **entry)


def test_an_output_that_turns_out_to_be_no_map_is_refused(tmp_path):
    path = onnx_file(
        tmp_path / "sum.onnx",
        inputs=(port("image", ("n", 3, 2, 4)),),
        outputs=(port("depth", ("n", "c", 2, 4)),),
    )
    model = load(path)
    model._preprocess = lambda rgb: torch.zeros(2, 3, 2, 4)

    with pytest.raises(FrameError, match=r"output depth has shape \(2, 1, 2, 4\), expected"):
        model.infer(RED_TO_WHITE, None)


def test_a_network_that_fails_on_an_image_says_so(tmp_path):
    model = load(onnx_file(tmp_path / "sum.onnx"))
    model._preprocess = lambda rgb: torch.zeros(1, 3, 5, 5)

    with pytest.raises(FrameError, match="mine: ONNX Runtime failed on a 1x3x5x5 input"):
        model.infer(RED_TO_WHITE, None)


@pytest.mark.parametrize("content", [b"<html>404</html>", struct.pack("<64d", *range(64))])
def test_a_file_that_is_not_onnx_is_refused(tmp_path, content):
    path = tmp_path / "sum.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"sum\.onnx is not an ONNX file"):
        load(path)


def test_the_way_out_is_named_where_onnxruntime_is_missing(tmp_path, monkeypatch):
    path = onnx_file(tmp_path / "sum.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(ModelError, match=r"pip install 'mono-depth-ros\[onnx\]'"):
        load(path)


def test_an_onnx_entry_needs_an_input_description(tmp_path):
    path = onnx_file(tmp_path / "sum.onnx")
    registry = tmp_path / "registry.yaml"
    registry.write_text(
        "models: {mine: {family: onnx, kind: metric, description: x, licence: MIT, "
        f"commercial: true, weights: {{file: {path.name}}}}}}}"
    )

    with pytest.raises(ModelError, match="the registry entry mine has no `input`"):
        load_model("mine", registry=registry)


def test_threads_reach_onnx_runtime(tmp_path):
    before = torch.get_num_threads()
    try:
        model = load(onnx_file(tmp_path / "sum.onnx"), threads=1)
        assert model.net.module.session.get_session_options().intra_op_num_threads == 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_the_example_registry_runs_fastdepth_as_its_authors_did(tmp_path, shared_data):
    shutil.copy(EXAMPLE, tmp_path / "registry.yaml")
    (tmp_path / "fastdepth_nyu_224.onnx").symlink_to(
        shared_data / "fastdepth" / "fastdepth_nyu_224.onnx"
    )
    rgb = np.load(shared_data / "fastdepth" / "rgb.npy")
    published = np.load(shared_data / "fastdepth" / "pred.npy")[0, 0]

    model = load_model("fastdepth", registry=tmp_path / "registry.yaml")
    depth_m = model.infer(torch.from_numpy((rgb * 255).round().astype(np.uint8)), None).values

    # Not equal: the authors' array comes from their compiled network, not from this file.
    error_m = np.abs(depth_m.numpy() - published)
    assert depth_m.shape == (224, 224)
    assert np.median(error_m) < 0.02
    assert error_m.mean() < 0.05

"""ONNX files in the forms in which people export them: axes, types, outputs, cameras, weights."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mono_depth.data import Intrinsics
from mono_depth.engines.engines import Engines
from mono_depth.errors import ModelError
from mono_depth.models.loading import load_model

onnx = pytest.importorskip("onnx", reason="the package onnx makes the networks of this test")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

# 8x6 pixels: red grows downwards by 25, which is 1 m in the networks here, and blue is 0.
ROWS = torch.arange(6).mul(25)
IMAGE = torch.stack([ROWS[:, None].expand(6, 8), torch.zeros(6, 8), torch.zeros(6, 8)], -1).byte()
METRES = ROWS[:, None].expand(6, 8) / 25.0
PIXELS = {"width": 8, "height": 6, "std": [1 / 255] * 3}
CAMERA = Intrinsics(width=8, height=6, fx=600.0, fy=600.0, cx=3.5, cy=2.5)
NCHW = "float[1, 3, 6, 8] image"


def net(folder: Path, inputs: str, outputs: str, body: str, name: str = "net.onnx") -> Path:
    text = f'<ir_version: 8, opset_import: ["": 13]> net ({inputs}) => ({outputs}) {{ {body} }}'
    (folder / name).write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return folder / name


def red(image: str = "image", axis: int = 1, keep: int = 1, out: str = "depth") -> str:
    """Return a body that gives 0.04 times the first channel of a float image."""
    first = "first = Constant <value_ints = [0]> () end = Constant <value_ints = [1]> () "
    along = f"along = Constant <value_ints = [{axis}]> () "
    return (
        f"{first}{along}one = Slice ({image}, first, end, along) "
        f"sum = ReduceMean <axes = [{axis}], keepdims = {keep}> (one) "
        f"k = Constant <value_float = 0.04> () {out} = Mul (sum, k)"
    )


def entry(path: Path, **changes: object) -> dict:
    fields = {
        "family": "onnx",
        "kind": "metric",
        "description": "made by a test",
        "licence": "CC0-1.0",
        "commercial": True,
        "weights": {"file": str(path)},
        "input": PIXELS,
    }
    return fields | changes


def load(path: Path, **changes: object):
    registry = path.with_name("registry.yaml")
    engines = changes.pop("engines", None)
    registry.write_text(yaml.safe_dump({"models": {"mine": entry(path, **changes)}}))
    return load_model("mine", registry=registry, engines=engines)


def depth(path: Path, camera: Intrinsics | None = None, **changes: object) -> torch.Tensor:
    return load(path, **changes).infer(IMAGE, camera).values


# Axes and types


RESHAPE = " shape = Constant <value_ints = [1, 48]> () depth = Reshape (y, shape)"
TRANSPOSE = " depth = Transpose <perm = [0, 1, 3, 2]> (y)"


@pytest.mark.parametrize(
    ("outputs", "body", "message"),
    [
        ("float[1, 48] depth", red(out="y") + RESHAPE, r"48x1 .*end in a reshape to \[1, 1, h, w"),
        ("float[a, b] depth", red(out="y") + RESHAPE, "48x1 .*end in a reshape"),
        ("float[1, 1, 8, 6] depth", red(out="y") + TRANSPOSE, "6x8 .*its rows are columns"),
        ("float[a, b, c, d] depth", red(out="y") + TRANSPOSE, "6x8 .*its rows are columns"),
        ("float[n, 1, h, w] depth", red(out="y") + RESHAPE.replace("48", "1, 3, 16"), "set output"),
    ],
)
def test_a_map_that_cannot_be_of_the_whole_image_is_refused_when_loaded(
    tmp_path, outputs, body, message
):
    with pytest.raises(ModelError, match=message):
        load(net(tmp_path, NCHW, outputs, body))


@pytest.mark.parametrize(
    ("inputs", "outputs", "body"),
    [
        (NCHW, "float[1, 1, 6, 8] depth", red()),
        (NCHW, "float[1, 6, 8] depth", red(keep=0)),
        ("float[1, 6, 8, 3] image", "float[1, 6, 8, 1] depth", red(axis=3)),
        ("float[n, h, w, 3] image", "float[n, h, w, 1] depth", red(axis=3)),
        ("float[3, 6, 8] image", "float[6, 8] depth", red(axis=0, keep=0)),
        ("float[6, 8, 3] image", "float[6, 8, 1] depth", red(axis=2)),
        ("float[1, 1, 3, 6, 8] image", "float[1, 1, 1, 6, 8] depth", red(axis=2)),
        ("float[a, b, 3, h, w] image", "float[a, b, h, w] depth", red(axis=2, keep=0)),
        (
            "uint8[1, 6, 8, 3] image",
            "float[1, 6, 8] depth",
            "x = Cast <to = 1> (image) " + red("x", axis=3, keep=0),
        ),
        (
            "uint8[1, 3, 6, 8] image",
            "float[1, 1, 6, 8] depth",
            "x = Cast <to = 1> (image) " + red("x"),
        ),
        (
            "float16[1, 3, 6, 8] image",
            "float16[1, 1, 6, 8] depth",
            "x = Cast <to = 1> (image) " + red("x", out="y") + " depth = Cast <to = 10> (y)",
        ),
        (
            "double[1, 3, 6, 8] image",
            "double[1, 1, 6, 8] depth",
            "x = Cast <to = 1> (image) " + red("x", out="y") + " depth = Cast <to = 11> (y)",
        ),
    ],
)
def test_images_go_in_and_depth_comes_out_in_the_form_of_the_file(tmp_path, inputs, outputs, body):
    values = depth(net(tmp_path, inputs, outputs, body))
    assert values.dtype is torch.float32
    torch.testing.assert_close(values, METRES, atol=2e-3, rtol=2e-3)


def test_all_axes_free_means_nchw_unless_the_entry_says_otherwise(tmp_path):
    path = net(tmp_path, "float[a, b, c, d] image", "float[a, b, c, e] depth", red(axis=3))
    torch.testing.assert_close(depth(path, input=PIXELS | {"layout": "nhwc"}), METRES)


def test_bgr_is_what_the_network_gets_where_the_entry_says_so(tmp_path):
    path = net(tmp_path, NCHW, "float[1, 1, 6, 8] depth", red())
    assert depth(path, input=PIXELS | {"channels": "bgr"}).tolist() == [[0.0] * 8] * 6


@pytest.mark.parametrize(
    ("inputs", "outputs", "changes", "message"),
    [
        ("float[1, 1, 6, 8] image", "float[1, 1, 6, 8] depth", {}, "for one RGB image"),
        ("float[2, 3, 6, 8] image", "float[2, 1, 6, 8] depth", {}, "for one RGB image"),
        ("int64[1, 3, 6, 8] image", "int64[1, 1, 6, 8] depth", {}, "expected tensor.float"),
        (
            "uint8[1, 3, 6, 8] image",
            "uint8[1, 1, 6, 8] depth",
            {"input": {"width": 8, "height": 6, "mean": [0.5] * 3}},
            "leave mean and std out",
        ),
        (NCHW, "bfloat16[1, 1, 6, 8] depth", {}, r"is tensor\(bfloat16\).*end in a cast"),
        (NCHW, "string[1, 1, 6, 8] depth", {}, r"is tensor\(string\).*end in a cast"),
        (NCHW, "float[1, 2, 6, 8] depth", {}, "output_name in the registry entry names"),
        ("float[1, 3, 6, 8] image, float[1, 3, 3] K", "float[1] depth", {}, "must be named"),
        (
            "float[1, 3, 6, 8] image, float[5] rays",
            "float[1, 1, 6, 8] depth",
            {"input_name": "image"},
            "further inputs: rays; camera_input in the registry entry names one that takes the",
        ),
        (
            "float[1, 3, 6, 8] image, float[5] rays",
            "float[1, 1, 6, 8] depth",
            {"camera_input": "rays"},
            r"camera_input rays is tensor\(float\) \[5\], expected floats: \[3, 3\] \(K\)",
        ),
    ],
)
def test_what_stays_refused_says_what_to_do(tmp_path, inputs, outputs, changes, message):
    kind = {"bfloat16": 16, "string": 8, "uint8": 2, "int64": 7}.get(outputs.split("[")[0], 1)
    body = "x = Cast <to = 1> (image) m = ReduceMean <axes = [1]> (x) "
    body += f"depth = Cast <to = {kind}> (m)"
    if "[1, 2," in outputs:
        body = "m = ReduceMean <axes = [1]> (image) depth = Concat <axis = 1> (m, m)"
    with pytest.raises(ModelError, match=message):
        load(net(tmp_path, inputs, outputs, body), **changes)


def test_an_output_of_free_axes_that_is_no_map_is_refused_when_loaded(tmp_path):
    path = net(tmp_path, "float[a, b, c, d] image", "float[a, b, c, d] depth",
               "depth = Identity (image)")  # fmt: skip
    with pytest.raises(ModelError, match=r"output depth has shape \(1, 3, 6, 8\), expected"):
        load(path)


# Several outputs


def test_the_named_output_is_taken_by_every_engine(tmp_path, monkeypatch):
    from mono_depth.engines import runner

    monkeypatch.setattr(runner, "_WORTH_IT", 1e9)
    body = red(out="y") + " depth = Identity (y) mask = Neg (y)"
    path = net(tmp_path, NCHW, "float[1, 1, 6, 8] mask, float[1, 1, 6, 8] depth", body)
    for engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
        engines = Engines(
            device=torch.device("cpu"), engine=engine, precision="fp32", weights_folder=tmp_path
        )
        model = load(path, output_name="depth", engines=engines)
        engines.prepare(model)
        torch.testing.assert_close(model.infer(IMAGE, None).values, METRES)
        (report,) = engines.reports()
        assert (report.plan.engine, report.refused) == (engine, ())


# Focal length


@pytest.mark.parametrize("fx", [300.0, 600.0, 1200.0])
def test_metres_of_a_canonical_camera_are_scaled_by_the_focal_length(tmp_path, fx):
    path = net(tmp_path, NCHW, "float[1, 1, 6, 8] depth", red())
    camera = Intrinsics(width=8, height=6, fx=fx, fy=fx, cx=3.5, cy=2.5)
    values = depth(path, camera, kind="metric_focal", focal_px=1000.0)
    torch.testing.assert_close(values, METRES * fx / 1000.0)


def test_the_focal_length_is_that_of_the_networks_input(tmp_path):
    path = net(tmp_path, NCHW, "float[1, 1, 6, 8] depth", red())
    camera = Intrinsics(width=16, height=12, fx=600.0, fy=600.0, cx=7.5, cy=5.5)
    model = load(path, kind="metric_focal", focal_px=1000.0)
    large = IMAGE.repeat_interleave(2, 0).repeat_interleave(2, 1)
    torch.testing.assert_close(model.infer(large, camera).values, METRES * 0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "metric_focal"}, r"needs focal_px.*Metric3D: 1000.*camera_input.*kind metric"),
        ({"kind": "metric", "focal_px": 300.0}, "focal_px is for kind metric_focal, not metric"),
    ],
)
def test_a_focal_rule_that_nobody_would_apply_is_refused(tmp_path, changes, message):
    path = net(tmp_path, NCHW, "float[1, 1, 6, 8] depth", red())
    with pytest.raises(ModelError, match=message):
        load(path, **changes)


@pytest.mark.parametrize(
    ("port", "picked"),
    [
        ("float[1, 3, 3] camera", "f = ReduceMax <keepdims = 0> (camera)"),
        ("float[3, 3] camera", "f = ReduceMax <keepdims = 0> (camera)"),
        ("float[1, 4] camera", "f = ReduceMax <keepdims = 0> (camera)"),
        ("float[1] camera", "f = Identity (camera)"),
        ("float[n, 1] camera", "f = ReduceMax <keepdims = 0> (camera)"),
        (
            "double[1] camera",
            "f = Cast <to = 1> (camera)",
        ),
    ],
)
def test_a_second_input_gets_the_camera(tmp_path, port, picked):
    body = red(out="y") + f" {picked} c = Constant <value_float = 1000.0> () g = Div (f, c) "
    path = net(tmp_path, f"{port}, {NCHW}", "float[1, 1, 6, 8] depth", body + "depth = Mul (y, g)")
    values = depth(path, CAMERA, kind="metric_focal", camera_input="camera")
    torch.testing.assert_close(values, METRES * 0.6)


# The shape of the image


def test_an_image_that_is_squashed_is_told_once(tmp_path, caplog):
    path = net(tmp_path, "float[1, 3, 6, 6] image", "float[1, 1, 6, 6] depth", red())
    model = load(path, input={"width": 6, "height": 6, "std": [1 / 255] * 3})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            model.infer(torch.zeros(6, 12, 3, dtype=torch.uint8), None)
    (told,) = [text for text in caplog.messages if "12x6 is distorted" in text]
    assert "an image of 12x6 is distorted by a factor of 2.00 to the network's 6x6" in told
    assert "`fit: letterbox`" in told


def test_a_letterbox_keeps_the_shape_and_is_cut_off_the_depth(tmp_path, caplog):
    path = net(tmp_path, "float[1, 3, 8, 8] image", "float[1, 1, 8, 8] depth", red())
    spec = {"width": 8, "height": 8, "std": [1 / 255] * 3, "fit": "letterbox"}
    model = load(path, input=spec)
    torch.testing.assert_close(model.infer(IMAGE, None).values, METRES)
    upright = model.infer(IMAGE.permute(1, 0, 2), None).values
    torch.testing.assert_close(upright, METRES.T.contiguous())
    assert "is distorted" not in caplog.text


def test_in_a_letterbox_the_camera_is_that_of_the_box(tmp_path):
    body = red(out="y") + (
        " i = Constant <value_ints = [1]> () row = Gather <axis = 1> (camera, i)"
        " j = Constant <value_ints = [2]> () cy = Gather <axis = 2> (row, j)"
        " z = Constant <value_float = 0.0> () zero = Mul (y, z) depth = Add (zero, cy)"
    )
    ports = "float[1, 3, 8, 8] image, float[1, 3, 3] camera"
    path = net(tmp_path, ports, "float[1, 1, 8, 8] depth", body)
    spec = {"width": 8, "height": 8, "std": [1 / 255] * 3, "fit": "letterbox"}
    values = depth(path, CAMERA, input=spec, camera_input="camera")
    assert values.shape == (6, 8)
    assert values.unique().tolist() == [3.5]  # the middle of 8 rows


def test_a_letterbox_is_for_a_fixed_size_and_for_onnx(tmp_path):
    from mono_depth.errors import ConfigError

    path = net(tmp_path, NCHW, "float[1, 1, 6, 8] depth", red())
    with pytest.raises(ConfigError, match="fit letterbox is for rule fixed"):
        load(path, input=PIXELS | {"fit": "letterbox", "rule": "lower_bound"})


# Weights in a second file


def with_external_data(folder: Path, factor: float) -> Path:
    """Write a network `factor` * red, whose factor lies in net.onnx.data."""
    folder.mkdir(exist_ok=True)
    path = net(folder, NCHW, "float[1, 1, 6, 8] depth", red(out="y") + " depth = Identity (y)")
    model = onnx.load(path)
    factors = np.full((1, 1, 6, 8), factor, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(factors, "factors"))
    identity = model.graph.node[-1]
    identity.op_type = "Mul"
    identity.input.append("factors")
    onnx.save(model, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    return path


def test_weights_beside_the_file_are_those_of_its_folder_wherever_one_stands(tmp_path, monkeypatch):
    path = with_external_data(tmp_path / "mine", 2.0)
    other = with_external_data(tmp_path / "other", 9.0)
    for folder in (tmp_path, path.parent, other.parent):
        monkeypatch.chdir(folder)
        torch.testing.assert_close(depth(path), 2.0 * METRES)


def test_the_hash_of_a_model_covers_its_weights(tmp_path):
    path = with_external_data(tmp_path / "mine", 2.0)
    first = load(path).weights_sha256
    assert load(path).weights_sha256 == first
    data = path.with_name("net.onnx.data")
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(content)
    assert load(path).weights_sha256 != first


def test_a_pin_must_cover_both_files(tmp_path):
    path = with_external_data(tmp_path / "mine", 2.0)
    data = hashlib.sha256(path.with_name("net.onnx.data").read_bytes()).hexdigest()
    pinned = {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with pytest.raises(ModelError, match=f"says nothing of its weights.*add data_sha256: {data}"):
        load(path, weights=pinned)
    torch.testing.assert_close(depth(path, weights=pinned | {"data_sha256": data}), 2.0 * METRES)
    with pytest.raises(ModelError, match=f"of .* has sha256 {data}, but the registry expects"):
        load(path, weights=pinned | {"data_sha256": "0" * 64})


def test_weights_that_are_not_beside_the_file_are_named_with_the_way_out(tmp_path):
    path = with_external_data(tmp_path / "mine", 2.0)
    path.with_name("net.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"lie in net.onnx.data, .*external_data=False"):
        load(path)


@pytest.mark.parametrize("location", ["../net.onnx.data", "/etc/hostname", "a\0b", ""])
def test_weights_outside_of_the_folder_are_refused(tmp_path, location):
    path = with_external_data(tmp_path / "mine", 2.0)
    model = onnx.load(path, load_external_data=False)
    for tensor in (*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute)):
        for item in tensor.external_data:
            if item.key == "location":
                item.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="not in its own folder"):
        load(path)


@pytest.mark.slow
def test_a_link_out_of_the_folder_is_refused(tmp_path):
    path = with_external_data(tmp_path / "mine", 2.0)
    data = path.with_name("net.onnx.data")
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="are a link out of its folder"):
        load(path)


def test_external_weights_of_constants_in_a_branch_are_found(tmp_path):
    from mono_depth.models.store.onnx_file import external_files

    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, location="deep.bin")
    tensor.ClearField("raw_data")
    constant = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    branch = onnx.helper.make_graph([constant], "branch", [], [])
    loop = onnx.helper.make_node("If", ["b"], ["o"], then_branch=branch, else_branch=branch)
    model = onnx.helper.make_model(onnx.helper.make_graph([loop], "g", [], []))
    assert external_files(model.SerializeToString(), tmp_path / "x.onnx") == {"deep.bin"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>404</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(20), "is not an ONNX file"),
        (b"\x08\x07\x3a\xff\xff\xff\xff\x0fabc", "it ends too early"),
    ],
)
def test_what_is_no_onnx_file_is_named(tmp_path, content, message):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "net.onnx")

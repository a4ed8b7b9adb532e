"""int8 engines: calibrated on images, measured on others, and refused where they are wrong."""

import sys

import cv2
import numpy as np
import pytest
import torch

from mono_depth.commands.main import main
from mono_depth.data import OutputKind
from mono_depth.engines.build import Request, build_int8, int8_model
from mono_depth.engines.cache import EngineCache, read_notes
from mono_depth.engines.capture import Capture
from mono_depth.engines.protocol import EngineError, Network
from mono_depth.engines.quantise import delicate_layers, difference, float_model, quantise
from mono_depth.engines.trial_images import trial_images
from mono_depth.evaluation.measures.model_error import aligned_m
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry
from mono_depth.recordings.image_set import read_image_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve images of 320x240: parts of the built-in ones."""
    made = tmp_path_factory.mktemp("pictures")
    for index in range(12):
        part = trial_images()[index % 2][10 * index :, 12 * index :]
        rgb = cv2.resize(part, (320, 240))
        cv2.imwrite(str(made / f"{index:02}.png"), rgb[..., ::-1])
    return made


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    pytest.importorskip("nncf", reason="the package nncf quantises")
    pytest.importorskip("openvino", reason="the package openvino runs int8")
    weights = tmp_path_factory.mktemp("weights")
    request = Request(model="nano", weights_folder=weights, max_error=1.0)
    return request, *build_int8(request, read_image_set(str(folder), most=12))


@pytest.mark.slow
def test_the_arguments_of_a_network_are_seen_without_running_it():
    model = load_model("nano")
    net, calls = model.net.module, []
    net.register_forward_hook(lambda *call: calls.append(call))
    capture = Capture(model, read_registry()["nano"])

    arguments = capture.arguments(trial_images()[0], None)

    assert [tuple(item.shape) for item in arguments[:2]] == [(1, 3, 160, 224), (1, 2, 160, 224)]
    assert not calls
    assert model.net.call is net


def test_the_difference_is_in_shares_of_the_range_of_each_channel():
    truth = np.stack([np.linspace(0, 1, 101), np.linspace(0, 100, 101)]).reshape(1, 2, 101, 1)

    found = difference([truth + np.array([0.0096, 4.8]).reshape(1, 2, 1, 1)], [truth])

    assert found == pytest.approx((0.01 + 0.05) / 2)


@pytest.mark.slow
def test_an_int8_engine_says_what_the_model_says_and_remembers_its_error(built, folder):
    request, stored, report = built

    assert report.refused == ""
    assert 0.0005 < report.relative_error < 0.05
    assert report.float_layers < 0.2 * report.layers
    assert (report.images, report.held_out) == (10, 2)
    assert read_notes(stored)["relative_error"] == report.relative_error
    (listed,) = EngineCache(request.weights_folder / "engines").stored()
    assert str(listed.key.plan) == "openvino int8"

    model, engines = int8_model(request)
    rgb = torch.from_numpy(read_image_set(str(folder), most=12).images[3])
    exact = load_model("nano").infer(rgb, None).values
    rounded = model.infer(rgb, None).values
    engines.close()
    assert [str(item.plan) for item in engines.reports()] == ["openvino int8"]
    assert 1e-5 < (rounded / exact - 1).abs().mean() < 0.05


class Uneven(torch.nn.Module):
    """Its second layer adds two channels of which one is a thousand times larger."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 1) for _ in range(4)))
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.copy_(torch.eye(3)[..., None, None])
                layer.bias.zero_()
            self.layers[1].weight[0] *= 1000.0
            self.layers[2].weight[0] /= 1000.0
        self.eval().requires_grad_(False)

    def forward(self, image):
        return self.layers(image)


@pytest.mark.slow
def test_layers_go_back_to_floating_point_until_the_error_is_small_enough():
    pytest.importorskip("nncf", reason="the package nncf quantises")
    pytest.importorskip("openvino", reason="the package openvino runs int8")
    images = torch.rand(24, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    inputs = [[image.numpy()] for image in images]
    network = Network(name="uneven", sha256="", arguments=(images[0],), net=Uneven())

    first = quantise(network, inputs[:16], inputs[16:], max_error=1.0)
    second = quantise(network, inputs[:16], inputs[16:], max_error=0.01)

    assert not first.searched
    assert first.error > 0.05
    assert (first.layers, first.float_layers) == (4, 2)  # the first and the last
    assert second.searched
    assert second.error <= 0.01
    assert second.float_layers > 2


@pytest.mark.parametrize(("middle", "kept"), [(2, 3), (64, 2)], ids=["cheap", "expensive"])
def test_the_layer_before_the_last_stays_in_floating_point_where_it_is_cheap(middle, kept):
    pytest.importorskip("openvino", reason="the package openvino runs int8")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 1),
        torch.nn.Conv2d(64, 64, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(64, middle, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(middle, 1, 1),
    )
    image = torch.zeros(1, 3, 16, 16)
    network = Network(name="tail", sha256="", arguments=(image,), net=net.eval())

    assert len(delicate_layers(float_model(network))) == kept


def test_int8_without_images_says_what_is_missing(capsys):
    assert main(["engine", "build", "nano", "--precision", "int8"]) == 1
    assert "int8 needs images of the place where it will be used" in capsys.readouterr().err


@pytest.mark.slow
def test_int8_without_nncf_says_how_to_get_it(monkeypatch, folder, tmp_path):
    pytest.importorskip("openvino", reason="the package openvino runs int8")
    monkeypatch.setitem(sys.modules, "nncf", None)
    request, image_set = (
        Request(model="nano", weights_folder=tmp_path),
        read_image_set(str(folder), most=4),
    )
    with pytest.raises(EngineError, match="int8 needs NNCF, to quantise with: pip install nncf"):
        build_int8(request, image_set)


@pytest.mark.slow
def test_engines_are_listed_and_cleared(built, capsys):
    request, stored, _ = built
    weights = ["--weights-dir", str(request.weights_folder)]

    assert main(["engine", "list", *weights]) == 0
    listed = capsys.readouterr().out
    assert "nano  openvino int8  1x3x160x224, 1x2x160x224" in listed
    assert f"error {100 * read_notes(stored)['relative_error']:.2g} %" in listed

    assert main(["engine", "clear", "dpt_large", *weights]) == 0
    assert "0 engines deleted" in capsys.readouterr().out


@pytest.mark.slow
def test_an_exported_model_has_the_names_shapes_and_values_of_its_tensors(tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime", reason="it runs the file")
    pytest.importorskip("onnxscript", reason="it exports")
    out = tmp_path / "nano.onnx"

    assert main(["engine", "export", "nano", str(out), "--size", "320x180"]) == 0

    said = capsys.readouterr().out
    session = onnxruntime.InferenceSession(out)
    shapes = {node.name: "x".join(map(str, node.shape)) for node in session.get_inputs()}
    assert shapes.keys() == {"input0", "input1"}
    for name, shape in shapes.items():
        assert f"{name}  {shape}\n" in said
    model = load_model("nano")
    rgb = cv2.resize(trial_images()[1], (320, 180))
    given = Capture(model, read_registry()["nano"]).arguments(rgb, None)
    (found,) = session.run(None, {name: given[int(name[-1])].numpy() for name in shapes})
    with torch.inference_mode():
        np.testing.assert_allclose(found, model.net(*given).numpy(), atol=1e-4)


def test_a_model_that_is_an_onnx_file_is_not_exported(tiny_models, tmp_path, capsys):
    arguments = ["tiny_metric", str(tmp_path / "a.onnx"), "--registry", str(tiny_models)]

    assert main(["engine", "export", *arguments]) == 1

    assert "tiny_metric is an ONNX file already: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "say"),
    [
        (OutputKind.METRIC, lambda depth_m: 3 * depth_m),
        (OutputKind.INVERSE_AFFINE, lambda depth_m: 5 / depth_m + 2),
        (OutputKind.DEPTH_AFFINE, lambda depth_m: 0.1 * depth_m - 4),
    ],
    ids=["metric", "inverse_affine", "depth_affine"],
)
def test_what_is_right_up_to_scale_and_shift_is_aligned_to_the_truth(kind, say):
    truth_m = np.array([[1.0, 2.0, 4.0], [8.0, 3.0, np.nan]])
    depth_m = np.where(np.isnan(truth_m), 6.0, truth_m)

    np.testing.assert_allclose(aligned_m(say(depth_m), kind, truth_m), depth_m, rtol=1e-9)

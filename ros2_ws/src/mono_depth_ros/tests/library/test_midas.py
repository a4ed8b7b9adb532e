"""Against numbers of the original code with the same pseudo-random weights (see the JSON)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, OutputKind
from mono_depth.errors import ModelError
from mono_depth.models import load_model, pseudo_random
from mono_depth.models.convolutional import fold_batch_norms
from mono_depth.models.midas import Midas, MidasNet
from mono_depth.models.registry import read_registry
from mono_depth.models.weights import load_strictly
from mono_depth.pipeline import DepthPipeline

CPU = torch.device("cpu")
LAST_BIAS = "scratch.output_conv.4.bias"
GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "midas_v21_golden.json").read_text())


def case_name(case):
    if "size" in case:
        return "{}x{}".format(*case["size"])
    return "{}x{} at {}".format(*case["image"], case["input_size"])


def build(variant):
    with torch.device("meta"):
        return MidasNet(variant).eval().requires_grad_(False)


def fill(variant):
    shapes = {name: tensor.shape for name, tensor in build(variant).state_dict().items()}
    norms = [name.replace("running_var", "weight") for name in shapes if "running_var" in name]
    return pseudo_random.fill(shapes, positive=[*norms, LAST_BIAS])


@pytest.fixture(scope="module")
def weights():
    return fill("small")


@pytest.fixture
def net(weights):
    small = build("small")
    load_strictly(small, weights, "the rule")
    return small


def noise(height, width):
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand((1, 3, height, width), generator=generator) * 4 - 2


def check(output: np.ndarray, golden: dict, tolerance: float) -> None:
    flat = output.reshape(-1)
    where = np.linspace(0, flat.size - 1, len(golden["samples"])).round().astype(int)
    actual = [*flat[where], flat.min(), flat.max(), flat.mean()]
    expected = [*golden["samples"], golden["min"], golden["max"], golden["mean"]]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * golden["max"])


def test_names_shapes_and_the_weights_of_the_rule_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN["small"]["tensors"]
    assert pseudo_random.checksum(weights) == GOLDEN["small"]["state_dict_sha256"]


@pytest.mark.parametrize("golden", GOLDEN["small"]["network_float64"], ids=case_name)
def test_the_small_network_computes_what_the_original_computes(net, golden):
    with torch.inference_mode():
        output = net.double()(noise(*golden["size"]).double())[0]

    assert list(output.shape) == golden["size"]
    check(output.numpy(), golden, 1e-9)


@pytest.mark.parametrize("golden", GOLDEN["small"]["image_float32"], ids=case_name)
def test_an_image_gives_the_map_that_the_original_gives(net, golden):
    entry = read_registry()["midas_v21_small"]
    entry = replace(entry, input=entry.input.with_short_side(golden["input_size"]))
    model = Midas(net, entry, CPU, sha256="")

    prediction = model.infer(torch.from_numpy(pseudo_random.image(*golden["image"])), None)

    assert prediction.values.dtype == torch.float32
    assert list(prediction.values.shape) == golden["network"]
    assert prediction.kind is OutputKind.INVERSE_AFFINE
    check(prediction.values.numpy(), golden, 1e-4)


def test_folded_batch_normalisation_changes_nothing_but_the_rounding(net):
    image = noise(64, 32).double()
    before = net.double()(image)

    fold_batch_norms(net)

    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    torch.testing.assert_close(net(image), before, rtol=1e-12, atol=1e-12)


def test_inverse_depth_is_never_negative(weights):
    net = build("small")
    load_strictly(net, weights | {LAST_BIAS: torch.tensor([-100.0])}, "the rule")

    assert not net(noise(32, 32)).any()


@pytest.mark.parametrize("variant", ["small", "large"])
def test_a_published_file_runs_through_registry_and_pipeline(tmp_path, variant):
    tensors = fill(variant)
    name, golden = f"midas_v21_{variant}", GOLDEN[variant]["image_float32"][-1]
    assert len(tensors) == GOLDEN[variant]["tensors"]
    torch.save(tensors, tmp_path / "published.pt")
    del tensors  # 420 MB for the large one
    registry = tmp_path / "mine.yaml"
    registry.write_text(f"models: {{{name}: {{weights: {{file: published.pt}}}}}}")
    frame = Frame(rgb=pseudo_random.image(*golden["image"]), stamp_ns=1, frame_id="camera")

    model = load_model(name, registry=registry, input_size=golden["input_size"])
    (tmp_path / "published.pt").unlink()  # pytest would keep it
    result = DepthPipeline(model, PipelineConfig()).process(frame)

    check(result.network_relative.numpy(), golden, 1e-4)
    assert result.kind is OutputKind.INVERSE_AFFINE
    assert result.network_depth_m is None  # no metres without a scale


def test_a_file_without_one_tensor_or_of_the_other_size_is_refused(tmp_path, weights):
    path = tmp_path / "published.pt"
    registry = read_registry()
    torch.save({name: weights[name] for name in weights if name != LAST_BIAS}, path)

    with pytest.raises(ModelError, match=rf"fit the network: 1 missing: {LAST_BIAS}$"):
        Midas.load(registry["midas_v21_small"], path, CPU)
    with pytest.raises(ModelError, match=r"missing: pretrained\.layer1\.4\.0\.conv1\.weight"):
        Midas.load(registry["midas_v21_large"], path, CPU)
    path.unlink()  # pytest would keep it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "medium"}, "variant 'medium' is not one of small, large"),
        ({"kind": OutputKind.METRIC}, "kind metric, not inverse_affine"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()["midas_v21_small"], **change)

    with pytest.raises(ModelError, match=message):
        Midas.load(entry, Path("unused.pt"), CPU)


def test_an_input_that_is_not_in_multiples_of_32_is_refused(net):
    entry = read_registry()["midas_v21_small"]
    wrong = replace(entry, input=replace(entry.input, multiple_of=14))

    with pytest.raises(ModelError, match="in multiples of 14, expected multiples of 32"):
        Midas(net, wrong, CPU, sha256="")
    with pytest.raises(ModelError, match="midas_v21_small has no `input`"):
        Midas(net, replace(entry, input=None), CPU, sha256="")

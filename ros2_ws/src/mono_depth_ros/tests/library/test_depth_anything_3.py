"""Against numbers of the original code with the same pseudo-random weights (see the JSON)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mono_depth.data import Intrinsics, OutputKind
from mono_depth.errors import ModelError
from mono_depth.models import load_model, pseudo_random
from mono_depth.models.depth_anything_3 import DA3_CONFIGS, Da3Config, Da3Net, DepthAnything3
from mono_depth.models.dinov2 import VIT_SIZES
from mono_depth.models.registry import read_registry
from mono_depth.models.weights import load_strictly

CPU = torch.device("cpu")
METRIC, MONO = "depth_anything_3_metric_large", "depth_anything_3_mono_large"
GOLDEN = json.loads(
    (Path(__file__).parents[1] / "data" / "depth_anything_3_golden.json").read_text()
)
SMALL = Da3Config(
    vit=VIT_SIZES["small"], layers=(2, 5, 8, 11), features=64, channels=(48, 96, 192, 384)
)


def shapes_of(config):
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Da3Net(config).state_dict().items()}


@pytest.fixture(scope="module")
def weights():
    values = pseudo_random.fill(shapes_of(SMALL))
    values["head.scratch.sky_output_conv2.2.bias"] += 0.3
    return values


@pytest.fixture(scope="module")
def net(weights):
    with torch.device("meta"):
        built = Da3Net(SMALL).eval().requires_grad_(False)
    load_strictly(built, weights, "the rule")
    return built


def camera(height, width):
    middle = {"cx": (width - 1) / 2, "cy": (height - 1) / 2}
    return Intrinsics(width=width, height=height, fx=0.9 * width, fy=1.0 * width, **middle)


def check(output: np.ndarray, golden: dict, tolerance: float) -> None:
    flat = output.reshape(-1)
    where = np.linspace(0, flat.size - 1, len(golden["samples"])).round().astype(int)
    found = [*flat[where], flat.min(), flat.max(), flat.mean()]
    wanted = [*golden["samples"], golden["min"], golden["max"], golden["mean"]]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * golden["max"])


def test_names_shapes_and_the_weights_of_the_rule_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN["small"]["tensors"]
    assert pseudo_random.checksum(weights) == GOLDEN["small"]["state_dict_sha256"]


def test_the_large_network_has_the_parameters_of_the_published_file():
    shapes = shapes_of(DA3_CONFIGS["large"])

    assert len(shapes) == 406
    assert sum(shape.numel() for shape in shapes.values()) == 334_171_394


@pytest.mark.parametrize("golden", GOLDEN["small"]["network_float64"], ids=lambda g: str(g["size"]))
def test_the_network_computes_what_the_original_computes(net, weights, golden):
    height, width = golden["size"]
    generator = torch.Generator().manual_seed(height * width)
    image = torch.rand((1, 3, height, width), generator=generator) * 4 - 2

    with torch.inference_mode():
        depth, sky = net.double()(image.double())

    load_strictly(net, weights, "the rule")
    # The original interpolates positions in float32, whose last bit depends on the processor.
    check(depth[0].numpy(), golden["depth"], 1e-6)
    check(sky[0].numpy(), golden["sky"], 1e-6)


@pytest.mark.parametrize(
    "golden", GOLDEN["small"]["image_float32"], ids=lambda g: f"{g['kind']} {g['image']}"
)
def test_an_image_gives_the_depth_of_the_original_and_none_in_the_sky(net, golden):
    height, width = golden["image"]
    entry = read_registry()[METRIC if golden["kind"] == "metric" else MONO]
    entry = replace(entry, input=entry.input.with_short_side(golden["input_size"]))
    rgb = torch.from_numpy(pseudo_random.image(height, width))

    prediction = DepthAnything3(net, entry, CPU, sha256="").infer(rgb, camera(height, width))

    assert prediction.kind is entry.kind
    assert prediction.values.dtype == torch.float32
    assert list(prediction.values.shape) == golden["network"]
    assert 0 < int(prediction.values.isnan().sum()) < prediction.values.numel()
    check(prediction.values.nan_to_num(0.0).numpy(), golden, 1e-4)


def test_metres_grow_with_the_focal_length_and_relative_depth_does_not(net):
    rgb = torch.from_numpy(pseudo_random.image(60, 80))
    near, registry = camera(60, 80), read_registry()
    far = replace(near, fx=2 * near.fx, fy=2 * near.fy)
    ratios = {}
    for name in (METRIC, MONO):
        entry = replace(registry[name], input=registry[name].input.with_short_side(56))
        model = DepthAnything3(net, entry, CPU, sha256="")
        first, second = (model.infer(rgb, one).values for one in (near, far))
        ratios[name] = float((second / first).nanmedian())

    assert ratios == {METRIC: pytest.approx(2.0), MONO: pytest.approx(1.0)}


def test_a_vga_image_is_seen_as_large_as_the_original_sees_it():
    assert read_registry()[METRIC].input.size_for(640, 480) == (504, 378)


def test_a_published_file_gives_the_same_bits_through_the_registry(
    tmp_path, monkeypatch, weights, net
):
    monkeypatch.setitem(DA3_CONFIGS, "large", SMALL)
    save_file(
        {f"model.{key}": value for key, value in weights.items()}, tmp_path / "model.safetensors"
    )
    registry = tmp_path / "mine.yaml"
    registry.write_text(f"models: {{{METRIC}: {{weights: {{file: model.safetensors}}}}}}")
    rgb = torch.from_numpy(pseudo_random.image(60, 80))

    model = load_model(METRIC, registry=registry, input_size=56)

    entry = read_registry()[METRIC]
    entry = replace(entry, input=entry.input.with_short_side(56))
    expected = DepthAnything3(net, entry, CPU, sha256="").infer(rgb, None).values
    values = model.infer(rgb, None).values
    assert model.kind is OutputKind.METRIC_FOCAL
    assert values.shape == (42, 56)
    assert torch.equal(values.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "giant"}, "variant 'giant' is not one of large"),
        ({"kind": OutputKind.METRIC}, "kind metric, not metric_focal or depth_affine"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()[METRIC], **change)

    with pytest.raises(ModelError, match=message):
        DepthAnything3.load(entry, Path("unused.safetensors"), CPU)

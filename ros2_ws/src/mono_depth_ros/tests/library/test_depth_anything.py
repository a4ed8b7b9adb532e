"""Against numbers of the original code with the same pseudo-random weights (see the JSON)."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models import load_model, pseudo_random
from mono_depth.models.depth_anything import DepthAnything, DepthAnythingNet, from_hub_layout
from mono_depth.models.registry import read_registry
from mono_depth.models.weights import load_strictly

CPU = torch.device("cpu")
LAST_BIAS = "depth_head.scratch.output_conv2.2.bias"
DATA = Path(__file__).parents[1] / "data"
GOLDEN = json.loads((DATA / "depth_anything_v2_golden.json").read_text())
RELATIVE, METRIC, V1 = "relative_small", "metric_small_20m", "v1_small"
GOLDEN[V1] = json.loads((DATA / "depth_anything_v1_golden.json").read_text())["small"]
MAX_DEPTH_M = {RELATIVE: None, METRIC: 20.0, V1: None}
ENTRIES = {
    V1: "depth_anything_v1_small",
    RELATIVE: "depth_anything_v2_small",
    METRIC: "depth_anything_v2_metric_indoor_small",
}
NETWORK_CASES = [(which, case) for which in ENTRIES for case in GOLDEN[which]["network_float64"]]
IMAGE_CASES = [(which, case) for which in ENTRIES for case in GOLDEN[which]["image_float32"]]


def case_name(value):
    if isinstance(value, str):
        return value
    if "size" in value:
        return "{}x{}".format(*value["size"])
    return "{}x{} at {}".format(*value["image"], value["input_size"])


@pytest.fixture(scope="module")
def weights():
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in DepthAnythingNet("small", None).state_dict().items()}
    return pseudo_random.fill(shapes, positive=[LAST_BIAS])


@pytest.fixture(scope="module")
def nets(weights):
    built = {}
    for which, max_depth_m in MAX_DEPTH_M.items():
        with torch.device("meta"):
            net = DepthAnythingNet("small", max_depth_m, is_v1=which == V1)
            built[which] = net.eval().requires_grad_(False)
        load_strictly(built[which], weights, "the rule")
    return built


def check(output: np.ndarray, golden: dict, tolerance: float) -> None:
    flat = output.reshape(-1)
    where = np.linspace(0, flat.size - 1, len(golden["samples"])).round().astype(int)
    np.testing.assert_allclose(flat[where], golden["samples"], rtol=tolerance)
    statistics = [flat.min(), flat.max(), flat.mean()]
    np.testing.assert_allclose(
        statistics, [golden["min"], golden["max"], golden["mean"]], rtol=tolerance
    )


def test_names_shapes_and_the_weights_of_the_rule_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN[RELATIVE]["tensors"]
    assert pseudo_random.checksum(weights) == GOLDEN[RELATIVE]["state_dict_sha256"]


@pytest.mark.parametrize(("which", "golden"), NETWORK_CASES, ids=case_name)
def test_the_network_computes_what_the_original_computes(nets, weights, which, golden):
    height, width = golden["size"]
    generator = torch.Generator().manual_seed(height * width)
    image = torch.rand((1, 3, height, width), generator=generator) * 4 - 2
    net = nets[which].double()

    with torch.inference_mode():
        output = net(image.double())[0].numpy()

    load_strictly(net, weights, "the rule")
    # The original interpolates positions in float32, whose last bit depends on the processor;
    # 518x518 needs no interpolation.
    check(output, golden, 1e-9 if (height, width) == (518, 518) else 1e-6)


@pytest.mark.parametrize(("which", "golden"), IMAGE_CASES, ids=case_name)
def test_an_image_gives_the_map_that_the_original_gives(nets, which, golden):
    height, width = golden["image"]
    entry = read_registry()[ENTRIES[which]]
    entry = replace(entry, input=entry.input.with_short_side(golden["input_size"]))
    model = DepthAnything(nets[which], entry, CPU, sha256="")

    prediction = model.infer(torch.from_numpy(pseudo_random.image(height, width)), None)

    assert prediction.values.dtype == torch.float32
    assert list(prediction.values.shape) == golden["network"]
    assert prediction.kind is entry.kind
    full = F.interpolate(
        prediction.values[None, None], (height, width), mode="bilinear", align_corners=which != V1
    )
    check(full.numpy(), golden, 1e-4)


def test_relative_output_is_never_negative(nets, weights):
    with torch.device("meta"):
        net = DepthAnythingNet("small", None)
    load_strictly(net, weights | {LAST_BIAS: torch.tensor([-100.0])}, "the rule")

    assert net(torch.zeros(1, 3, 28, 28)).tolist() == torch.zeros(1, 28, 28).tolist()


def test_each_size_of_input_gets_its_own_positions(nets):
    images = {size: torch.ones(1, 3, *size) for size in [(28, 42), (42, 28)]}
    alone = {size: nets[RELATIVE](image) for size, image in images.items()}

    for size in [(28, 42), (42, 28), (28, 42)]:
        assert torch.equal(nets[RELATIVE](images[size]), alone[size])
    assert not torch.allclose(alone[28, 42], alone[42, 28].mT)


def test_new_weights_replace_the_remembered_positions(weights):
    with torch.device("meta"):
        net = DepthAnythingNet("small", None)
    image = torch.ones(1, 3, 28, 42)
    load_strictly(net, weights, "the rule")
    before = net(image)

    load_strictly(net, weights | {"pretrained.pos_embed": torch.zeros(1, 1370, 384)}, "zeros")

    assert not torch.allclose(net(image), before)


def to_hub_layout(tensors):
    """Rename as the `-hf` repositories do; the inverse of what is tested."""
    named = {}
    for name, tensor in tensors.items():
        if ".attn.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                named[name.replace("attn.qkv", f"attention.attention.{part}")] = piece.clone()
        else:
            named[name] = tensor
    rules = [
        (r"^pretrained\.blocks\.", "backbone.encoder.layer."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.ls(\d)\.gamma", r".layer_scale\1.lambda1"),
        (r"^pretrained\.pos_embed", "backbone.embeddings.position_embeddings"),
        (r"^pretrained\.(cls|mask)_token", r"backbone.embeddings.\1_token"),
        (r"^pretrained\.patch_embed\.proj", "backbone.embeddings.patch_embeddings.projection"),
        (r"^pretrained\.norm", "backbone.layernorm"),
        (r"^depth_head\.projects\.(\d)", r"neck.reassemble_stage.layers.\1.projection"),
        (r"^depth_head\.resize_layers\.(\d)", r"neck.reassemble_stage.layers.\1.resize"),
        (r"resConfUnit(\d)\.conv(\d)", r"residual_layer\1.convolution\2"),
        (r"(refinenet\d)\.out_conv", r"\1.projection"),
        (r"^depth_head\.scratch\.output_conv1", "head.conv1"),
        (r"^depth_head\.scratch\.output_conv2\.0", "head.conv2"),
        (r"^depth_head\.scratch\.output_conv2\.2", "head.conv3"),
    ]
    for number in "1234":
        rules += [
            (rf"^depth_head\.scratch\.layer{number}_rn", f"neck.convs.{int(number) - 1}"),
            (
                rf"^depth_head\.scratch\.refinenet{number}",
                f"neck.fusion_stage.layers.{4 - int(number)}",
            ),
        ]
    hub = {}
    for name, tensor in named.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        hub[name] = tensor
    return hub


@pytest.mark.parametrize("name", ["depth_anything_v1_small", "depth_anything_v2_small"])
def test_original_and_hub_files_give_the_same_bits_through_the_registry(tmp_path, weights, name):
    hub = to_hub_layout(weights)
    assert len(hub) == 287  # as counted in a file that transformers wrote
    torch.save(weights, tmp_path / "original.pth")
    save_file(hub, tmp_path / "hub.safetensors")
    registry = tmp_path / "mine.yaml"
    rgb = torch.from_numpy(pseudo_random.image(56, 84))

    outputs = []
    for file in ("original.pth", "hub.safetensors"):
        registry.write_text(f"models: {{{name}: {{weights: {{file: {file}}}}}}}")
        model = load_model(name, registry=registry, input_size=56)
        outputs.append(model.infer(rgb, None).values)

    assert model.kind is OutputKind.INVERSE_AFFINE
    assert outputs[0].shape == (56, 84)
    assert outputs[0].std() > 0.01
    assert torch.equal(*outputs)


def test_a_hub_file_without_one_tensor_is_refused_by_its_original_name(weights):
    hub = to_hub_layout(weights)
    del hub["backbone.encoder.layer.3.attention.attention.key.bias"]
    with torch.device("meta"):
        net = DepthAnythingNet("small", None)

    with pytest.raises(ModelError, match=r"1 missing: pretrained\.blocks\.3\.attn\.qkv\.bias"):
        load_strictly(net, from_hub_layout(hub), "hub.safetensors")


def test_weights_of_another_size_are_refused(tmp_path, weights):
    path = tmp_path / "small.safetensors"
    save_file(weights, path)
    base = read_registry()["depth_anything_v2_base"]

    with pytest.raises(ModelError, match=r"misshaped: pretrained\.cls_token \(1, 1, 384\)"):
        DepthAnything.load(base, path, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "giant"}, "variant 'giant' is not one of small, base, large"),
        ({"kind": OutputKind.COMPLETION}, "kind completion, not metric or inverse_affine"),
        ({"kind": OutputKind.METRIC}, "kind metric and max_depth_m go together"),
        ({"max_depth_m": 20.0}, "kind metric and max_depth_m go together"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    check_refused("depth_anything_v2_small", change, message)


def test_the_metric_networks_of_v1_are_refused():
    change = {"kind": OutputKind.METRIC, "max_depth_m": 20.0}

    check_refused("depth_anything_v1_small", change, "the metric networks of V1 are not known")


def check_refused(name, change, message):
    entry = replace(read_registry()[name], **change)

    with pytest.raises(ModelError, match=message):
        DepthAnything.load(entry, Path("unused.pth"), CPU)

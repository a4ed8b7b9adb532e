import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import built, read_golden
from mono_depth.models.families.depth_anything import (
    LAST_BIAS,
    DepthAnything,
    DepthAnythingNet,
    golden_weights,
)
from mono_depth.models.families.depth_anything_hub_names import from_hub_layout
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry, with_short_side
from mono_depth.models.store.weights import load_strictly

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights():
    return golden_weights()


@pytest.fixture(scope="module")
def net(weights):
    return built(lambda: DepthAnythingNet("small", None), weights)


@pytest.mark.slow
def test_names_shapes_and_the_weights_of_the_rule_are_those_of_the_original(weights):
    assert len(weights) == read_golden("depth_anything_v1")["small"]["tensors"]
    assert len(weights) == read_golden("depth_anything_v2")["relative_small"]["tensors"]


def test_output_comes_in_float32_at_the_size_of_the_network(net):
    entry = with_short_side(read_registry()["depth_anything_v2_small"], 56)

    prediction = DepthAnything(net, entry, CPU, "").infer(torch.zeros(60, 90, 3).byte(), None)

    assert prediction.values.dtype == torch.float32
    assert prediction.values.shape == (56, 84)
    assert prediction.kind is OutputKind.INVERSE_AFFINE


def test_relative_output_is_never_negative(weights):
    with torch.device("meta"):
        net = DepthAnythingNet("small", None)
    load_strictly(net, weights | {LAST_BIAS: torch.tensor([-100.0])}, "the rule")

    assert net(torch.zeros(1, 3, 28, 28)).tolist() == torch.zeros(1, 28, 28).tolist()


def test_positions_of_an_image_of_the_size_of_the_training_are_taken_as_they_are(net, weights):
    assert torch.equal(net.pretrained.positions(37, 37), weights["pretrained.pos_embed"])


@pytest.mark.slow
def test_each_size_of_input_gets_its_own_positions(net):
    images = {size: torch.ones(1, 3, *size) for size in [(28, 42), (42, 28)]}
    alone = {size: net(image) for size, image in images.items()}

    for size in [(28, 42), (42, 28), (28, 42)]:
        assert torch.equal(net(images[size]), alone[size])
    assert not torch.allclose(alone[28, 42], alone[42, 28].mT)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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

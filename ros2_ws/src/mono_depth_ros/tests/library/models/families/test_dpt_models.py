import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.beit import offset_index
from mono_depth.models.backbones.resnet_v2 import StandardisedConv2d
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import read_golden
from mono_depth.models.families.dpt_hub_names import from_hub_layout
from mono_depth.models.families.midas_dpt import (
    LAST_BIAS,
    MidasDpt,
    golden_config,
    golden_weights,
    without_unused,
)
from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS, MidasDptNet
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry
from mono_depth.models.store.weights import load_strictly

CPU = torch.device("cpu")
GOLDEN = read_golden("midas_dpt")
ENTRIES = {
    "large": "dpt_large",
    "hybrid": "dpt_hybrid",
    "beit_l_512": "midas_beit_l_512",
    "beit_l_384": "midas_beit_l_384",
    "beit_b_384": "midas_beit_b_384",
}


def shapes_of(config):
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in MidasDptNet(config).state_dict().items()}


def built(config, tensors):
    with torch.device("meta"):
        net = MidasDptNet(config).eval().requires_grad_(False)
    load_strictly(net, tensors, "the rule")
    return net


@pytest.fixture(scope="module")
def large_weights():
    return golden_weights(golden_config("large"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ENTRIES)
def test_names_and_shapes_are_those_of_the_published_network(variant):
    lines = [f"{name} {tuple(size)}" for name, size in shapes_of(DPT_CONFIGS[variant]).items()]

    assert len(lines) == GOLDEN[variant]["tensors"]
    found = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    assert found == GOLDEN[variant]["layout_sha256"]


@pytest.mark.slow
def test_a_vga_image_keeps_its_aspect_ratio():
    sizes = {name: read_registry()[name].input.size_for(640, 480) for name in ENTRIES.values()}

    assert sizes.pop("midas_beit_l_512") == (672, 512)
    assert set(sizes.values()) == {(512, 384)}


@pytest.mark.slow
def test_depth_is_never_negative(large_weights):
    net = built(golden_config("large"), large_weights | {LAST_BIAS: torch.tensor([-100.0])})

    assert net(torch.zeros(1, 3, 32, 32)).tolist() == torch.zeros(1, 32, 32).tolist()


def test_offsets_between_tokens_are_counted_row_by_row():
    # one row of two patches: offsets -1, 0, 1 are 0, 1, 2; then the three of the class token
    assert offset_index(1, 2, CPU).tolist() == [[5, 3, 3], [4, 1, 0], [4, 2, 1]]


def test_standardised_weights_have_mean_0_and_variance_1_and_are_made_once():
    conv = StandardisedConv2d(2, 1, 1, 1)
    conv.weight.data = torch.tensor([[[[3.0]], [[7.0]]]])
    image = torch.tensor([[[[1.0]], [[4.0]]]])
    assert conv(image).item() == pytest.approx(4.0 - 1.0)

    conv.standardise()
    conv.standardise()

    assert conv.weight.flatten().tolist() == pytest.approx([-1.0, 1.0])
    assert conv(image).item() == pytest.approx(4.0 - 1.0)


def test_a_stride_of_2_pads_an_even_image_below_and_to_the_right():
    conv = StandardisedConv2d(1, 1, 3, 2)
    conv.weight.data = torch.arange(9.0).reshape(1, 1, 3, 3)
    conv.standardise()

    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0, 0] = 1.0

    assert conv(image).item() == pytest.approx(conv.weight[0, 0, 0, 0].item())


def to_hub_layout(tensors):
    """Rename as transformers does; the inverse of what is tested."""
    named = {}
    for name, tensor in tensors.items():
        if ".attn.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                named[name.replace("attn.qkv", f"attention.attention.{part}")] = piece.clone()
        else:
            named[name] = tensor
    stem = "dpt.embeddings.backbone.bit."
    rules = [
        (r"^pretrained\.model\.blocks\.", "dpt.encoder.layer."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"(layer\.\d+)\.norm1", r"\1.layernorm_before"),
        (r"(layer\.\d+)\.norm2", r"\1.layernorm_after"),
        (r"^pretrained\.model\.norm", "dpt.layernorm"),
        (r"^pretrained\.model\.pos_embed", "dpt.embeddings.position_embeddings"),
        (r"^pretrained\.model\.cls_token", "dpt.embeddings.cls_token"),
        (r"^pretrained\.model\.patch_embed\.backbone\.stem\.conv", stem + "embedder.convolution"),
        (r"^pretrained\.model\.patch_embed\.backbone\.stem\.norm", stem + "embedder.norm"),
        (r"^pretrained\.model\.patch_embed\.backbone\.", stem + "encoder."),
        (r"(stages\.\d)\.blocks", r"\1.layers"),
        (r"^scratch\.output_conv", "head.head"),
        (r"resConfUnit(\d)\.conv(\d)", r"residual_layer\1.convolution\2"),
        (r"(refinenet\d)\.out_conv", r"\1.projection"),
    ]
    is_hybrid = any("stages" in name for name in tensors)
    patches = "projection" if is_hybrid else "patch_embeddings.projection"
    rules.append((r"^pretrained\.model\.patch_embed\.proj", f"dpt.embeddings.{patches}"))
    reassemble = "neck.reassemble_stage"
    for number in range(1, 5):
        act, index = rf"^pretrained\.act_postprocess{number}", number - 1
        rules += [
            (rf"{act}\.0\.project\.0", f"{reassemble}.readout_projects.{index}.0"),
            (rf"{act}\.3", f"{reassemble}.layers.{index}.projection"),
            (rf"{act}\.4", f"{reassemble}.layers.{index}.resize"),
            (rf"^scratch\.layer{number}_rn", f"neck.convs.{index}"),
            (rf"^scratch\.refinenet{number}", f"neck.fusion_stage.layers.{4 - number}"),
        ]
    hub = {}
    for name, tensor in named.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        hub[name] = tensor
    return hub


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "count"), [("large", 462 - 2), ("hybrid", 414 - 2)])
def test_each_name_of_a_hub_file_has_an_original(variant, count):
    wanted = shapes_of(DPT_CONFIGS[variant])
    with torch.device("meta"):
        hub = to_hub_layout({name: torch.empty(size) for name, size in wanted.items()})
    assert len(hub) == count  # as counted in a network of transformers, less the unused norm

    found = {name: tensor.shape for name, tensor in from_hub_layout(hub).items()}

    assert found == wanted


@pytest.mark.slow
def test_original_and_hub_files_give_the_same_bits_through_the_registry(
    tmp_path, monkeypatch, large_weights
):
    monkeypatch.setitem(DPT_CONFIGS, "large", golden_config("large"))
    classifier = {
        "pretrained.model.norm.weight": torch.ones(256),
        "pretrained.model.head.weight": torch.ones(1000, 256),
    }
    torch.save(large_weights | classifier, tmp_path / "original.pt")
    hub = to_hub_layout(large_weights) | {"dpt.layernorm.weight": torch.ones(256)}
    save_file(hub, tmp_path / "hub.safetensors")
    registry = tmp_path / "mine.yaml"
    rgb = torch.from_numpy(pseudo_random.image(64, 96))

    outputs = []
    for file in ("original.pt", "hub.safetensors"):
        registry.write_text(f"models: {{dpt_large: {{weights: {{file: {file}}}}}}}")
        model = load_model("dpt_large", registry=registry, input_size=64)
        outputs.append(model.infer(rgb, None).values)

    assert outputs[0].shape == (64, 96)
    assert outputs[0].std() > 0.01
    assert torch.equal(*outputs)


@pytest.mark.slow
def test_a_hub_file_without_one_tensor_is_refused_by_its_original_name(large_weights):
    hub = to_hub_layout(large_weights)
    del hub["dpt.encoder.layer.3.attention.attention.key.bias"]

    with pytest.raises(ModelError, match=r"1 missing: pretrained\.model\.blocks\.3\.attn\.qkv"):
        built(golden_config("large"), from_hub_layout(hub))


def test_only_the_classifier_and_the_index_of_offsets_are_left_out():
    names = [
        "pretrained.model.blocks.0.attn.relative_position_index",
        "pretrained.model.fc_norm.bias",
        "core.core.pretrained.model.head.weight",
        "pretrained.model.blocks.0.norm1.weight",
        "pretrained.model.patch_embed.backbone.norm.weight",
        "head.weight",
    ]

    kept = without_unused(dict.fromkeys(names, torch.zeros(1)))

    assert list(kept) == names[3:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "giant"}, "variant 'giant' is not one of large, hybrid, beit_l_512"),
        ({"kind": OutputKind.METRIC}, "kind metric, not inverse_affine"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(change, message):
    entry = replace(read_registry()["dpt_large"], **change)

    with pytest.raises(ModelError, match=message):
        MidasDpt.load(entry, Path("unused.pt"), CPU)


def test_an_input_that_is_no_multiple_of_32_is_refused(large_weights):
    entry = read_registry()["dpt_large"]
    entry = replace(entry, input=replace(entry.input, multiple_of=16))

    with pytest.raises(ModelError, match="multiples of 16, expected multiples of 32"):
        MidasDpt(built(golden_config("large"), large_weights), entry, CPU, sha256="")

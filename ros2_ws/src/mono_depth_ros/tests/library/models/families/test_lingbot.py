import json
from dataclasses import replace

import pytest
import torch

from mono_depth.data import OutputKind
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import built, read_golden
from mono_depth.models.checks.golden.tokens import enlarged, spec_of
from mono_depth.models.families.lingbot import (
    LingBot,
    golden_config,
    golden_depth,
    golden_weights,
    with_our_names,
)
from mono_depth.models.families.lingbot_net import LingBotConfig, LingBotNet, has_depth
from mono_depth.models.preprocess import InputSpec
from mono_depth.models.store.registry import read_registry
from mono_depth.models.store.weights import load_strictly

CPU = torch.device("cpu")
GOLDEN = read_golden("lingbot_depth")
CONFIG = GOLDEN["model_config"]
EMBEDDING = "encoder.backbone.depth_patch_embed.proj."
EMBEDDING_IN_FILES = "encoder.backbone.depth_mask_patch_embed.proj."


def entry(tokens=48, image=(96, 128)):
    shipped = read_registry()["lingbot_depth"]
    return replace(shipped, variant="small", input=spec_of({"tokens": tokens, "size": image}))


def case_name(golden):
    return "{}x{} {}".format(*golden["size"], golden.get("depth", ""))


@pytest.fixture(scope="module")
def weights():
    return golden_weights()


@pytest.fixture(scope="module")
def net(weights):
    return built(lambda: LingBotNet(golden_config()), weights)


@pytest.mark.slow
def test_names_and_shapes_are_those_of_the_original(weights):
    assert len(weights) == GOLDEN["tensors"]


@pytest.mark.slow
@pytest.mark.parametrize("golden", GOLDEN["float32"], ids=case_name)
def test_as_many_pixels_as_in_the_original_stay_without_depth(net, golden):
    height, width = golden["size"]
    model = LingBot(net, entry(golden["tokens"], (height, width)), CPU, sha256="")
    rgb = torch.from_numpy(pseudo_random.image(height, width))
    prediction = model.complete(rgb, golden_depth(height, width))

    assert prediction.kind is OutputKind.COMPLETION
    assert prediction.values.dtype == torch.float32
    assert list(prediction.values.shape) == golden["network"]
    assert torch.equal(prediction.values.isnan(), prediction.confidence <= 0.5)
    mask = enlarged(prediction.confidence.logit()[None, None], golden).sigmoid()
    assert int((mask <= 0.5).sum()) == golden["without_depth"]


@pytest.mark.slow
def test_the_mask_shows_where_the_depth_map_had_holes(net):
    depth_m = torch.full((96, 128), 2.0)
    depth_m[:48, 64:] = torch.nan
    rgb = torch.from_numpy(pseudo_random.image(96, 128))

    prediction = LingBot(net, entry(), CPU, sha256="").complete(rgb, depth_m)

    assert torch.equal(prediction.mask, depth_m.isnan())


@pytest.mark.slow
def test_what_lies_in_a_hole_has_no_influence(net):
    depth_m = torch.full((96, 128), 2.0)
    rgb = torch.from_numpy(pseudo_random.image(96, 128))
    model = LingBot(net, entry(), CPU, sha256="")
    outputs = []
    for hole in (0.0, float("nan"), float("inf"), -3.0, 0.009):
        depth_m[:48, 64:] = hole
        outputs.append(model.complete(rgb, depth_m).confidence)
    depth_m[:48, 64:] = 5.0

    assert all(torch.equal(output, outputs[0]) for output in outputs)
    assert not torch.allclose(model.complete(rgb, depth_m).confidence, outputs[0], rtol=1e-3)


def test_a_patch_counts_if_one_pixel_of_it_has_depth():
    depth = torch.zeros(1, 1, 28, 42)
    depth[0, 0, 27, 14] = 0.5  # in the second row and column of patches
    depth[0, 0, 0, 0] = 201.0  # farther than the original counts

    assert has_depth(depth).int().tolist() == [[[[0, 0, 0], [0, 1, 0]]]]


@pytest.mark.slow
def test_the_depth_map_may_have_another_size_than_the_image(net):
    model = LingBot(net, entry(), CPU, sha256="")
    rgb = torch.from_numpy(pseudo_random.image(96, 128))
    small = torch.full((24, 32), 2.0)
    small[:12] = 3.0

    large = small.repeat_interleave(4, dim=0).repeat_interleave(4, dim=1)

    outputs = [model.complete(rgb, depth_m).confidence for depth_m in (small, large)]
    assert torch.equal(*outputs)


def test_a_depth_map_of_the_size_that_the_network_sees_has_that_size(net):
    assert LingBot(net, entry(), CPU, sha256="").depth_size(640, 480) == (112, 84)


def test_anything_but_a_depth_map_is_refused(net):
    model = LingBot(net, entry(), CPU, sha256="")
    rgb = torch.from_numpy(pseudo_random.image(96, 128))

    with pytest.raises(FrameError, match=r"depth of shape \(96, 128\) torch.uint16"):
        model.complete(rgb, torch.zeros(96, 128, dtype=torch.uint16))


@pytest.fixture(scope="module")
def published(tmp_path_factory, weights):
    """A file as the publisher names its tensors, with the head that no network uses."""
    tensors = {name.replace(EMBEDDING, EMBEDDING_IN_FILES): v for name, v in weights.items()}
    tensors["normal_head.output_blocks.4.bias"] = torch.zeros(3)
    path = tmp_path_factory.mktemp("lingbot") / "model.pt"
    torch.save({"model_config": {**CONFIG, "normal_head": {}}, "model": tensors}, path)
    return path


@pytest.mark.slow
def test_a_published_file_gives_the_network_of_the_original(published, net):
    rgb = torch.from_numpy(pseudo_random.image(96, 128))

    model = LingBot.load(entry(), published, CPU)

    expected = LingBot(net, entry(), CPU, sha256="").complete(rgb, golden_depth(96, 128))
    assert torch.equal(model.complete(rgb, golden_depth(96, 128)).confidence, expected.confidence)
    assert len(model.weights_sha256) == 64


@pytest.mark.slow
def test_the_variant_of_the_registry_must_be_that_of_the_file(published):
    with pytest.raises(ModelError, match="has a small backbone, lingbot_depth wants large"):
        LingBot.load(replace(entry(), variant="large"), published, CPU)


def test_both_names_of_the_depth_embedding_are_known(weights):
    renamed = {name.replace(EMBEDDING, EMBEDDING_IN_FILES): v for name, v in weights.items()}

    assert with_our_names(renamed, "a file") == with_our_names(weights, "a file") == weights


def test_a_depth_embedding_under_both_names_is_refused(weights):
    twice = weights | {EMBEDDING_IN_FILES + "bias": weights[EMBEDDING + "bias"]}

    with pytest.raises(ModelError, match=r"a file has .*depth_patch_embed\.proj\.bias under two"):
        with_our_names(twice, "a file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({EMBEDDING + "weight": None}, r"1 missing: encoder.backbone.depth_patch_embed.proj.wei"),
        ({EMBEDDING + "weight": (384, 2, 14, 14)}, r"1 misshaped: .*depth_patch_embed\.proj\.weig"),
        ({"encoder.backbone.depth_emb.weight": (3,)}, r"1 unexpected: .*backbone\.depth_emb\.wei"),
    ],
)
def test_a_file_with_another_depth_embedding_is_refused(weights, change, message):
    tensors = weights | {name: shape and torch.zeros(shape) for name, shape in change.items()}
    tensors = {name: value for name, value in tensors.items() if value is not None}
    with torch.device("meta"):
        built = LingBotNet(LingBotConfig.read(CONFIG, "a file"))

    with pytest.raises(ModelError, match=message):
        load_strictly(built, with_our_names(tensors, "a file"), "a file")


def changed(**changes):
    config = json.loads(json.dumps(CONFIG))
    for path, value in changes.items():
        *folders, key = path.split("__")
        inner = config
        for folder in folders:
            inner = inner[folder]
        inner[key] = value
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder__backbone": "dinov3_vitl16"}, "backbone 'dinov3_vitl16' is not one of dinov2"),
        ({"encoder__img_depth_fuse_mode": "add"}, "img_depth_fuse_mode is 'add', expected 'cat_t"),
        ({"encoder__depth_emb_mode": "mlp"}, "depth_emb_mode is 'mlp', expected 'conv_1c'"),
        ({"encoder__intermediate_layers": [5, 12]}, r"\[5, 12\] are not ascending blocks of 12"),
        ({"encoder": None}, "encoder is a NoneType, expected a mapping"),
        ({"remap_depth_in": "sqrt"}, "remap_depth_in is 'sqrt', expected log or linear"),
        ({"neck": None}, "neck is a NoneType, expected a mapping"),
        ({"neck__wings": 2}, "neck has unknown key wings"),
        ({"neck__dim_in": [1, 2]}, r"neck: \[1, 2\] is not a value for each of 5 levels"),
        ({"neck__dim_in": ["a"] * 5}, "neck: 'a' channels or blocks"),
        ({"neck__resamplers": "cubic"}, "neck: 'cubic' is not one of conv_transpose, bilinear"),
        ({"mask_head__activation": []}, r"mask_head: \[\] is not one of relu, leaky_relu"),
    ],
)
def test_a_configuration_of_an_unknown_network_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        LingBotConfig.read(changed(**change), "a file")


def test_what_a_configuration_does_not_say_is_as_in_the_original():
    silent = {key: value for key, value in CONFIG.items() if key != "remap_depth_in"}

    assert LingBotConfig.read(silent, "a file").sees_logarithm
    assert not LingBotConfig.read(CONFIG, "a file").sees_logarithm
    assert LingBotConfig.read(CONFIG, "a file").says_logarithm


def test_unknown_keys_are_named_and_ignored(caplog):
    config = LingBotConfig.read(changed(dataset="RobbyVla", encoder__drop=0.1), "a file")

    assert config == LingBotConfig.read(CONFIG, "a file")
    assert "a file: unknown keys of model_config are ignored: dataset" in caplog.text
    assert "ignored: drop" in caplog.text


def test_a_file_without_configuration_is_refused(tmp_path, weights):
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "model.pt")

    with pytest.raises(ModelError, match="holds no 'model_config'"):
        LingBot.load(entry(), tmp_path / "model.pt", CPU)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": OutputKind.METRIC}, "kind metric, not completion"),
        ({"input": None}, "has no `input`"),
        ({"input": InputSpec(width=64, height=64, multiple_of=32)}, "expected multiples of 14"),
    ],
)
def test_an_entry_that_no_published_network_fits_is_refused(published, change, message):
    with pytest.raises(ModelError, match=message):
        LingBot.load(replace(entry(), **change), published, CPU)

"""Several images at a time: what a model says of each is what it says of it alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
import yaml

from mono_depth.config import CompletionConfig
from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.models.backbones.dinov2 import VIT_SIZES, VitConfig
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import built
from mono_depth.models.families.depth_anything_3 import DA3_CONFIGS, GOLDEN_CONFIG
from mono_depth.models.families.lingbot import LingBot
from mono_depth.models.families.lingbot import golden_config as lingbot_config
from mono_depth.models.families.lingbot import golden_weights as lingbot_weights
from mono_depth.models.families.lingbot_net import LingBotNet
from mono_depth.models.families.midas_dpt import golden_config
from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS
from mono_depth.models.families.moge import Moge
from mono_depth.models.families.moge import golden_config as moge_config
from mono_depth.models.families.moge import golden_weights as moge_weights
from mono_depth.models.families.moge_net import MogeNet
from mono_depth.models.guessed_completion import GuessedCompletion
from mono_depth.models.loading import load_model
from mono_depth.models.preprocess import Preprocess
from mono_depth.models.random_model import random_model
from mono_depth.models.store.registry import read_registry, with_short_side

CPU = torch.device("cpu")
CAMERA = Intrinsics(width=64, height=48, fx=60.0, fy=62.0, cx=30.0, cy=25.0)
IMAGE = torch.from_numpy(pseudo_random.image(48, 64))
IMAGES = torch.stack([IMAGE, IMAGE.flip(1) // 2, IMAGE.flip(0)])
CAMERAS = (CAMERA, None, replace(CAMERA, fx=70.0))


def make_networks_small(patch: pytest.MonkeyPatch) -> None:
    """Make the networks of random weights small, by the numbers that they are built from."""
    patch.setitem(DA3_CONFIGS, "large", GOLDEN_CONFIG)
    for name in ("large", "beit_l_384"):
        patch.setitem(DPT_CONFIGS, name, golden_config(name))
    patch.setitem(VIT_SIZES, "small", VitConfig(width=64, depth=12, heads=2))


@pytest.fixture
def small_networks(monkeypatch):
    make_networks_small(monkeypatch)


@pytest.fixture(scope="module")
def with_random_weights():
    """Return a function that gives a small model by its name, built once for all tests."""

    @cache
    def small_model(name: str):
        with pytest.MonkeyPatch.context() as patch:
            make_networks_small(patch)
            return random_model(read_registry()[name], CPU)

    return small_model


def calls_of(model) -> list[int]:
    """Return a list that grows by the number of images of each run of the network."""
    calls, (net, *_) = [], model.networks
    network = net.call

    def counted(*arguments: torch.Tensor):
        calls.append(len(arguments[0]))
        return network(*arguments)

    net.call = counted
    return calls


def check(model, images=IMAGES, cameras=CAMERAS, tolerance=1e-4) -> list[int]:
    """Compare a batch with its images alone; return how many images each run had."""
    alone = [model.infer(*pair) for pair in zip(images, cameras, strict=True)]
    calls = calls_of(model)
    together = model.infer_batch(images, cameras)

    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        assert one.kind is other.kind
        for name in ("values", "confidence", "mask", "reasons"):
            found, expected = getattr(one, name), getattr(other, name)
            assert (found is None) == (expected is None)
            if found is not None:
                close = {"rtol": tolerance, "atol": tolerance, "equal_nan": True}
                torch.testing.assert_close(found, expected, **close)
    assert not torch.equal(together[0].values, together[1].values)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("midas_v21_small", "leres_resnet50", "dpt_large", "zoedepth_k"),
        *("depth_anything_v1_small", "depth_anything_v2_metric_indoor_small"),
        *("depth_anything_3_metric_large", "depth_anything_3_mono_large"),
    ],
)
def test_the_network_runs_once_for_all_images(small_networks, name):
    entry = read_registry()[name]
    entry = replace(entry, average_mirrored=False, input=entry.input.with_short_side(64))
    if entry.input.multiple_of == 14:
        entry = with_short_side(entry, 56)

    assert check(random_model(entry, CPU)) == [3]


@pytest.mark.slow
def test_the_image_and_its_mirror_image_are_a_run_each(small_networks):
    entry = with_short_side(read_registry()["zoedepth_n"], 64)
    assert entry.average_mirrored

    assert check(random_model(entry, CPU)) == [3, 3]


@pytest.mark.slow
def test_the_network_that_takes_one_head_for_all_sees_one_image_at_a_time(small_networks):
    entry = with_short_side(read_registry()["zoedepth_nk"], 64)
    entry = replace(entry, average_mirrored=False)

    assert check(random_model(entry, CPU)) == [1, 1, 1]


@pytest.mark.slow
def test_points_of_each_image_are_as_far_as_its_camera_says():
    net = built(lambda: MogeNet(moge_config()), moge_weights())
    entry = with_short_side(read_registry()["moge2_small"], 56)

    assert check(Moge(net, entry, CPU, "")) == [3]


@pytest.mark.slow
def test_a_depth_map_is_completed_for_one_image_at_a_time():
    net = built(lambda: LingBotNet(lingbot_config()), lingbot_weights())
    entry = replace(with_short_side(read_registry()["lingbot_depth"], 56), variant="small")
    completer = LingBot(net, entry, CPU, "")

    model = GuessedCompletion(completer, load_model("nano"), CompletionConfig())
    assert check(model) == [1, 1, 1]


@pytest.mark.slow
def test_nano_runs_once_for_the_images_of_each_size():
    nano = load_model("nano")

    assert check(nano) == [3]
    tele = replace(CAMERA, fx=400.0, fy=400.0)  # its image is seen smaller
    assert check(nano, cameras=(CAMERA, tele, None)) == [2, 1]


@pytest.mark.slow
def test_one_image_is_a_batch_as_well():
    nano = load_model("nano")
    (prediction,) = nano.infer_batch(IMAGES[:1], [CAMERA])
    assert torch.equal(prediction.values, nano.infer(IMAGES[0], CAMERA).values)


@pytest.mark.slow
def test_each_image_becomes_to_the_bit_what_it_becomes_alone():
    for name in ("depth_anything_v2_small", "moge2_small", "depth_anything_3_mono_large"):
        preprocess = Preprocess(read_registry()[name].input, CPU)
        alone = torch.cat([preprocess(picture) for picture in IMAGES])
        assert torch.equal(preprocess.batch(IMAGES), alone)


# Files of a user's.


@pytest.fixture(scope="module")
def mean_registry(tmp_path_factory):
    """Registry with the mean over R, G, B: `any` takes any number of images, `one` a single one."""
    onnx = pytest.importorskip("onnx", reason="the package onnx makes the networks of this test")
    pytest.importorskip("onnxruntime", reason="the package onnxruntime runs them")
    folder = tmp_path_factory.mktemp("mean")
    for name, count in (("any", "n"), ("one", "1")):
        text = f"""<ir_version: 8, opset_import: ["": 13]>
            mean (float[{count}, 3, h, w] rgb) => (float[{count}, 1, h, w] depth) {{
              depth = ReduceMean <axes = [1]> (rgb)
            }}"""
        onnx.save(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    entries = {
        name: {
            "family": "onnx",
            "kind": "metric",
            "description": "made by a test",
            "licence": "CC0-1.0",
            "commercial": True,
            "weights": {"file": f"{name}.onnx"},
            "input": {"width": 32, "height": 24},
        }
        for name in ("any", "one")
    }
    registry = folder / "registry.yaml"
    registry.write_text(yaml.safe_dump({"models": entries}))
    return registry


@pytest.mark.slow
@pytest.mark.parametrize(("name", "runs"), [("any", [3]), ("one", [1, 1, 1])])
def test_a_file_gets_as_many_images_as_it_says_that_it_takes(mean_registry, name, runs):
    assert check(load_model(name, registry=mean_registry)) == runs


# What is no batch.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano", "midas_v21_small", "zoedepth_nk"])
@pytest.mark.parametrize(
    ("rgb", "cameras", "message"),
    [
        (IMAGE, [None], r"images of shape \(48, 64, 3\) torch.uint8, expected \(B, H, W, 3\)"),
        (IMAGES.float(), [None] * 3, r"images of shape \(3, 48, 64, 3\) torch.float32, expected"),
        (IMAGES[:0], [], r"images of shape \(0, 48, 64, 3\) torch.uint8, expected"),
        (IMAGES, [None], "1 cameras for 3 images"),
    ],
    ids=["image", "float", "none", "cameras"],
)
def test_what_is_no_batch_is_refused(with_random_weights, name, rgb, cameras, message):
    model = with_random_weights(name)
    with pytest.raises(FrameError, match=message):
        model.infer_batch(rgb, cameras)

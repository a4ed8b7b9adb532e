"""Every family refuses a file that lacks a tensor, has one more, or one of another shape."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mono_depth.errors import ModelError
from mono_depth.models import depth_anything, leres, load_model, midas
from mono_depth.models.depth_anything_3 import DA3_CONFIGS, Da3Net
from mono_depth.models.dinov2 import VIT_SIZES, VitConfig
from mono_depth.models.golden import depth_anything_3 as golden_da3
from mono_depth.models.golden import lingbot as golden_lingbot
from mono_depth.models.golden import moge as golden_moge
from mono_depth.models.golden.case import read_golden, shapes_of
from mono_depth.models.golden.midas_dpt import small
from mono_depth.models.golden.zoedepth import BACKBONE, make
from mono_depth.models.lingbot import LingBotNet
from mono_depth.models.loading import FAMILIES
from mono_depth.models.midas_dpt import DPT_CONFIGS, MidasDptNet
from mono_depth.models.moge import MogeNet
from mono_depth.models.registry import read_registry
from mono_depth.models.resnet import ResNetConfig

TINY = VitConfig(width=64, depth=12, heads=2)


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a family's file looks."""

    entry: str  # of the registry
    file: str
    net: Callable[[], torch.nn.Module]
    prefix: str = ""  # of the names in the file, not in the network
    around: Callable[[dict], object] = lambda tensors: tensors  # what else the file holds


def configured(golden):
    config = read_golden(golden)["model_config"]
    return lambda tensors: {"model_config": config, "model": tensors}


FILES = {
    "depth_anything_v1": Published(
        entry="depth_anything_v1_small",
        file="small.pth",
        net=lambda: depth_anything.DepthAnythingNet("small", None, is_v1=True),
    ),
    "depth_anything_v2": Published(
        entry="depth_anything_v2_small",
        file="small.pth",
        net=lambda: depth_anything.DepthAnythingNet("small", None),
    ),
    "depth_anything_3": Published(
        entry="depth_anything_3_metric_large",
        file="model.safetensors",
        net=lambda: Da3Net(DA3_CONFIGS["large"]),
        prefix="model.",
    ),
    "midas": Published(
        entry="midas_v21_small", file="small.pt", net=lambda: midas.MidasNet("small")
    ),
    "leres": Published(
        entry="leres_resnet50",
        file="res50.pth",
        net=lambda: leres.LeresNet("resnet50"),
        prefix="module.",
        around=lambda tensors: {"depth_model": tensors, "shift_model": {"a": torch.zeros(1)}},
    ),
    "midas_dpt": Published(
        entry="dpt_large", file="large.pt", net=lambda: MidasDptNet(DPT_CONFIGS["large"])
    ),
    "zoedepth": Published(
        entry="zoedepth_n",
        file="n.pt",
        net=lambda: make("n", DPT_CONFIGS[BACKBONE]),
        around=lambda tensors: {"model": tensors, "epoch": 4},
    ),
    "moge": Published(
        entry="moge2_small",
        file="model.pt",
        net=lambda: MogeNet(golden_moge.config()),
        around=configured(golden_moge.NAME),
    ),
    "lingbot_depth": Published(
        entry="lingbot_depth",
        file="model.pt",
        net=lambda: LingBotNet(golden_lingbot.config()),
        around=configured(golden_lingbot.NAME),
    ),
}


@pytest.fixture
def small_networks(monkeypatch):
    """Make the published networks small, by the numbers that they are built from."""
    monkeypatch.setitem(VIT_SIZES, "small", TINY)
    monkeypatch.setitem(DA3_CONFIGS, "large", golden_da3.SMALL)
    for name in ("large", BACKBONE):
        narrow = replace(small(name), vit=replace(TINY, depth=4), channels=(16, 16, 16, 16))
        monkeypatch.setitem(DPT_CONFIGS, name, narrow)
    one_block_each = ResNetConfig(blocks=(1, 1, 1, 1))
    monkeypatch.setitem(leres._BACKBONES, "resnet50", one_block_each)


def load(tmp_path, family, change):
    """Write the file of a family after `change` of its tensors, and load it."""
    published = FILES[family]
    tensors = {name: torch.full(size, 0.5) for name, size in shapes_of(published.net).items()}
    changed = change(tensors)
    named = {f"{published.prefix}{name}": value for name, value in changed.items()}
    path = tmp_path / published.file
    if path.suffix == ".safetensors":
        save_file(named, path)
    else:
        torch.save(published.around(named), path)
    registry = tmp_path / "mine.yaml"
    variant = ", variant: small" if family == "lingbot_depth" else ""
    registry.write_text(
        f"models: {{{published.entry}: {{weights: {{file: {path.name}, sha256: null}}{variant}}}}}"
    )
    try:
        return load_model(published.entry, registry=registry, allow_noncommercial=True)
    finally:
        path.unlink()  # pytest would keep it


def last(tensors):
    """Name a layer at the very end of the network."""
    return next(name for name in reversed(tensors) if name.endswith(".bias"))


def without_last(tensors):
    return {name: value for name, value in tensors.items() if name != last(tensors)}


def with_one_more(tensors):
    return tensors | {"stray.weight": torch.zeros(2)}


def with_one_longer(tensors):
    return tensors | {last(tensors): torch.zeros(tensors[last(tensors)].shape[0] + 1)}


@pytest.mark.parametrize("family", FILES)
def test_a_file_that_is_just_right_is_loaded(small_networks, tmp_path, family):
    assert load(tmp_path, family, lambda tensors: tensors).name == FILES[family].entry


@pytest.mark.parametrize("family", FILES)
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_last, r"does not fit the network: 1 missing: {last}$"),
        (with_one_more, r"does not fit the network: 1 unexpected: stray\.weight$"),
        (with_one_longer, r"does not fit the network: 1 misshaped: {last} \(\d+,\) instead of"),
    ],
)
def test_a_wrong_tensor_is_refused_and_named(small_networks, tmp_path, family, change, problem):
    name = last(shapes_of(FILES[family].net))

    with pytest.raises(ModelError, match=problem.replace("{last}", name.replace(".", r"\."))):
        load(tmp_path, family, change)


def test_every_family_with_a_network_of_its_own_is_tested():
    assert {read_registry()[one.entry].family for one in FILES.values()} == set(FILES)
    # nano: below; onnx: the file is the network
    assert set(FILES) == set(FAMILIES) - {"nano", "onnx"}


def test_nano_refuses_a_wrong_tensor_too(tmp_path):
    shipped = read_registry()["nano"].weights[0].file
    tensors, path = load_file(shipped), tmp_path / "nano.safetensors"
    registry = tmp_path / "mine.yaml"
    registry.write_text("models: {nano: {weights: {file: nano.safetensors}}}")
    metadata = {"format": header_of(shipped)["format"]}
    name = last(tensors)

    for change, problem in (
        (without_last, f"1 missing: {name}"),
        (with_one_more, "1 unexpected: stray.weight"),
        (with_one_longer, f"1 misshaped: {name}"),
    ):
        save_file(change(tensors), path, metadata)
        with pytest.raises(ModelError, match=problem):
            load_model("nano", registry=registry)


def header_of(path):
    with Path(path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(size))["__metadata__"]

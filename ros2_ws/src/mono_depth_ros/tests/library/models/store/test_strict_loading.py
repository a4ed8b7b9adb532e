"""Every family refuses a file that lacks a tensor, has one more, or one of another shape."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import VIT_SIZES, VitConfig
from mono_depth.models.backbones.resnet import ResNetConfig
from mono_depth.models.checks.golden.case import read_golden
from mono_depth.models.checks.pseudo_random import shapes_of
from mono_depth.models.families import depth_anything, leres, midas
from mono_depth.models.families.depth_anything_3 import DA3_CONFIGS, Da3Net
from mono_depth.models.families.lingbot_net import LingBotConfig, LingBotNet
from mono_depth.models.families.midas_dpt import golden_config
from mono_depth.models.families.midas_dpt_net import DPT_CONFIGS, MidasDptNet
from mono_depth.models.families.moge_net import MogeConfig, MogeNet
from mono_depth.models.families.zoedepth import BACKBONE, golden_net
from mono_depth.models.family_table import FAMILIES
from mono_depth.models.loading import load_model
from mono_depth.models.store.registry import read_registry

TINY = VitConfig(width=64, depth=12, heads=2)


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a family's file looks."""

    entry: str  # of the registry
    file: str
    net: Callable[[], torch.nn.Module]
    prefix: str = ""  # of the names in the file, not in the network
    around: Callable[[dict], object] = lambda tensors: tensors  # what else the file holds


def narrow(golden):
    """Return the configuration of a small file, with few channels."""
    text = json.dumps(read_golden(golden)["model_config"])
    return json.loads(text.replace("384", "16").replace("386", "18"))


def configured(golden):
    return lambda tensors: {"model_config": narrow(golden), "model": tensors}


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
        net=lambda: golden_net("n", DPT_CONFIGS[BACKBONE]),
        around=lambda tensors: {"model": tensors, "epoch": 4},
    ),
    "moge": Published(
        entry="moge2_small",
        file="model.pt",
        net=lambda: MogeNet(MogeConfig.read(narrow("moge2"), "")),
        around=configured("moge2"),
    ),
    "lingbot_depth": Published(
        entry="lingbot_depth",
        file="model.pt",
        net=lambda: LingBotNet(LingBotConfig.read(narrow("lingbot_depth"), "")),
        around=configured("lingbot_depth"),
    ),
}


@pytest.fixture
def small_networks(monkeypatch):
    """Make the published networks small, by the numbers that they are built from."""
    monkeypatch.setitem(VIT_SIZES, "small", TINY)
    sizes = {"vit": replace(TINY, depth=4), "channels": (16, 16, 16, 16)}
    monkeypatch.setitem(DA3_CONFIGS, "large", replace(DA3_CONFIGS["large"], features=16, **sizes))
    for name in ("large", BACKBONE):
        monkeypatch.setitem(DPT_CONFIGS, name, replace(golden_config(name), **sizes))
    monkeypatch.setitem(leres._BACKBONES, "resnet50", ResNetConfig(blocks=(1, 1, 1, 1)))
    monkeypatch.setattr(leres, "RESNET_CHANNELS", (16, 16, 16, 16))
    monkeypatch.setattr(leres, "_FEATURES", 16)


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
    pin = hashlib.sha256(path.read_bytes()).hexdigest()  # else what comes out is looked at, too
    weights = f"{{file: {path.name}, sha256: {pin}}}"
    registry.write_text(f"models: {{{published.entry}: {{weights: {weights}{variant}}}}}")
    try:
        return load_model(published.entry, registry=registry, allow_noncommercial=True)
    finally:
        path.unlink()  # pytest would keep it


def last(tensors):
    """Name a layer at the very end of the network."""
    return next(name for name in reversed(tensors) if name.endswith(".bias"))


def spoilt(tensors):
    """Take one tensor away, add one, and make one longer."""
    bias = last(tensors)
    rest = {name: value for name, value in tensors.items() if name != bias}
    longer = torch.zeros(rest[last(rest)].shape[0] + 1)
    return {**rest, last(rest): longer, "stray.weight": torch.zeros(2)}


def problems(shapes):
    """Say what a message about `spoilt` tensors must say."""
    names = [name for name in reversed(shapes) if name.endswith(".bias")]
    missing, longer = (re.escape(name) for name in names[:2])
    return (
        rf"does not fit the network: 1 missing: {missing}; 1 unexpected: stray\.weight; "
        rf"1 misshaped: {longer} \(\d+,\) instead of \(\d+,\)$"
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", FILES)
def test_a_file_that_is_just_right_is_loaded(small_networks, tmp_path, family):
    assert load(tmp_path, family, lambda tensors: tensors).name == FILES[family].entry


@pytest.mark.slow
@pytest.mark.parametrize("family", FILES)
def test_wrong_tensors_are_refused_and_named(small_networks, tmp_path, family):
    with pytest.raises(ModelError, match=problems(shapes_of(FILES[family].net))):
        load(tmp_path, family, spoilt)


@pytest.mark.slow
def test_a_token_that_only_training_uses_may_be_missing(small_networks, tmp_path):
    def exported(tensors):
        return {name: value for name, value in tensors.items() if "mask_token" not in name}

    assert load(tmp_path, "depth_anything_v2", exported).kind is OutputKind.INVERSE_AFFINE


@pytest.mark.slow
def test_every_family_with_a_network_of_its_own_is_tested():
    assert {read_registry()[one.entry].family for one in FILES.values()} == set(FILES)
    # nano: below; onnx: the file is the network
    assert set(FILES) == set(FAMILIES) - {"nano", "onnx"}


@pytest.mark.slow
def test_nano_refuses_wrong_tensors_too(tmp_path):
    shipped = read_registry()["nano"].weights[0].file
    tensors, path = load_file(shipped), tmp_path / "nano.safetensors"
    registry = tmp_path / "mine.yaml"
    registry.write_text("models: {nano: {weights: {file: nano.safetensors, sha256: null}}}")
    save_file(spoilt(tensors), path, {"format": header_of(shipped)["format"]})

    with pytest.raises(ModelError, match=problems(tensors)):
        load_model("nano", registry=registry)


def header_of(path):
    with Path(path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(size))["__metadata__"]

"""Every model of the registry makes depth of a real frame, from a file as it is published.

The weights are pseudo-random: what is proved is the way from the file to the topic, not accuracy.
Once per family, with a small backbone where all published ones are large; the tests of acceptance
run every entry in its full size (one at a time, up to 1.4 GB on disk and 4 GB of memory each).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from mono_depth.data import OutputKind
from mono_depth.models.backbones.dinov2 import VIT_SIZES, VitConfig
from mono_depth.models.checks import pseudo_random
from mono_depth.models.families.depth_anything import V1, DepthAnythingNet
from mono_depth.models.families.depth_anything_3 import DA3_CONFIGS, Da3Net
from mono_depth.models.families.leres import LeresNet
from mono_depth.models.families.lingbot import LingBotConfig, LingBotNet
from mono_depth.models.families.midas import MidasNet
from mono_depth.models.families.midas_dpt import DPT_CONFIGS, MidasDptNet
from mono_depth.models.families.moge import MogeConfig, MogeNet
from mono_depth.models.families.zoedepth import ZoeNet, ZoeNetNK
from mono_depth.models.store.registry import ModelEntry, read_registry

pytestmark = pytest.mark.ros

ENTRIES = read_registry()
SMALLEST = {ENTRIES[name].family: name for name in reversed(list(ENTRIES))}
ONE_OF_EACH_FAMILY = sorted({**SMALLEST, "midas_dpt": "dpt_hybrid"}.values())
METRIC = (OutputKind.METRIC, OutputKind.METRIC_FOCAL, OutputKind.COMPLETION)
FOCAL_PX = 517.0

Tensors = dict[str, torch.Tensor]


def by_rule(make: Callable[[], torch.nn.Module], *positive: str) -> Tensors:
    """Return weights of the rule for a network."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in make().state_dict().items()}
    norms = [name.replace("running_var", "weight") for name in shapes if "running_var" in name]
    return pseudo_random.fill(shapes, positive=[*norms, *positive])


def depth_anything(entry: ModelEntry) -> Tensors:
    is_v1 = entry.family == V1
    return by_rule(
        lambda: DepthAnythingNet(entry.variant, entry.max_depth_m, is_v1=is_v1),
        "depth_head.scratch.output_conv2.2.bias",
    )


def depth_anything_3_(entry: ModelEntry) -> Tensors:
    weights = by_rule(lambda: Da3Net(DA3_CONFIGS[entry.variant]))
    weights["head.scratch.sky_output_conv2.2.bias"] -= 1.0  # else all is sky
    return {f"model.{name}": value for name, value in weights.items()}


def midas(entry: ModelEntry) -> Tensors:
    return by_rule(lambda: MidasNet(entry.variant), "scratch.output_conv.4.bias")


def leres(entry: ModelEntry) -> dict[str, Tensors]:
    weights = by_rule(lambda: LeresNet(entry.variant))
    parallel = {f"module.{name}": value for name, value in weights.items()}
    return {"depth_model": parallel, "shift_model": {"module.w": torch.zeros(1)}}


def dpt(entry: ModelEntry) -> Tensors:
    net = DPT_CONFIGS[entry.variant]
    weights = by_rule(lambda: MidasDptNet(net), "scratch.output_conv.4.bias")
    return weights | {"pretrained.model.head.bias": torch.ones(1000)}


def zoe(entry: ModelEntry) -> dict[str, Tensors]:
    config = DPT_CONFIGS["beit_l_384"]

    def net() -> torch.nn.Module:
        return ZoeNetNK(config) if entry.variant == "nk" else ZoeNet(entry.max_depth_m, config)

    return {"model": by_rule(net, "core.core.scratch.output_conv.4.bias")}


def conv_stack(dims_in: list[int], dims: list[int], blocks: int, out: int | None) -> dict[str, Any]:
    return {
        "dim_in": dims_in,
        "dim_out": None if out is None else [None, None, None, None, out],
        "dim_res_blocks": dims,
        "num_res_blocks": [0, blocks, blocks, blocks, 0],
        "res_block_in_norm": "none",
        "res_block_hidden_norm": "none",
        "resamplers": ["conv_transpose", "conv_transpose", "conv_transpose", "bilinear"],
    }


def patch_config(variant: str, heads: dict[str, int]) -> dict[str, Any]:
    """Return the configuration that MoGe-2 and LingBot-Depth share; the heads are narrow ones."""
    vit = VIT_SIZES[variant]
    step, dims = vit.depth // 4, [vit.width, 64, 64, 32, 32]
    config: dict[str, Any] = {
        "encoder": {
            "backbone": f"dinov2_vit{variant[0]}14",
            "intermediate_layers": [step * i - 1 for i in (1, 2, 3, 4)],
            "dim_out": vit.width,
        },
        "neck": conv_stack([vit.width + 2, 2, 2, 2, 2], dims, 2, None),
    }
    return config | {name: conv_stack(dims, dims, 1, out) for name, out in heads.items()}


def moge(entry: ModelEntry) -> dict[str, Any]:
    width = VIT_SIZES[entry.variant].width
    config = patch_config(entry.variant, {"points_head": 3, "mask_head": 1})
    config |= {"scale_head": {"dims": [width, width, width, 1]}, "remap_output": "exp"}
    weights = by_rule(
        lambda: MogeNet(MogeConfig.read(config, "the test")),
        "mask_head.output_blocks.4.bias",
        "encoder.image_std",
    )
    # Points lie near the rays of their pixels, as those of a trained network do.
    weights["points_head.output_blocks.4.weight"] *= 0.1
    for i in (0, 1):
        weights["neck.input_blocks.4.weight"][i, i, 0, 0] += 100.0
        weights["points_head.input_blocks.4.weight"][i, i, 0, 0] += 1.0
        weights["points_head.output_blocks.4.weight"][i, i, 0, 0] += 0.1
    return {"model_config": config, "model": weights}


def lingbot(entry: ModelEntry) -> dict[str, Any]:
    config = patch_config(entry.variant, {"depth_head": 1, "mask_head": 1})
    config["encoder"] |= {"depth_emb_mode": "conv_1c", "img_depth_fuse_mode": "cat_token"}
    config["remap_depth_in"] = "linear"
    weights = by_rule(
        lambda: LingBotNet(LingBotConfig.read(config, "the test")),
        "depth_head.output_blocks.4.bias",
        "mask_head.output_blocks.4.bias",
        "encoder.image_std",
    )
    return {"model_config": config, "model": weights}


CONTENTS: dict[str, Callable[[ModelEntry], Any]] = {
    "depth_anything_v1": depth_anything,
    "depth_anything_v2": depth_anything,
    "depth_anything_3": depth_anything_3_,
    "midas": midas,
    "midas_dpt": dpt,
    "leres": leres,
    "zoedepth": zoe,
    "moge": moge,
    "lingbot_depth": lingbot,
}


def make_backbones_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the families small of which only large networks are published."""
    vit = VitConfig(width=128, depth=4, heads=2)
    for variant, layers in (("hybrid", (1, 3)), ("beit_l_384", (0, 1, 2, 3))):
        small = replace(DPT_CONFIGS[variant], vit=vit, layers=layers)
        monkeypatch.setitem(DPT_CONFIGS, variant, small)
    small_3 = replace(DA3_CONFIGS["large"], vit=vit, layers=(0, 1, 2, 3))
    monkeypatch.setitem(DA3_CONFIGS, "large", small_3)


def with_small_backbone(name: str) -> Any:
    return pytest.param((name, True), id=name)


def in_full_size(name: str) -> Any:
    return pytest.param((name, False), id=f"{name}-full", marks=pytest.mark.acceptance)


@pytest.fixture
def model(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """Name of an entry, and a registry that has its weights in a file of the published kind."""
    name, is_small = request.param
    entry = ENTRIES[name]
    changes: dict[str, Any] = {}
    if is_small:
        make_backbones_small(monkeypatch)
    if entry.family == "lingbot_depth" and is_small:
        changes["variant"] = "small"
        entry = replace(entry, variant="small")
    if entry.family in CONTENTS:
        file = tmp_path / Path(entry.weights[0].file).name
        content = CONTENTS[entry.family](entry)
        if file.suffix == ".safetensors":
            save_file(content, file)
        else:
            torch.save(content, file)
        # What has no pin is run and judged when it is loaded, which these weights are not for.
        pin = hashlib.sha256(file.read_bytes()).hexdigest()
        changes["weights"] = {"file": file.name, "sha256": pin}
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump({"models": {name: changes} if changes else {}}))
    yield name, path
    for file in tmp_path.iterdir():
        file.unlink()  # pytest would keep it


@pytest.fixture(scope="module")
def bench(shared_depth_bench: Callable[..., Any]) -> Any:
    return shared_depth_bench(
        active=False,
        engine="torch",
        **{"allow_noncommercial": True, "min_depth_m": 0.001, "max_depth_m": 1000.0},
    )


@pytest.fixture(scope="module")
def rgb(shared_data: Path) -> np.ndarray:
    file = min((shared_data / "tum_fr1_rpy" / "rgb").iterdir())
    return np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB))


def test_no_family_is_left_out():
    assert {entry.family for entry in ENTRIES.values()} == {*CONTENTS, "nano"}


@pytest.mark.parametrize(
    "model",
    [*map(with_small_backbone, ONE_OF_EACH_FAMILY), *map(in_full_size, ENTRIES)],
    indirect=True,
)
def test_a_model_makes_depth_of_a_real_frame(bench, rgb, model):
    name, registry = model
    entry = ENTRIES[name]
    size = 0 if entry.input is None else 64 - 64 % entry.input.multiple_of
    values = {"model": name, "registry": str(registry), "input_size": size}
    assert bench.set_parameters(**values) == ""
    assert bench.change_state("configure", timeout_s=300.0)
    try:
        assert bench.change_state("activate")
        bench.wait_for_inputs()
        check_outputs(bench, rgb, entry)
    finally:
        bench.change_state("deactivate")
        bench.change_state("cleanup")
        for topic in list(bench.heard):
            bench.forget(topic)


def check_outputs(bench: Any, rgb: np.ndarray, entry: ModelEntry) -> None:
    topic = "depth/image" if entry.kind in METRIC else "relative/image"
    bench.listen(topic)
    middle = {"cx": 319.5, "cy": 239.5}
    k = [FOCAL_PX, 0.0, middle["cx"], 0.0, FOCAL_PX, middle["cy"], 0.0, 0.0, 1.0]
    p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
    bench.calibrate(width=640, height=480, k=k, p=p)
    sent = bench.image(rgb)

    bench.process(sent)

    message = bench.output(topic, sent)
    assert message.header == sent.header
    assert (message.encoding, message.width, message.height) == ("32FC1", 640, 480)
    depth = np.frombuffer(message.data, np.float32)
    known = depth[np.isfinite(depth)]
    assert known.size > 0.5 * depth.size
    assert known.std() > 1e-4 * abs(known.mean())
    bench.ros.wait_until(lambda: model_of(bench).get("model") == entry.name, what="diagnostics")
    told = model_of(bench)
    assert (told["kind"], len(told["model_sha256"])) == (entry.kind.value, 64)


def model_of(bench: Any) -> dict[str, str]:
    """Return the newest values of the status `mono_depth: model`."""
    statuses = [status for status in bench.diagnostics[-1].status if "model" in status.name]
    return {pair.key: pair.value for pair in statuses[0].values}

"""Models with pseudo-random weights: their speed is that of the trained ones.

The networks are those that the published files describe. For MoGe-2 and LingBot-Depth, whose files
hold the description, it is that of `configs/train/v2.json` in microsoft/MoGe (0744441), with the
backbone of the entry and the width of its tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mono_depth.config import CompletionConfig
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import VIT_SIZES
from mono_depth.models.checks import pseudo_random
from mono_depth.models.guessed_completion import GuessedCompletion
from mono_depth.models.loading import load_model
from mono_depth.models.protocol import DepthModel
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly

SHA256 = "pseudo-random"
_POSITIVE = ("encoder.image_std", "mask_head.output_blocks.4.bias")

_Make = Callable[[ModelEntry, torch.device], DepthModel]


def random_model(entry: ModelEntry, device: torch.device) -> DepthModel:
    """Build the model of a registry entry without its weights.

    Raises:
        ModelError: the family is a file of the user's, which cannot be made up.
    """
    make = _FAMILIES.get(entry.family)
    if make is None:
        raise ModelError(f"{entry.name}: a network of family {entry.family} cannot be made up")
    return make(entry, device)


def _filled(make: Callable[[], nn.Module]) -> Any:  # noqa: ANN401
    with torch.device("meta"):
        net = make()
    shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
    positive = [name for name in _POSITIVE if name in shapes]
    load_strictly(net, pseudo_random.fill(shapes, positive), "the rule for random weights")
    return net


def _nano(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.nano.model import Nano
    from mono_depth.models.nano.net import NanoNet

    return Nano(NanoNet(), device, name=entry.name, sha256=SHA256)


def _depth_anything(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.depth_anything import V1, DepthAnything, DepthAnythingNet

    is_v1 = entry.family == V1
    net = _filled(lambda: DepthAnythingNet(entry.variant, entry.max_depth_m, is_v1=is_v1))
    return DepthAnything(net, entry, device, SHA256)


def _depth_anything_3(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.depth_anything_3 import DA3_CONFIGS, Da3Net, DepthAnything3

    net = _filled(lambda: Da3Net(DA3_CONFIGS[entry.variant]))
    return DepthAnything3(net, entry, device, SHA256)


def _midas(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.midas import Midas, MidasNet

    return Midas(_filled(lambda: MidasNet(entry.variant)), entry, device, SHA256)


def _leres(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.leres import Leres, LeresNet

    return Leres(_filled(lambda: LeresNet(entry.variant)), entry, device, SHA256)


def _midas_dpt(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.midas_dpt import DPT_CONFIGS, MidasDpt, MidasDptNet

    net = _filled(lambda: MidasDptNet(DPT_CONFIGS[entry.variant]))
    return MidasDpt(net, entry, device, SHA256)


def _zoedepth(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.midas_dpt import DPT_CONFIGS
    from mono_depth.models.families.zoedepth import ZoeDepth, ZoeNet, ZoeNetNK
    from mono_depth.models.mirrored import MirrorAveraged

    config = DPT_CONFIGS["beit_l_384"]
    is_nk = entry.variant == "nk"
    net = _filled(lambda: ZoeNetNK(config) if is_nk else ZoeNet(entry.max_depth_m, config))
    model = ZoeDepth(net, entry, device, SHA256)
    return MirrorAveraged(model) if entry.average_mirrored else model


def _moge(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.moge import Moge, MogeConfig, MogeNet

    width = VIT_SIZES[entry.variant].width
    values = _described(entry, points_head=3, mask_head=1)
    values |= {"scale_head": {"dims": [width, width, width, 1]}, "remap_output": "exp"}
    net = _filled(lambda: MogeNet(MogeConfig.read(values, "the random weights")))
    return Moge(net, entry, device, SHA256)


def _lingbot(entry: ModelEntry, device: torch.device) -> DepthModel:
    from mono_depth.models.families.lingbot import LingBot, LingBotConfig, LingBotNet

    values = _described(entry, depth_head=1, mask_head=1) | {"remap_depth_in": "linear"}
    net = _filled(lambda: LingBotNet(LingBotConfig.read(values, "the random weights")))
    completer = LingBot(net, entry, device, SHA256)
    config = CompletionConfig()
    return GuessedCompletion(completer, load_model(config.guess_model, device=device), config)


def _described(entry: ModelEntry, **heads: int) -> dict[str, Any]:
    """Return the description of a network with heads of so many channels."""
    vit = VIT_SIZES[entry.variant]
    widths = [vit.width, 256, 128, 64, 32]
    step = vit.depth // 4
    shared = {
        "res_block_in_norm": "none",
        "res_block_hidden_norm": "none",
        "resamplers": [*["conv_transpose"] * 3, "bilinear"],
        "dim_res_blocks": widths,
    }
    return {
        "encoder": {
            "backbone": f"dinov2_vit{entry.variant[0]}14",
            "intermediate_layers": [step * index + step - 1 for index in range(4)],
            "dim_out": vit.width,
        },
        "neck": {
            **shared,
            "dim_in": [vit.width + 2, 2, 2, 2, 2],
            "dim_out": None,
            "num_res_blocks": [0, 2, 2, 2, 0],
        },
        **{
            name: {
                **shared,
                "dim_in": widths,
                "dim_out": [None, None, None, None, channels],
                "num_res_blocks": [0, 1, 1, 1, 0],
            }
            for name, channels in heads.items()
        },
    }


_FAMILIES: dict[str, _Make] = {
    "nano": _nano,
    "depth_anything_v1": _depth_anything,
    "depth_anything_v2": _depth_anything,
    "depth_anything_3": _depth_anything_3,
    "midas": _midas,
    "leres": _leres,
    "midas_dpt": _midas_dpt,
    "zoedepth": _zoedepth,
    "moge": _moge,
    "lingbot_depth": _lingbot,
}

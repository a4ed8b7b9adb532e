"""The networks of MiDaS 3.0 (DPT-Large, DPT-Hybrid) and the BEiT ones of MiDaS 3.1.

Source: Ranftl et al., "Vision Transformers for Dense Prediction", ICCV 2021; Birkl et al.,
"MiDaS v3.1", 2023; isl-org/MiDaS `midas/dpt_depth.py` (4545977).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.models.backbones.beit import Beit
from mono_depth.models.backbones.dinov2 import VIT_SIZES, VitConfig
from mono_depth.models.backbones.dpt import FusionPyramid
from mono_depth.models.backbones.resnet_v2 import StandardisedConv2d
from mono_depth.models.backbones.vit import PATCH_PX, Vit16

STRIDE_PX = 32  # of the coarsest map; the networks take multiples of it
_FEATURES = 256
_HEAD_CHANNELS = 32


@dataclass(frozen=True, kw_only=True)
class DptConfig:
    """Size of a network."""

    backbone: str  # vit, hybrid or beit
    vit: VitConfig
    layers: tuple[int, ...]  # blocks whose tokens the head sees
    channels: tuple[int, int, int, int]  # of the maps before they are fused, finest first
    trained_px: int = 384  # side of the images of the training


_LARGE = (256, 512, 1024, 1024)
DPT_CONFIGS = {
    "large": DptConfig(
        backbone="vit", vit=VIT_SIZES["large"], layers=(5, 11, 17, 23), channels=_LARGE
    ),
    "hybrid": DptConfig(
        backbone="hybrid", vit=VIT_SIZES["base"], layers=(8, 11), channels=(256, 512, 768, 768)
    ),
    "beit_l_512": DptConfig(
        backbone="beit",
        vit=VIT_SIZES["large"],
        layers=(5, 11, 17, 23),
        channels=_LARGE,
        trained_px=512,
    ),
    "beit_l_384": DptConfig(
        backbone="beit", vit=VIT_SIZES["large"], layers=(5, 11, 17, 23), channels=_LARGE
    ),
    "beit_b_384": DptConfig(
        backbone="beit", vit=VIT_SIZES["base"], layers=(2, 5, 8, 11), channels=(96, 192, 384, 768)
    ),
}


class DptFeatures(NamedTuple):
    """What `MidasDptNet` computes on the way to depth; ZoeDepth builds on it."""

    relative: torch.Tensor  # (B, 1, h, w) inverse depth without unit, not negative
    last: torch.Tensor  # (B, 32, h, w) before the last layer
    paths: list[torch.Tensor]  # five of (B, 256, ...), coarsest first


class MidasDptNet(nn.Module):
    """The network of one size, with the published parameter names."""

    def __init__(self, config: DptConfig) -> None:
        super().__init__()
        self.pretrained = _Pretrained(config)
        self.scratch = _Scratch(config)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return inverse depth without unit.

        Args:
            image: (B, 3, h, w) normalised, h and w multiples of 32.

        Returns:
            (B, h, w), not negative.
        """
        return self.features(image).relative[:, 0]

    def features(self, image: torch.Tensor) -> DptFeatures:
        """Return inverse depth along with the maps it comes from. Takes what `forward` takes."""
        paths = self.scratch.paths(self.pretrained(image))
        last = self.scratch.output_conv[:4](paths[-1])
        return DptFeatures(F.relu(self.scratch.output_conv[4](last)), last, paths)


class _Pretrained(nn.Module):
    """Backbone, and its outputs made into four maps."""

    def __init__(self, config: DptConfig) -> None:
        super().__init__()
        self._layers = config.layers
        width, channels = config.vit.width, config.channels
        if config.backbone == "beit":
            self.model: Vit16 | Beit = Beit(config.vit, config.trained_px // PATCH_PX)
        else:
            self.model = Vit16(config.vit, is_hybrid=config.backbone == "hybrid")
        resizes: list[nn.Module | None] = [
            nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
            nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
            None,
            nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
        ]
        # of a hybrid the two finest maps come from the residual network as they are
        self._reassembled = range(5 - len(config.layers), 5)
        for number in self._reassembled:
            made = _Reassemble(width, channels[number - 1], resizes[number - 1])
            self.add_module(f"act_postprocess{number}", made)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return four maps, finest first: 1/4 to 1/32 of the size of `image`."""
        grid = (image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX)
        maps, layers = self.model(image, self._layers)
        for number, tokens in zip(self._reassembled, layers, strict=True):
            maps.append(self.get_submodule(f"act_postprocess{number}")(tokens, grid))
        return cast("list[torch.Tensor]", maps)


class _Reassemble(nn.Module):
    """Tokens to a map; the numbers are the published names."""

    def __init__(self, width: int, channels: int, resize: nn.Module | None) -> None:
        super().__init__()
        self.add_module("0", _Readout(width))
        self.add_module("3", nn.Conv2d(width, channels, 1))
        self.add_module("4", resize or nn.Identity())

    def forward(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        readout, project, resize = self.children()
        plane = readout(tokens).transpose(1, 2).unflatten(2, grid)
        return cast("torch.Tensor", resize(project(plane)))


class _Readout(nn.Module):
    """Tell each patch what the class token says."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        linear = cast("nn.Linear", self.project[0])
        of_patch, of_class = linear.weight.chunk(2, dim=1)
        # as if the class token stood behind each patch, but multiplied once
        mixed = F.linear(tokens[:, 1:], of_patch) + F.linear(tokens[:, :1], of_class, linear.bias)
        return F.gelu(mixed)


class _Scratch(FusionPyramid):
    def __init__(self, config: DptConfig) -> None:
        super().__init__(_FEATURES, config.channels)
        self.output_conv = nn.Sequential(
            nn.Conv2d(_FEATURES, _FEATURES // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(_FEATURES // 2, _HEAD_CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_HEAD_CHANNELS, 1, 1),
        )


def prepared(net: MidasDptNet) -> MidasDptNet:
    """Return `net`, loaded, made ready to run fast."""
    net.eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, StandardisedConv2d):
            module.standardise()
    net.scratch.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net

"""MiDaS v2.1, small and large: relative inverse depth from convolutional networks.

Source: Ranftl et al., "Towards Robust Monocular Depth Estimation: Mixing Datasets for Zero-shot
Cross-dataset Transfer", TPAMI 2022; isl-org/MiDaS `midas/midas_net.py`,
`midas/midas_net_custom.py` (4545977).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.efficientnet_lite import (
    EFFICIENTNET_LITE3_CHANNELS,
    EfficientNetLite,
)
from mono_depth.models.backbones.resnet import RESNET_CHANNELS, RESNEXT101_32X8D, ResNet
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import GoldenCase, check_rule, read_golden
from mono_depth.models.checks.golden.convolutional import cases_of
from mono_depth.models.families.convolutional import ConvolutionalDepth
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly, read_tensors

_HEAD_CHANNELS = 32


class Midas(ConvolutionalDepth):
    """MiDaS v2.1 behind the `DepthModel` protocol.

    The original enlarges its output to the image with bicubic interpolation, the pipeline here
    with bilinear.
    """

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> Midas:
        """Load published weights.

        Args:
            entry: variant small or large.
            weights: `.pt`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.variant not in _VARIANTS:
            known = ", ".join(_VARIANTS)
            raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
        if entry.kind is not OutputKind.INVERSE_AFFINE:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not inverse_affine")
        with torch.device("meta"):
            net = MidasNet(entry.variant)
        tensors, found_sha256 = read_tensors(weights, sha256)
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)


class MidasNet(nn.Module):
    """The network of one size, with the published parameter names."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        config = _VARIANTS[variant]
        self.pretrained = config.backbone()
        self.scratch = _Scratch(config)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return inverse depth without unit.

        Args:
            image: (B, 3, h, w) normalised, h and w multiples of 32.

        Returns:
            (B, h, w), not negative.
        """
        return cast("torch.Tensor", self.scratch(self.pretrained(image))[:, 0])


class _Pyramid(nn.Module):
    """Four stages, under the names that MiDaS gives them."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        plane, maps = image, []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            plane = stage(plane)
            maps.append(plane)
        return maps


def _efficientnet() -> _Pyramid:
    net = EfficientNetLite(3)
    blocks = list(net.blocks)
    stem = nn.Sequential(net.conv_stem, net.bn1, net.act1, *blocks[:2])
    rest = (blocks[2:3], blocks[3:5], blocks[5:])
    return _Pyramid([stem, *(nn.Sequential(*stages) for stages in rest)])


def _resnext() -> _Pyramid:
    net = ResNet(RESNEXT101_32X8D)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
    return _Pyramid([stem, net.layer2, net.layer3, net.layer4])


@dataclass(frozen=True, kw_only=True)
class _Variant:
    backbone: Callable[[], _Pyramid]
    channels: tuple[int, int, int, int]  # of the maps of the backbone, finest first
    features: tuple[int, int, int, int]  # of the maps while they are fused, finest first
    has_out_conv: bool  # 1x1 convolution after each fusion
    rectifies_skip: bool  # see _ResidualConv


_VARIANTS = {
    "small": _Variant(
        backbone=_efficientnet,
        channels=EFFICIENTNET_LITE3_CHANNELS,
        features=(64, 128, 256, 512),
        has_out_conv=True,
        rectifies_skip=False,
    ),
    "large": _Variant(
        backbone=_resnext,
        channels=RESNET_CHANNELS,
        features=(256, 256, 256, 256),
        has_out_conv=False,
        rectifies_skip=True,
    ),
}


class _Scratch(nn.Module):
    """Four maps to inverse depth; the published names put these layers under `scratch`."""

    def __init__(self, config: _Variant) -> None:
        super().__init__()
        (in1, in2, in3, in4), (mid1, mid2, mid3, mid4) = config.channels, config.features
        self.layer1_rn = nn.Conv2d(in1, mid1, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(in2, mid2, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(in3, mid3, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(in4, mid4, 3, padding=1, bias=False)
        self.refinenet4 = _Fusion(config, mid4, mid3)
        self.refinenet3 = _Fusion(config, mid3, mid2)
        self.refinenet2 = _Fusion(config, mid2, mid1)
        self.refinenet1 = _Fusion(config, mid1, mid1)
        self.output_conv = nn.Sequential(
            nn.Conv2d(mid1, mid1 // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(mid1 // 2, _HEAD_CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_HEAD_CHANNELS, 1, 1),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        path = self.refinenet4(self.layer4_rn(maps[3]), None)
        path = self.refinenet3(path, self.layer3_rn(maps[2]))
        path = self.refinenet2(path, self.layer2_rn(maps[1]))
        path = self.refinenet1(path, self.layer1_rn(maps[0]))
        return cast("torch.Tensor", self.output_conv(path))


class _Fusion(nn.Module):
    def __init__(self, config: _Variant, features: int, out: int) -> None:
        super().__init__()
        # refinenet4 has nothing to fuse and leaves resConfUnit1 unused; the files have it
        self.resConfUnit1 = _ResidualConv(features, config.rectifies_skip)
        self.resConfUnit2 = _ResidualConv(features, config.rectifies_skip)
        self.out_conv = nn.Conv2d(features, out, 1) if config.has_out_conv else nn.Identity()

    def forward(self, path: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        if skip is not None:
            path = path + self.resConfUnit1(skip)
        # The original interpolates first. A 1x1 convolution commutes with that, as the
        # interpolation weights sum to one, and costs a quarter at the smaller size.
        path = self.out_conv(self.resConfUnit2(path))
        return F.interpolate(path, scale_factor=2, mode="bilinear", align_corners=True)


class _ResidualConv(nn.Module):
    """Two convolutions and a skip.

    In the large network the first ReLU works in place, so the skip carries its output. The
    weights were trained that way.
    """

    def __init__(self, features: int, rectifies_skip: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        self._rectifies_skip = rectifies_skip

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        rectified = F.relu(plane)
        out = self.conv2(F.relu(self.conv1(rectified), inplace=True))
        return cast("torch.Tensor", out + (rectified if self._rectifies_skip else plane))


def make_random(request: ModelRequest) -> Midas:
    """Return the model with pseudo-random weights."""
    net = pseudo_random.filled(partial(MidasNet, request.entry.variant))
    return Midas(net, request.entry, request.device, pseudo_random.SHA256)


LAST_BIAS = "scratch.output_conv.4.bias"


def golden_weights(variant: str) -> Tensors:
    """Return the weights that the original had in the comparisons."""
    shapes = pseudo_random.shapes_of(partial(MidasNet, variant))
    norms = [name.replace("running_var", "weight") for name in shapes if "running_var" in name]
    return pseudo_random.fill(shapes, positive=[*norms, LAST_BIAS])


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original for the variant of `entry`."""
    golden = read_golden("midas_v21")[entry.variant]
    values = check_rule(golden_weights(entry.variant), golden)
    return cases_of(entry, golden, values, partial(MidasNet, entry.variant), Midas)


FAMILY = Family(
    load=from_file(Midas.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"scratch\.output_conv\.4",
)

"""LeReS: relative depth from a residual network, written from the paper and from observation.

Only the depth network. The files also hold `shift_model` and `focal_model`, which guess the shift
of the depth and the focal length from a point cloud. They are left out: both are sparse
convolutions over voxels (SPVCNN) on torchsparse 1.2.0, which needs PyTorch 1.6 and CUDA 10.2
(README of the original) and is on no package registry. Without it nothing can hold a
re-implementation to the original. A robot has a substitute for both: the focal length is in its
camera_info, and `scale.source` finds shift and scale together, from points or a ground plane of
known metres.

Source: Yin et al., "Learning to Recover 3D Scene Shape from a Single Image", CVPR 2021. Names
and shapes of the parameters are those of the published files; the arithmetic is held to numbers
of aim-uofa/AdelaiDepth `LeReS/Minist_Test` (d851819).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.resnet import RESNET50, RESNET_CHANNELS, RESNEXT101_32X8D, ResNet
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import GoldenCase, check_rule, read_golden
from mono_depth.models.checks.golden.convolutional import cases_of
from mono_depth.models.families.convolutional import ConvolutionalDepth
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly, read_tensors

_BACKBONES = {"resnet50": RESNET50, "resnext101": RESNEXT101_32X8D}
_FEATURES = 256
_PREFIX = "module."  # left in the files by the parallel training
_NEAREST = 0.01


class Leres(ConvolutionalDepth):
    """LeReS behind the `DepthModel` protocol.

    The original resizes the image in 8 bits; without that rounding the output differs by some
    0.1 %.
    """

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> Leres:
        """Load published weights.

        Args:
            entry: variant resnet50 or resnext101.
            weights: `.pth` with the tensors under `depth_model`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.variant not in _BACKBONES:
            known = ", ".join(_BACKBONES)
            raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
        if entry.kind is not OutputKind.DEPTH_AFFINE:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not depth_affine")
        with torch.device("meta"):
            net = LeresNet(entry.variant)
        tensors, found_sha256 = read_tensors(weights, sha256, part="depth_model")
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)


class LeresNet(nn.Module):
    """The network on one backbone, with the published parameter names."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.depth_model = _DepthModel(variant)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return depth up to an unknown scale and shift, larger is farther.

        Args:
            image: (B, 3, h, w) normalised, h and w multiples of 32.

        Returns:
            (B, h, w); the least value of each image is 0.01, as in the original.
        """
        depth = self.depth_model(image)[:, 0]
        return cast("torch.Tensor", depth - depth.amin((1, 2), keepdim=True) + _NEAREST)


class _DepthModel(nn.Module):
    def __init__(self, variant: str) -> None:
        super().__init__()
        self.encoder_modules = _Encoder(variant)
        self.decoder_modules = _Decoder()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.decoder_modules(self.encoder_modules.encoder(image)))


class _Encoder(nn.Module):
    def __init__(self, variant: str) -> None:
        super().__init__()
        self.encoder = ResNet(_BACKBONES[variant])


class _Decoder(nn.Module):
    """Four maps, finest first, to one at twice the size of the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _Transfer(RESNET_CHANNELS[3], 2 * _FEATURES)
        self.conv1 = nn.Conv2d(2 * _FEATURES, _FEATURES, 3, padding=1)
        self.ffm2 = _Fusion(RESNET_CHANNELS[2])
        self.ffm1 = _Fusion(RESNET_CHANNELS[1])
        self.ffm0 = _Fusion(RESNET_CHANNELS[0])
        self.outconv = _Output()

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        path = _double(self.conv1(self.conv(maps[3])))
        path = self.ffm2(maps[2], path)
        path = self.ffm1(maps[1], path)
        path = self.ffm0(maps[0], path)
        return cast("torch.Tensor", self.outconv(path))


class _Transfer(nn.Module):
    """Convolution to `features` channels, then a residual block.

    The first ReLU of the original works in place, so the skip carries its output. The weights
    were trained that way.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, padding=1)
        self.conv_branch = nn.Sequential(
            nn.Identity(),  # stands for that ReLU, so that what follows has its published name
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
        )

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        skip = F.relu(self.conv1(plane), inplace=True)
        return F.relu(skip + self.conv_branch(skip), inplace=True)


class _Fusion(nn.Module):
    """Adds the map of the backbone to the path and doubles the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ftb1 = _Transfer(channels, _FEATURES)
        self.ftb2 = _Transfer(_FEATURES, _FEATURES)

    def forward(self, lateral: torch.Tensor, path: torch.Tensor) -> torch.Tensor:
        return _double(self.ftb2(self.ftb1(lateral) + path))


class _Output(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.adapt_conv = nn.Sequential(
            nn.Conv2d(_FEATURES, _FEATURES // 2, 3, padding=1),
            nn.BatchNorm2d(_FEATURES // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(_FEATURES // 2, 1, 3, padding=1),
        )

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        return _double(self.adapt_conv(plane))


def _double(plane: torch.Tensor) -> torch.Tensor:
    return F.interpolate(plane, scale_factor=2, mode="bilinear", align_corners=True)


def make_random(request: ModelRequest) -> Leres:
    """Return the model with pseudo-random weights."""
    net = pseudo_random.filled(partial(LeresNet, request.entry.variant))
    return Leres(net, request.entry, request.device, pseudo_random.SHA256)


def golden_weights(variant: str) -> Tensors:
    """Return the weights that the original had in the comparisons."""
    shapes = pseudo_random.shapes_of(partial(LeresNet, variant))
    norms = [name.replace("running_var", "weight") for name in shapes if "running_var" in name]
    return pseudo_random.fill(shapes, positive=norms)


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original for the variant of `entry`."""
    golden = read_golden("leres")[entry.variant]
    values = check_rule(golden_weights(entry.variant), golden)
    return cases_of(entry, golden, values, partial(LeresNet, entry.variant), Leres)


FAMILY = Family(
    load=from_file(Leres.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"depth_model\.decoder_modules\.outconv",
)

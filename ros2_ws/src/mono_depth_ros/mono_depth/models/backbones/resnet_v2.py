"""Residual network with standardised weights and group normalisation, the stem of DPT-Hybrid.

Three of the four stages of a ResNet-50. Parameters carry the published names, those of timm.

Source: Kolesnikov et al., "Big Transfer (BiT)", ECCV 2020; Qiao et al., "Weight
Standardization", 2019; timm 0.6.13 `timm/models/resnetv2.py`.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

RESNET_V2_CHANNELS = (256, 512, 1024)
_BLOCKS = (3, 4, 9)
_STEM_CHANNELS = 64
_GROUPS = 32
_WEIGHT_EPS = 1e-8


class ResNetV2(nn.Module):
    """Image to three maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.add_module("conv", StandardisedConv2d(3, _STEM_CHANNELS, 7, 2))
        self.stem.add_module("norm", nn.GroupNorm(_GROUPS, _STEM_CHANNELS))
        inputs = (_STEM_CHANNELS, *RESNET_V2_CHANNELS)
        self.stages = nn.Sequential(
            *(
                _Stage(before, out, depth, stride=1 if index == 0 else 2)
                for index, (before, out, depth) in enumerate(
                    zip(inputs, RESNET_V2_CHANNELS, _BLOCKS, strict=False)
                )
            )
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return (B, 256, h / 4, w / 4), (B, 512, h / 8, w / 8) and (B, 1024, h / 16, w / 16).

        Args:
            image: (B, 3, h, w), h and w multiples of 16.
        """
        plane = F.relu(self.stem(image))
        plane = F.max_pool2d(F.pad(plane, (0, 1, 0, 1), value=float("-inf")), 3, stride=2)
        maps = []
        for stage in self.stages:
            plane = stage(plane)
            maps.append(plane)
        return maps


class _Stage(nn.Module):
    def __init__(self, before: int, out: int, depth: int, stride: int) -> None:
        super().__init__()
        first = _Bottleneck(before, out, stride)
        self.blocks = nn.Sequential(first, *(_Bottleneck(out, out, 1) for _ in range(depth - 1)))

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.blocks(plane))


class _Bottleneck(nn.Module):
    def __init__(self, before: int, out: int, stride: int) -> None:
        super().__init__()
        inner = out // 4
        self.downsample = _Projection(before, out, stride) if before != out else None
        self.conv1 = StandardisedConv2d(before, inner, 1, 1)
        self.norm1 = nn.GroupNorm(_GROUPS, inner)
        self.conv2 = StandardisedConv2d(inner, inner, 3, stride)
        self.norm2 = nn.GroupNorm(_GROUPS, inner)
        self.conv3 = StandardisedConv2d(inner, out, 1, 1)
        self.norm3 = nn.GroupNorm(_GROUPS, out)

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        skip = plane if self.downsample is None else self.downsample(plane)
        plane = F.relu(self.norm1(self.conv1(plane)))
        plane = F.relu(self.norm2(self.conv2(plane)))
        return F.relu(self.norm3(self.conv3(plane)) + skip)


class _Projection(nn.Module):
    def __init__(self, before: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv = StandardisedConv2d(before, out, 1, stride)
        self.norm = nn.GroupNorm(_GROUPS, out)

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.norm(self.conv(plane)))


class StandardisedConv2d(nn.Conv2d):
    """Convolution whose weights have mean 0 and variance 1, padded as TensorFlow's SAME does.

    The padding is that of an even input, so the size must be even where the stride is 2.
    """

    def __init__(self, before: int, out: int, kernel: int, stride: int) -> None:
        super().__init__(before, out, kernel, stride=stride, bias=False)
        missing = max(kernel - stride, 0)
        self._pad = (missing // 2, missing - missing // 2) * 2
        self._is_standardised = False

    def standardise(self) -> None:
        """Replace the weights by the standardised ones, so that `forward` need not do it."""
        if not self._is_standardised:
            self.weight = nn.Parameter(self._standardised(), requires_grad=False)
            self._is_standardised = True

    def _standardised(self) -> torch.Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        return (self.weight - mean) * torch.rsqrt(variance + _WEIGHT_EPS)

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, h, w)."""
        weight = self.weight if self._is_standardised else self._standardised()
        left, right = self._pad[:2]
        if left == right:
            return F.conv2d(plane, weight, None, self.stride, left)
        return F.conv2d(F.pad(plane, self._pad), weight, None, self.stride)

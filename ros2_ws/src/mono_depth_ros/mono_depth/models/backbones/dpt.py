"""Dense prediction head (DPT) of Depth Anything: tokens of four layers to one map.

Parameters carry the published names. Source: Ranftl et al., "Vision Transformers for Dense
Prediction", ICCV 2021; DepthAnything/Depth-Anything-V2 `depth_anything_v2/dpt.py` (a561b84).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

_HEAD_CHANNELS = 32


class DptHead(nn.Module):
    """Tokens of four layers to one map, before its last activation."""

    def __init__(self, width: int, features: int, channels: Sequence[int]) -> None:
        """Build the head.

        Args:
            width: channels of the tokens.
            features: channels of the fused maps.
            channels: of the four maps before they are fused, finest first.
        """
        super().__init__()
        self.projects = nn.ModuleList(nn.Conv2d(width, out, 1) for out in channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(channels[3], channels[3], 3, stride=2, padding=1),
            ]
        )
        self.scratch = _Scratch(features, channels)

    def forward(
        self, layers: Sequence[torch.Tensor], grid: tuple[int, int], size: tuple[int, int]
    ) -> torch.Tensor:
        """Return the (B, 1, *size) map. Takes what `fused` takes."""
        return cast("torch.Tensor", self.scratch.output_conv2(self.fused(layers, grid, size)))

    def fused(
        self, layers: Sequence[torch.Tensor], grid: tuple[int, int], size: tuple[int, int]
    ) -> torch.Tensor:
        """Return (B, features / 2, *size), from which the last two layers make the map.

        Args:
            layers: (B, rows * columns, width) patch tokens of four layers, first to last.
            grid: rows, columns of the patches.
            size: height, width of the output in pixels.
        """
        maps = []
        for tokens, project, resize in zip(layers, self.projects, self.resize_layers, strict=True):
            plane = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)
            maps.append(resize(project(plane)))
        out = self.scratch.output_conv1(self.scratch.paths(maps)[-1])
        return F.interpolate(out, size, mode="bilinear", align_corners=True)


class FusionPyramid(nn.Module):
    """Four maps fused from the coarsest on; the published names put it under `scratch`."""

    def __init__(self, features: int, channels: Sequence[int]) -> None:
        """Build it; see `DptHead`."""
        super().__init__()
        self.layer1_rn = nn.Conv2d(channels[0], features, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(channels[1], features, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(channels[2], features, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(channels[3], features, 3, padding=1, bias=False)
        self.refinenet1 = _Fusion(features)
        self.refinenet2 = _Fusion(features)
        self.refinenet3 = _Fusion(features)
        self.refinenet4 = _Fusion(features)

    def paths(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the coarsest map after its first layer, then each fused map, coarsest first.

        Args:
            maps: (B, channels, ...) four maps, finest first.

        Returns:
            Five maps of (B, features, ...); the last has twice the size of the finest of `maps`.
        """
        fine, middle = self.layer1_rn(maps[0]), self.layer2_rn(maps[1])
        coarse, coarsest = self.layer3_rn(maps[2]), self.layer4_rn(maps[3])
        path4 = self.refinenet4(coarsest, None, coarse.shape[-2:])
        path3 = self.refinenet3(path4, coarse, middle.shape[-2:])
        path2 = self.refinenet2(path3, middle, fine.shape[-2:])
        double = (2 * fine.shape[-2], 2 * fine.shape[-1])
        path1 = self.refinenet1(path2, fine, double)
        return [coarsest, path4, path3, path2, path1]


def last_layers(features: int) -> nn.Sequential:
    """Return the layers that make a map of what `DptHead.fused` returns."""
    return nn.Sequential(
        nn.Conv2d(features // 2, _HEAD_CHANNELS, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(_HEAD_CHANNELS, 1, 1),
    )


class _Scratch(FusionPyramid):
    def __init__(self, features: int, channels: Sequence[int]) -> None:
        super().__init__(features, channels)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.output_conv2 = last_layers(features)


class _Fusion(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        # refinenet4 has nothing to fuse and leaves resConfUnit1 unused; the files have it
        self.resConfUnit1 = _ResidualConv(features)
        self.resConfUnit2 = _ResidualConv(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(
        self, path: torch.Tensor, skip: torch.Tensor | None, size: tuple[int, int]
    ) -> torch.Tensor:
        if skip is not None:
            path = path + self.resConfUnit1(skip)
        path = self.resConfUnit2(path)
        path = F.interpolate(path, size, mode="bilinear", align_corners=True)
        return cast("torch.Tensor", self.out_conv(path))


class _ResidualConv(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", plane + self.conv2(F.relu(self.conv1(F.relu(plane)))))

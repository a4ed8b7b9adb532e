"""Residual networks, the backbones of MiDaS v2.1 large and LeReS.

Parameters carry the names of torchvision, without the classifier. Source: He et al., "Deep
Residual Learning for Image Recognition", CVPR 2016 (stride in the 3x3 convolution); Xie et al.,
"Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017 (groups).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

_STEM_CHANNELS = 64
_EXPANSION = 4  # channels of a block's output per plane

# Channels of the four maps, each at half the size of the one before, the first at a quarter.
RESNET_CHANNELS = (256, 512, 1024, 2048)


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Size of a residual network of bottleneck blocks."""

    blocks: tuple[int, int, int, int]  # of each stage
    groups: int = 1
    group_width: int = 64  # channels of a group in the first stage


RESNET50 = ResNetConfig(blocks=(3, 4, 6, 3))
RESNEXT101_32X8D = ResNetConfig(blocks=(3, 4, 23, 3), groups=32, group_width=8)


class ResNet(nn.Module):
    """Image to four maps."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(config, 0, _STEM_CHANNELS)
        self.layer2 = _stage(config, 1, RESNET_CHANNELS[0])
        self.layer3 = _stage(config, 2, RESNET_CHANNELS[1])
        self.layer4 = _stage(config, 3, RESNET_CHANNELS[2])

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return four maps, finest first.

        Args:
            image: (B, 3, h, w), h and w multiples of 32.

        Returns:
            (B, 256, h / 4, w / 4) to (B, 2048, h / 32, w / 32).
        """
        plane = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            plane = stage(plane)
            maps.append(plane)
        return maps


def _stage(config: ResNetConfig, index: int, channels: int) -> nn.Sequential:
    planes = RESNET_CHANNELS[index] // _EXPANSION
    first = _Bottleneck(config, channels, planes, stride=1 if index == 0 else 2)
    rest = [
        _Bottleneck(config, RESNET_CHANNELS[index], planes, stride=1)
        for _ in range(config.blocks[index] - 1)
    ]
    return nn.Sequential(first, *rest)


class _Bottleneck(nn.Module):
    def __init__(self, config: ResNetConfig, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        width = planes * config.groups * config.group_width // 64
        out = planes * _EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=config.groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(plane)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        out += self.downsample(plane)
        return F.relu(out, inplace=True)

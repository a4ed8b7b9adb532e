"""EfficientNet-Lite3, the backbone of MiDaS v2.1 small.

Parameters carry the names of gen-efficientnet, without the classifier. Source: Tan and Le,
"EfficientNet", ICML 2019; rwightman/gen-efficientnet-pytorch `tf_efficientnet_lite3` (771ce08):
no squeeze-and-excitation, ReLU6, the padding and batch normalisation of TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

_NORM_EPS = 1e-3
_STEM_CHANNELS = 32


@dataclass(frozen=True, kw_only=True)
class _Stage:
    kernel: int
    stride: int
    channels: int
    blocks: int
    expansion: int = 6  # 1 = depthwise separable, without the first 1x1 convolution


_STAGES = (
    _Stage(kernel=3, stride=1, channels=24, blocks=1, expansion=1),
    _Stage(kernel=3, stride=2, channels=32, blocks=3),
    _Stage(kernel=5, stride=2, channels=48, blocks=3),
    _Stage(kernel=3, stride=2, channels=96, blocks=5),
    _Stage(kernel=5, stride=1, channels=136, blocks=5),
    _Stage(kernel=5, stride=2, channels=232, blocks=6),
    _Stage(kernel=3, stride=1, channels=384, blocks=1),
)

# Channels of the maps after stages 2, 3, 5 and 7, at 1/4, 1/8, 1/16 and 1/32 of the image.
EFFICIENTNET_LITE3_CHANNELS = (32, 48, 136, 384)


class EfficientNetLite3(nn.Module):
    """The layers in order; `blocks` are the seven stages. Width and height: multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _SameConv(3, _STEM_CHANNELS, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS, eps=_NORM_EPS)
        self.act1 = nn.ReLU6(inplace=True)
        stages, channels = [], _STEM_CHANNELS
        for stage in _STAGES:
            stages.append(_build(stage, channels))
            channels = stage.channels
        self.blocks = nn.Sequential(*stages)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (B, 384, h / 32, w / 32) map of a (B, 3, h, w) image."""
        return cast("torch.Tensor", self.blocks(self.act1(self.bn1(self.conv_stem(image)))))


def _build(stage: _Stage, channels: int) -> nn.Sequential:
    block = _DepthwiseSeparable if stage.expansion == 1 else _InvertedResidual
    first = block(stage, channels, stage.stride)
    return nn.Sequential(
        first, *(block(stage, stage.channels, stride=1) for _ in range(stage.blocks - 1))
    )


class _SameConv(nn.Conv2d):
    """Convolution with the padding of TensorFlow: at stride 2 one pixel more after than before.

    Holds for even width and height, which multiples of 32 are at every level.
    """

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)
        before = (kernel - stride) // 2
        self._pad = (before, kernel - stride - before) * 2 if stride > 1 else None

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(plane, self._pad) if self._pad else plane)


class _DepthwiseSeparable(nn.Module):
    def __init__(self, stage: _Stage, channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _SameConv(channels, channels, stage.kernel, stride=stride, groups=channels)
        self.bn1 = nn.BatchNorm2d(channels, eps=_NORM_EPS)
        self.conv_pw = _SameConv(channels, stage.channels, 1)
        self.bn2 = nn.BatchNorm2d(stage.channels, eps=_NORM_EPS)
        self._has_skip = stride == 1 and channels == stage.channels

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        out = F.relu6(self.bn1(self.conv_dw(plane)), inplace=True)
        out = self.bn2(self.conv_pw(out))
        return cast("torch.Tensor", out + plane if self._has_skip else out)


class _InvertedResidual(nn.Module):
    def __init__(self, stage: _Stage, channels: int, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self.conv_pw = _SameConv(channels, wide, 1)
        self.bn1 = nn.BatchNorm2d(wide, eps=_NORM_EPS)
        self.conv_dw = _SameConv(wide, wide, stage.kernel, stride=stride, groups=wide)
        self.bn2 = nn.BatchNorm2d(wide, eps=_NORM_EPS)
        self.conv_pwl = _SameConv(wide, stage.channels, 1)
        self.bn3 = nn.BatchNorm2d(stage.channels, eps=_NORM_EPS)
        self._has_skip = stride == 1 and channels == stage.channels

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        out = F.relu6(self.bn1(self.conv_pw(plane)), inplace=True)
        out = F.relu6(self.bn2(self.conv_dw(out)), inplace=True)
        out = self.bn3(self.conv_pwl(out))
        return cast("torch.Tensor", out + plane if self._has_skip else out)

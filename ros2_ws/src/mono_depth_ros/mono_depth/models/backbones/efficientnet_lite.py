"""EfficientNet-Lite: 3 is the backbone of MiDaS v2.1 small, 0 to 2 may be that of `nano`.

Parameters carry the names of gen-efficientnet, without the classifier. Source: Tan and Le,
"EfficientNet", ICML 2019; rwightman/gen-efficientnet-pytorch `tf_efficientnet_lite3` (771ce08):
no squeeze-and-excitation, ReLU6, the padding and batch normalisation of TensorFlow. Width and depth
of the variants: tensorflow/tpu, `efficientnet_lite_builder.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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


_CHANNEL_STEP = 8
_MOST_CHANNELS_LOST = 0.9  # by rounding to a multiple of the step
# of width and depth, over those of the variant 0
_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2), 3: (1.2, 1.4)}
_STAGES = (
    _Stage(kernel=3, stride=1, channels=16, blocks=1, expansion=1),
    _Stage(kernel=3, stride=2, channels=24, blocks=2),
    _Stage(kernel=5, stride=2, channels=40, blocks=2),
    _Stage(kernel=3, stride=2, channels=80, blocks=3),
    _Stage(kernel=5, stride=1, channels=112, blocks=3),
    _Stage(kernel=5, stride=2, channels=192, blocks=4),
    _Stage(kernel=3, stride=1, channels=320, blocks=1),
)

EFFICIENTNET_LITE_VARIANTS = tuple(_SCALES)
# Channels of the maps after stages 2, 3, 5 and 7, at 1/4, 1/8, 1/16 and 1/32 of the image.
EFFICIENTNET_LITE3_CHANNELS = (32, 48, 136, 384)


def stages_of(variant: int) -> tuple[_Stage, ...]:
    """Return the stages of a variant; the first and the last one do not grow in depth."""
    width, depth = _SCALES[variant]
    last = len(_STAGES) - 1
    return tuple(
        replace(
            stage,
            channels=_scaled_channels(stage.channels * width),
            blocks=stage.blocks if index in (0, last) else math.ceil(stage.blocks * depth),
        )
        for index, stage in enumerate(_STAGES)
    )


def _scaled_channels(wanted: float) -> int:
    step = _CHANNEL_STEP
    rounded = max(step, int(wanted + step / 2) // step * step)
    return rounded if rounded >= _MOST_CHANNELS_LOST * wanted else rounded + step


class EfficientNetLite(nn.Module):
    """The layers in order; `blocks` are the seven stages. Width and height: multiples of 32."""

    def __init__(self, variant: int) -> None:
        """Make an untrained network.

        Args:
            variant: 0 to 3, the larger the wider and deeper.
        """
        super().__init__()
        self.conv_stem = _SameConv(3, _STEM_CHANNELS, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS, eps=_NORM_EPS)
        self.act1 = nn.ReLU6(inplace=True)
        stages, channels = [], _STEM_CHANNELS
        for stage in stages_of(variant):
            stages.append(_build(stage, channels))
            channels = stage.channels
        self.blocks = nn.Sequential(*stages)

    def stem(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the first stage gets, (B, 32, h / 2, w / 2)."""
        return F.relu6(_normed(self.conv_stem, self.bn1, image), inplace=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the (B, n, h / 32, w / 32) map of a (B, 3, h, w) image."""
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
        return super().forward(self.padded(plane))

    def padded(self, plane: torch.Tensor) -> torch.Tensor:
        return F.pad(plane, self._pad) if self._pad else plane


def _normed(convolution: nn.Module, norm: nn.Module, plane: torch.Tensor) -> torch.Tensor:
    """Convolve and normalise; where a fixed norm is trained through, in one step.

    A norm that does not learn is a factor and an offset: taken into the convolution they cost
    nothing, where a pass over the map costs as much as the convolution itself.
    """
    if (
        not isinstance(norm, nn.BatchNorm2d)
        or not isinstance(convolution, _SameConv)
        or norm.running_mean is None
        or norm.running_var is None
        or norm.training
        or not torch.is_grad_enabled()
    ):
        return cast("torch.Tensor", norm(convolution(plane)))
    factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return F.conv2d(
        convolution.padded(plane),
        convolution.weight * factor[:, None, None, None],
        norm.bias - norm.running_mean * factor,
        convolution.stride,
        convolution.padding,
        groups=convolution.groups,
    )


class _DepthwiseSeparable(nn.Module):
    def __init__(self, stage: _Stage, channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _SameConv(channels, channels, stage.kernel, stride=stride, groups=channels)
        self.bn1 = nn.BatchNorm2d(channels, eps=_NORM_EPS)
        self.conv_pw = _SameConv(channels, stage.channels, 1)
        self.bn2 = nn.BatchNorm2d(stage.channels, eps=_NORM_EPS)
        self._has_skip = stride == 1 and channels == stage.channels

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        out = F.relu6(_normed(self.conv_dw, self.bn1, plane), inplace=True)
        out = _normed(self.conv_pw, self.bn2, out)
        return out + plane if self._has_skip else out


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
        out = F.relu6(_normed(self.conv_pw, self.bn1, plane), inplace=True)
        out = F.relu6(_normed(self.conv_dw, self.bn2, out), inplace=True)
        out = _normed(self.conv_pwl, self.bn3, out)
        return out + plane if self._has_skip else out

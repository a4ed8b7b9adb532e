"""Vision transformer with 16-pixel patches, plain or behind a residual network.

The backbones of DPT-Large and DPT-Hybrid. Parameters carry the published names, those of timm.

Source: Dosovitskiy et al., "An Image Is Worth 16x16 Words", ICLR 2021; Ranftl et al., "Vision
Transformers for Dense Prediction", ICCV 2021; isl-org/MiDaS `midas/backbones/vit.py` (4545977).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.models.backbones.dinov2 import Attention, Mlp, VitConfig
from mono_depth.models.backbones.resnet_v2 import RESNET_V2_CHANNELS, ResNetV2

PATCH_PX = 16
_TRAINED_GRID = 24  # patches on a side of the 384x384 pixels of the training


class Vit16(nn.Module):
    """Image to tokens after chosen blocks."""

    def __init__(self, config: VitConfig, *, is_hybrid: bool = False) -> None:
        """Build it; `is_hybrid` puts a residual network of stride 16 in place of the patches."""
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + _TRAINED_GRID**2, config.width))
        embed = HybridEmbed if is_hybrid else PatchEmbed
        self.patch_embed = embed(config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))

    def forward(
        self, image: torch.Tensor, layers: Sequence[int]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the maps of the residual network and the tokens after each of `layers`.

        Args:
            image: (B, 3, h, w), h and w multiples of 16.
            layers: indices of blocks, ascending.

        Returns:
            Hybrid: maps of (B, 256, h / 4, w / 4) and (B, 512, h / 8, w / 8), plain: none; and
            (B, 1 + h / 16 * w / 16, width) for each layer, class token first.
        """
        patches, maps = self.patch_embed(image)
        grid = (patches.shape[-2], patches.shape[-1])
        cls = self.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat((cls, patches.flatten(2).transpose(1, 2)), dim=1)
        tokens = tokens + self._positions(grid)
        kept = []
        for index, block in enumerate(self.blocks[: max(layers) + 1]):
            tokens = block(tokens)
            if index in layers:
                kept.append(tokens)
        return maps, kept

    def _positions(self, grid: tuple[int, int]) -> torch.Tensor:
        trained = self.pos_embed[:, 1:].reshape(1, _TRAINED_GRID, _TRAINED_GRID, -1)
        patches = F.interpolate(trained.permute(0, 3, 1, 2), grid, mode="bilinear")
        return torch.cat((self.pos_embed[:, :1], patches.flatten(2).transpose(1, 2)), dim=1)


class PatchEmbed(nn.Module):
    """Patches of the image to tokens, still as a map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_PX, stride=PATCH_PX)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the (B, width, h / 16, w / 16) patches and no maps."""
        return self.proj(image), []


class HybridEmbed(nn.Module):
    """A residual network in place of the patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = ResNetV2()
        self.proj = nn.Conv2d(RESNET_V2_CHANNELS[-1], width, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the (B, width, h / 16, w / 16) patches and the two finer maps."""
        fine, middle, coarse = self.backbone(image)
        return self.proj(coarse), [fine, middle]


class _Block(nn.Module):
    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = Mlp(config.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return cast("torch.Tensor", tokens + self.mlp(self.norm2(tokens)))

"""BEiT vision transformer, the backbone of MiDaS 3.1 and ZoeDepth.

Attention adds a learnt bias for each offset between two patches. Parameters carry the published
names, those of timm.

Source: Bao et al., "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022; isl-org/MiDaS
`midas/backbones/beit.py` (4545977).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.models.backbones.dinov2 import Mlp, VitConfig
from mono_depth.models.backbones.vit import PatchEmbed

# Beside the offsets: class token to patch, patch to class token, class token to itself.
_CLASS_OFFSETS = 3


class Beit(nn.Module):
    """Image to tokens after chosen blocks."""

    def __init__(self, config: VitConfig, trained_grid: int) -> None:
        """Build it; `trained_grid` patches were on a side of the images of the training."""
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.patch_embed = PatchEmbed(config.width)
        self.blocks = nn.ModuleList(_Block(config, trained_grid) for _ in range(config.depth))

    def forward(
        self, image: torch.Tensor, layers: Sequence[int]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return no maps, and the tokens after each of `layers`.

        Args:
            image: (B, 3, h, w), h and w multiples of 16.
            layers: indices of blocks, ascending.

        Returns:
            Empty list; (B, 1 + h / 16 * w / 16, width) for each layer, class token first.
        """
        patches, maps = self.patch_embed(image)
        grid = (patches.shape[-2], patches.shape[-1])
        offsets = offset_index(*grid, image.device)
        cls = self.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat((cls, patches.flatten(2).transpose(1, 2)), dim=1)
        kept = []
        for index, block in enumerate(self.blocks[: max(layers) + 1]):
            tokens = block(tokens, grid, offsets)
            if index in layers:
                kept.append(tokens)
        return maps, kept


def offset_index(rows: int, columns: int, device: torch.device) -> torch.Tensor:
    """Return which row of the table of biases belongs to each pair of tokens.

    Returns:
        (N, N) int64 with N = 1 + rows * columns, class token first. Offsets are counted row by
        row from (1 - rows, 1 - columns) on.
    """
    row = torch.arange(rows, device=device).repeat_interleave(columns)
    column = torch.arange(columns, device=device).repeat(rows)
    down = row[:, None] - row[None, :] + rows - 1
    right = column[:, None] - column[None, :] + columns - 1
    width = 2 * columns - 1
    count = (2 * rows - 1) * width
    index = F.pad(down * width + right, (1, 0, 1, 0))
    index[0, :] = count
    index[:, 0] = count + 1
    index[0, 0] = count + 2
    return index


class _Block(nn.Module):
    def __init__(self, config: VitConfig, trained_grid: int) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.empty(config.width))
        self.gamma_2 = nn.Parameter(torch.empty(config.width))
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = _Attention(config, trained_grid)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = Mlp(config.width)

    def forward(
        self, tokens: torch.Tensor, grid: tuple[int, int], offsets: torch.Tensor
    ) -> torch.Tensor:
        tokens = tokens + self.gamma_1 * self.attn(self.norm1(tokens), grid, offsets)
        return cast("torch.Tensor", tokens + self.gamma_2 * self.mlp(self.norm2(tokens)))


class _Attention(nn.Module):
    def __init__(self, config: VitConfig, trained_grid: int) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self._trained_side = 2 * trained_grid - 1
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.relative_position_bias_table = nn.Parameter(
            torch.empty(self._trained_side**2 + _CLASS_OFFSETS, config.heads)
        )
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(
        self, tokens: torch.Tensor, grid: tuple[int, int], offsets: torch.Tensor
    ) -> torch.Tensor:
        batch, count, width = tokens.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(tokens, self.qkv.weight, bias)
        qkv = qkv.view(batch, count, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, width / heads)
        pairs = self._bias_table(grid)[:, offsets.flatten()].view(1, self.heads, count, count)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=pairs)
        return cast("torch.Tensor", self.proj(mixed.transpose(1, 2).reshape(tokens.shape)))

    def _bias_table(self, grid: tuple[int, int]) -> torch.Tensor:
        """Return the (heads, offsets of `grid`) biases."""
        side = self._trained_side
        table = self.relative_position_bias_table.t()
        trained = table[:, :-_CLASS_OFFSETS].reshape(1, self.heads, side, side)
        size = (2 * grid[0] - 1, 2 * grid[1] - 1)
        resized = F.interpolate(trained, size, mode="bilinear")[0].flatten(1)
        return torch.cat((resized, table[:, -_CLASS_OFFSETS:]), dim=1)

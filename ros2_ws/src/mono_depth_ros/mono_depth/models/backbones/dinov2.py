"""DINOv2 vision transformer, the backbone of Depth Anything and its relatives.

Parameters carry the published names. Source: facebookresearch/dinov2, as copied by
DepthAnything/Depth-Anything-V2 `depth_anything_v2/dinov2.py` (a561b84).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

PATCH_PX = 14

# Trained at 518x518, that is 37x37 patches.
_TRAINED_GRID = 37
# The original adds this to the patch count, against rounding; it shifts every sample a little,
# so leaving it out changes the output of every input that is not 518x518.
_GRID_OFFSET = 0.1
_KEPT_POSITIONS = 4


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """Size of a vision transformer."""

    width: int  # channels of a token
    depth: int  # blocks
    heads: int
    norm_eps: float = 1e-6


VIT_SIZES = {
    "small": VitConfig(width=384, depth=12, heads=6),
    "base": VitConfig(width=768, depth=12, heads=12),
    "large": VitConfig(width=1024, depth=24, heads=16),
}


class DinoV2(nn.Module):
    """Image to tokens after chosen blocks."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + _TRAINED_GRID**2, config.width))
        # Only training uses it; it is here so that published files fit name for name.
        self.mask_token = nn.Parameter(torch.empty(1, config.width))
        self.patch_embed = _PatchEmbed(config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self._positions: dict[tuple[int, int, torch.dtype, torch.device], torch.Tensor] = {}
        self.register_load_state_dict_post_hook(_forget_positions)  # type: ignore[no-untyped-call]

    def forward(
        self, image: torch.Tensor, layers: Sequence[int]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return normalised (patch tokens, class token) after each of `layers`.

        Args:
            image: (B, 3, h, w), h and w multiples of 14.
            layers: indices of blocks, ascending.

        Returns:
            ((B, h / 14 * w / 14, width), (B, width)) for each layer.
        """
        patches = self.patch_embed.proj(image)  # (B, width, rows, columns)
        rows, columns = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2)
        cls = self.cls_token.expand(tokens.shape[0], -1, -1)
        tokens = torch.cat((cls, tokens), dim=1) + self.positions(rows, columns)
        kept = []
        for index, block in enumerate(self.blocks[: max(layers) + 1]):
            tokens = block(tokens)
            if index in layers:
                normed = self.norm(tokens)
                kept.append((normed[:, 1:], normed[:, 0]))
        return kept

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        """Return the (1, 1 + rows * columns, width) position embedding, computed once a size."""
        rows, columns = int(rows), int(columns)  # a TorchScript trace has tensors here
        key = (rows, columns, self.pos_embed.dtype, self.pos_embed.device)
        if key not in self._positions:
            if len(self._positions) >= _KEPT_POSITIONS:
                self._positions.clear()
            self._positions[key] = self._interpolate(rows, columns)
        return self._positions[key]

    def _interpolate(self, rows: int, columns: int) -> torch.Tensor:
        pos_embed = self.pos_embed.detach()
        if rows == columns == _TRAINED_GRID:
            return pos_embed
        # In float32 whatever the network runs in, like the original.
        grid = pos_embed[:, 1:].float().reshape(1, _TRAINED_GRID, _TRAINED_GRID, -1)
        scale = [(count + _GRID_OFFSET) / _TRAINED_GRID for count in (rows, columns)]
        grid = F.interpolate(grid.permute(0, 3, 1, 2), scale_factor=scale, mode="bicubic")
        patches = grid.permute(0, 2, 3, 1).flatten(1, 2).to(pos_embed.dtype)
        return torch.cat((pos_embed[:, :1], patches), dim=1)


def _forget_positions(module: nn.Module, _: object) -> None:
    cast("DinoV2", module)._positions.clear()


class _PatchEmbed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_PX, stride=PATCH_PX)


class _Block(nn.Module):
    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = Attention(config.width, config.heads)
        self.ls1 = _LayerScale(config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = Mlp(config.width)
        self.ls2 = _LayerScale(config.width)

    def forward(self, tokens: torch.Tensor, is_key: torch.Tensor | None = None) -> torch.Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens), is_key))
        return cast("torch.Tensor", tokens + self.ls2(self.mlp(self.norm2(tokens))))


class Attention(nn.Module):
    """Self-attention of many heads: (B, N, width) to the same.

    `is_key`, (B, 1, 1, N) bool, hides tokens: where it is False, no token looks at them.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor, is_key: torch.Tensor | None = None) -> torch.Tensor:
        """Let each token attend to all."""
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, width / heads)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=is_key)
        return cast("torch.Tensor", self.proj(mixed.transpose(1, 2).reshape(tokens.shape)))


class _LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens * self.gamma


class Mlp(nn.Module):
    """Two layers with GELU between, four times as wide inside: (B, N, width) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Transform each token on its own."""
        return cast("torch.Tensor", self.fc2(F.gelu(self.fc1(tokens))))

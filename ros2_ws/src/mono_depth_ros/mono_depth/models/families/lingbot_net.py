"""The network of LingBot-Depth, as its weights file describes it.

Masked depth modelling: image and depth are cut into patches, and both kinds of tokens go through
one DINOv2. Depth patches without any value are masked; the network says from the rest what depth
they have. The original drops masked tokens. Here they stay and no token looks at them, which
gives the same output with tensors of constant size.

Parameters carry the published names. Source: Robbyant, "Masked Depth Modeling for Spatial
Perception", arXiv 2601.17895, 2026; Robbyant/lingbot-depth `mdm/model` (47764da).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, DinoV2, VitConfig
from mono_depth.models.families.conv_stack import ConvStack, StackConfig
from mono_depth.models.families.moge_encoder import (
    Encoder,
    EncoderConfig,
    warn_of_unknown,
    with_view_plane,
)

_MIN_DEPTH_M = 0.01  # nearer is no value
_KEY_RANGE = (-9.5, 200.0)  # of depth as the network sees it; a patch without any is masked

# Keys of `model_config` that only matter for training.
_TRAINING = frozenset({"num_tokens_range", "remap_output", "normal_head", "scale_head"})
_ENCODER_TRAINING = frozenset(
    {"ignore_layers", "strict", "depth_mask_ratio", "pretrain", "pretrained"}
)
_ENCODER_FIXED = {
    "in_chans": 3,
    "img_depth_fuse_mode": "cat_token",
    "depth_emb_mode": "conv_1c",
    "img_mask_ratio": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class LingBotConfig:
    """The network that a weights file describes."""

    encoder: EncoderConfig
    neck: StackConfig
    depth_head: StackConfig
    mask_head: StackConfig | None
    sees_logarithm: bool  # the network takes and gives the logarithm of depth, or depth itself
    says_logarithm: bool

    @classmethod
    def read(cls, values: dict[str, Any], where: str) -> LingBotConfig:
        """Take the configuration from a weights file.

        Raises:
            ModelError: it describes a network that this module does not know.
        """
        stacks = {"neck", "depth_head", "mask_head"}
        known = _TRAINING | stacks | {"encoder", "remap_depth_in", "remap_depth_out"}
        warn_of_unknown(values, known, where)
        encoder = values.get("encoder")
        for key, wanted in _ENCODER_FIXED.items():
            found = encoder.get(key, wanted) if isinstance(encoder, dict) else wanted
            if found != wanted:
                raise ModelError(f"{where}: {key} is {found!r}, expected {wanted!r}")
        mask_head = values.get("mask_head")
        return cls(
            encoder=EncoderConfig.read(
                encoder, where, ignored=_ENCODER_TRAINING | _ENCODER_FIXED.keys()
            ),
            neck=StackConfig.read(values.get("neck"), f"{where}: neck"),
            depth_head=StackConfig.read(values.get("depth_head"), f"{where}: depth_head"),
            mask_head=(
                StackConfig.read(mask_head, f"{where}: mask_head")
                if mask_head is not None
                else None
            ),
            # what the original takes where the file says nothing
            sees_logarithm=_is_one(values, "remap_depth_in", "log", "linear", where),
            says_logarithm=_is_one(values, "remap_depth_out", "exp", "linear", where),
        )


def _is_one(values: dict[str, Any], key: str, default: str, other: str, where: str) -> bool:
    value = values.get(key, default)
    if value not in (default, other):
        raise ModelError(f"{where}: {key} is {value!r}, expected {default} or {other}")
    return bool(value == default)


class RgbdVit(DinoV2):
    """DINOv2 over the patches of an image and of its depth."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
        self.depth_patch_embed = nn.Module()
        self.depth_patch_embed.proj = nn.Conv2d(1, config.width, PATCH_PX, stride=PATCH_PX)

    def of_both(
        self, image: torch.Tensor, depth: torch.Tensor, layers: Sequence[int]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return normalised (patch tokens of the image, class token) after each of `layers`.

        Args:
            image: (B, 3, h, w), h and w multiples of 14.
            depth: (B, 1, h, w) as the network sees it, 0 = no value.
            layers: indices of blocks, ascending.

        Returns:
            ((B, h / 14 * w / 14, width), (B, width)) for each layer.
        """
        seen = self.patch_embed.proj(image)
        rows, columns = seen.shape[-2:]
        positions = self.positions(rows, columns)
        # 1 and 2 tell the network which token is which
        seen = seen.flatten(2).transpose(1, 2) + (1.0 + positions[:, 1:])
        felt = cast("nn.Module", self.depth_patch_embed.proj)(depth)
        felt = felt.flatten(2).transpose(1, 2) + (2.0 + positions[:, 1:])
        cls = (self.cls_token + positions[:, :1]).expand(seen.shape[0], -1, -1)
        tokens = torch.cat([cls, seen, felt], dim=1)
        count = seen.shape[1]
        is_key = tokens.new_ones(tokens.shape[0], 1, 1, tokens.shape[1], dtype=torch.bool)
        is_key[:, 0, 0, 1 + count :] = has_depth(depth).flatten(1)
        kept = []
        for index, block in enumerate(self.blocks[: max(layers) + 1]):
            tokens = block(tokens, is_key)
            if index in layers:
                normed = self.norm(tokens[:, : 1 + count])
                kept.append((normed[:, 1:], normed[:, 0]))
        return kept


def has_depth(depth: torch.Tensor) -> torch.Tensor:
    """Return (B, 1, rows, columns) bool: which patches of (B, 1, h, w) hold any value."""
    low, high = _KEY_RANGE
    is_value = (depth != 0.0) & (depth >= low) & (depth <= high)
    return F.max_pool2d(is_value.to(depth.dtype), PATCH_PX) > 0.0


class LingBotNet(nn.Module):
    """The network that a configuration describes, with the published parameter names."""

    def __init__(self, config: LingBotConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder, RgbdVit(config.encoder.vit))
        self.neck = ConvStack(config.neck)
        self.depth_head = ConvStack(config.depth_head)
        self.mask_head = ConvStack(config.mask_head) if config.mask_head else None
        self._config = config

    def forward(
        self, image: torch.Tensor, depth_m: torch.Tensor, aspect: float
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the logarithm of depth and how sure the network is that there is any.

        Args:
            image: (B, 3, h, w) RGB of 0..1, h and w multiples of 14.
            depth_m: (B, 1, H, W), of the same field of view; not finite or <= 0.01 = no value.
            aspect: width / height of the camera's image.

        Returns:
            (B, 1, h * 8 / 7, w * 8 / 7) logarithm of metres (or metres, if the weights were
            trained so), and logits of the same shape, None if the weights have no mask.
        """
        height, width = image.shape[-2:]
        depth = F.interpolate(depth_m, (height, width), mode="nearest")
        depth = torch.where(is_value(depth), depth, 0.0)
        if self._config.sees_logarithm:
            depth = torch.where(depth > 0.0, depth.log(), 0.0)
        backbone = cast("RgbdVit", self.encoder.backbone)
        layers = backbone.of_both(
            self.encoder.normalised(image), depth, self._config.encoder.layers
        )
        grid = (height // PATCH_PX, width // PATCH_PX)
        plane = self.encoder.project([patches for patches, _ in layers], grid)
        plane = plane + layers[-1][1][..., None, None]
        maps = self.neck(with_view_plane(plane, aspect))
        mask = self.mask_head(maps)[-1] if self.mask_head is not None else None
        return self.depth_head(maps)[-1], mask

    def to_metres(self, output: torch.Tensor) -> torch.Tensor:
        """Return metres from the first output of `forward`, which may have been resized."""
        return output.exp() if self._config.says_logarithm else output


def is_value(depth_m: torch.Tensor) -> torch.Tensor:
    """Tell for each pixel whether it holds a depth, bool of the same shape."""
    return depth_m.isfinite() & (depth_m > _MIN_DEPTH_M)

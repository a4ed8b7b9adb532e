"""The network of MoGe-2, as its weights file describes it.

Parameters carry the published names. Source: Wang et al., "MoGe-2: Accurate Monocular Geometry
with Metric Scale and Sharp Details", NeurIPS 2025; microsoft/MoGe `moge/model/v2.py` (0744441).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, DinoV2
from mono_depth.models.families.conv_stack import ConvStack, StackConfig
from mono_depth.models.families.moge_encoder import (
    Encoder,
    EncoderConfig,
    warn_of_unknown,
    with_view_plane,
)

_IGNORED = frozenset({"normal_head", "num_tokens_range"})
_REMAPPINGS = ("linear", "sinh", "exp", "sinh_exp")


@dataclass(frozen=True, kw_only=True)
class MogeConfig:
    """The network that a weights file describes."""

    encoder: EncoderConfig
    neck: StackConfig
    points_head: StackConfig
    mask_head: StackConfig
    scale_dims: tuple[int, ...]  # channels of the layers that say the metric scale
    remap: str  # from the output of the points head to points

    @classmethod
    def read(cls, values: dict[str, Any], where: str) -> MogeConfig:
        """Take the configuration from a weights file.

        Raises:
            ModelError: it describes a network that this module does not know.
        """
        stacks = {name: values.get(name) for name in ("neck", "points_head", "mask_head")}
        known = _IGNORED | stacks.keys() | {"encoder", "scale_head", "remap_output"}
        warn_of_unknown(values, known, where)
        scale_head = values.get("scale_head")
        dims = scale_head.get("dims") if isinstance(scale_head, dict) else None
        if not isinstance(dims, (list, tuple)) or not all(isinstance(dim, int) for dim in dims):
            raise ModelError(f"{where}: scale_head is {scale_head!r}, expected a list of dims")
        remap = values.get("remap_output", "linear")  # what the original takes, too
        if remap not in _REMAPPINGS:
            known_ones = ", ".join(_REMAPPINGS)
            raise ModelError(f"{where}: remap_output {remap!r} is not one of {known_ones}")
        return cls(
            encoder=EncoderConfig.read(values.get("encoder"), where, ignored=frozenset()),
            **{name: StackConfig.read(item, f"{where}: {name}") for name, item in stacks.items()},
            scale_dims=tuple(dims),
            remap=remap,
        )


class MogeNet(nn.Module):
    """The network that a configuration describes, with the published parameter names."""

    def __init__(self, config: MogeConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder, DinoV2(config.encoder.vit))
        self.neck = ConvStack(config.neck)
        self.points_head = ConvStack(config.points_head)
        self.mask_head = ConvStack(config.mask_head)
        dims = config.scale_dims
        layers = [
            layer
            for before, after in pairwise(dims)
            for layer in (nn.Linear(before, after), nn.ReLU(inplace=True))
        ]
        self.scale_head = nn.Sequential(*layers[:-1])
        self._config = config

    def forward(
        self, image: torch.Tensor, aspect: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return points before they are remapped, where they are valid, and their scale.

        Args:
            image: (B, 3, h, w) RGB of 0..1, h and w multiples of 14.
            aspect: width / height of the camera's image.

        Returns:
            (B, 3, h * 8 / 7, w * 8 / 7); logits (B, 1, h * 8 / 7, w * 8 / 7); metres of one unit
            of the points, (B,).
        """
        height, width = image.shape[-2:]
        layers = self.encoder.backbone(self.encoder.normalised(image), self._config.encoder.layers)
        grid = (height // PATCH_PX, width // PATCH_PX)
        plane = self.encoder.project([patches for patches, _ in layers], grid)
        maps = self.neck(with_view_plane(plane, aspect))
        scale_m = self.scale_head(layers[-1][1])[:, 0].exp()
        return self.points_head(maps)[-1], self.mask_head(maps)[-1], scale_m

    def remapped(self, output: torch.Tensor) -> torch.Tensor:
        """Return points, (B, 3, ...), from the first output of `forward`, maybe resized."""
        remap = self._config.remap
        if remap == "linear":
            return output
        if remap == "sinh":
            return output.sinh()
        xy, z = output[:, :2], output[:, 2:].exp()
        return torch.cat([xy * z if remap == "exp" else xy.sinh(), z], dim=1)

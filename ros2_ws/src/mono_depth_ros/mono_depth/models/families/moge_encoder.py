"""What MoGe-2 and LingBot-Depth share before their heads: DINOv2 tokens to maps, and the rays.

Parameters carry the published names. Source: microsoft/MoGe `moge/model/modules.py`,
`moge/model/v2.py` (0744441).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import TypeVar

import torch
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import VIT_SIZES, DinoV2, VitConfig

_LOG = logging.getLogger(__name__)

LEVELS = 5  # maps of the neck, each twice as large as the one before; the first has a pixel a patch

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Backbone and what is taken from it."""

    variant: str  # size of the backbone: small, base or large
    layers: tuple[int, ...]  # blocks whose tokens are used, ascending
    channels: int  # of the map

    @property
    def vit(self) -> VitConfig:
        """The size of the backbone."""
        return VIT_SIZES[self.variant]

    @classmethod
    def read(cls, values: object, where: str, *, ignored: frozenset[str]) -> EncoderConfig:
        """Take the configuration from a weights file.

        Args:
            values: keyword arguments of the original's encoder.
            where: says in messages which file it is.
            ignored: keys without effect on the output.

        Raises:
            ModelError: a key is missing or a value is not one that is known here.
        """
        if not isinstance(values, dict):
            raise ModelError(f"{where}: encoder is a {type(values).__name__}, expected a mapping")
        warn_of_unknown(values, {"backbone", "intermediate_layers", "dim_out"} | ignored, where)
        backbone = required(values, "backbone", str, where)
        if backbone not in _BACKBONES:
            known = ", ".join(_BACKBONES)
            raise ModelError(f"{where}: backbone {backbone!r} is not one of {known}")
        depth = VIT_SIZES[_BACKBONES[backbone]].depth
        layers = values.get("intermediate_layers")
        if isinstance(layers, int):
            layers = list(range(depth - layers, depth))
        if (
            not isinstance(layers, (list, tuple))
            or not all(isinstance(layer, int) and 0 <= layer < depth for layer in layers)
            or list(layers) != sorted(set(layers))
            or not layers
        ):
            raise ModelError(
                f"{where}: intermediate_layers {layers!r} are not ascending blocks of {depth}"
            )
        return cls(
            variant=_BACKBONES[backbone],
            layers=tuple(layers),
            channels=required(values, "dim_out", int, where),
        )


_BACKBONES = {f"dinov2_vit{size[0]}14": size for size in VIT_SIZES}


def required(values: Mapping[str, object], key: str, kind: type[Value], where: str) -> Value:
    """Return `values[key]`, or raise `ModelError` if it is missing or of another type."""
    value = values.get(key)
    if not isinstance(value, kind):
        raise ModelError(f"{where}: {key} is {value!r}, expected {kind.__name__}")
    return value


def warn_of_unknown(values: Mapping[str, object], known: Collection[str], where: str) -> None:
    """Name keys that are not known; the original ignores them with a warning, too."""
    if unknown := sorted(str(key) for key in values if key not in known):
        _LOG.warning("%s: unknown keys of model_config are ignored: %s", where, ", ".join(unknown))


class Encoder(nn.Module):
    """Backbone and one projection for each of the layers it gives."""

    image_mean: torch.Tensor
    image_std: torch.Tensor

    def __init__(self, config: EncoderConfig, backbone: DinoV2) -> None:
        super().__init__()
        self.backbone = backbone
        self.output_projections = nn.ModuleList(
            nn.Conv2d(config.vit.width, config.channels, 1) for _ in config.layers
        )
        self.register_buffer("image_mean", torch.empty(1, 3, 1, 1))
        self.register_buffer("image_std", torch.empty(1, 3, 1, 1))

    def normalised(self, image: torch.Tensor) -> torch.Tensor:
        """Return (B, 3, h, w) RGB of 0..1 as the backbone wants it."""
        return (image - self.image_mean) / self.image_std

    def project(self, layers: Sequence[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """Return the (B, channels, rows, columns) sum of all layers.

        Args:
            layers: (B, rows * columns, width) patch tokens.
            grid: rows and columns of the patches.
        """
        maps = [
            projection(tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid))
            for tokens, projection in zip(layers, self.output_projections, strict=True)
        ]
        return torch.stack(maps).sum(dim=0)


def with_view_plane(plane: torch.Tensor, aspect: float) -> list[torch.Tensor]:
    """Return the input of the neck: `plane` and the rays, then the rays alone at finer levels.

    Args:
        plane: (B, channels, rows, columns).
        aspect: width / height of the image.

    Returns:
        (B, channels + 2, rows, columns), then (B, 2, rows * 2^i, columns * 2^i).
    """
    batch, _, rows, columns = map(int, plane.shape)  # a TorchScript trace has tensors here
    rays = [
        view_plane(rows << level, columns << level, aspect, plane.dtype, plane.device)
        for level in range(LEVELS)
    ]
    rays = [uv.expand(batch, -1, -1, -1) for uv in rays]
    return [torch.cat([plane, rays[0]], dim=1), *rays[1:]]


@lru_cache(maxsize=4 * LEVELS)
def view_plane(
    rows: int, columns: int, aspect: float, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return the (1, 2, rows, columns) place of each pixel in units of the half diagonal."""
    half_width = aspect / sqrt(1.0 + aspect**2)
    half_height = 1.0 / sqrt(1.0 + aspect**2)
    right = half_width * (columns - 1) / columns
    bottom = half_height * (rows - 1) / rows
    u = torch.linspace(-right, right, columns, dtype=dtype, device=device)
    v = torch.linspace(-bottom, bottom, rows, dtype=dtype, device=device)
    return torch.stack(torch.meshgrid(u, v, indexing="xy"))[None]

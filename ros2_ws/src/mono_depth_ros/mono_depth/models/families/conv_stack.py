"""Stack of convolutions from coarse to fine: neck and heads of MoGe-2 and LingBot-Depth.

Parameters carry the published names. Source: Wang et al., "MoGe-2: Accurate Monocular Geometry
with Metric Scale and Sharp Details", NeurIPS 2025; microsoft/MoGe `moge/model/modules.py`
(0744441).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from mono_depth.errors import ModelError

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "silu": nn.SiLU,
    "elu": nn.ELU,
}
_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "layer_norm": lambda channels: nn.GroupNorm(1, channels),
    "group_norm": lambda channels: nn.GroupNorm(channels // 32, channels),
}

_MAX_COUNT = 8192


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Channels and layers of one stack, one value for each level, coarsest first."""

    inputs: tuple[int | None, ...]  # channels; None = as many as the level has
    channels: tuple[int, ...]
    outputs: tuple[int | None, ...]  # channels; None = as many as the level has
    blocks: tuple[int, ...]  # residual blocks
    resamplers: tuple[str, ...]  # one fewer: between the levels
    widening: int = 1  # channels inside a residual block are so many times as many
    first_norm: str = "layer_norm"
    second_norm: str = "group_norm"
    activation: str = "relu"

    @classmethod
    def read(cls, values: object, where: str) -> StackConfig:
        """Take the configuration from a weights file.

        Args:
            values: keyword arguments of the original's `ConvStack`.
            where: says in messages which stack it is.

        Raises:
            ModelError: a key is missing or unknown, or a value is not one that is known here.
        """
        if not isinstance(values, dict):
            raise ModelError(f"{where} is a {type(values).__name__}, expected a mapping")
        unknown = values.keys() - _KEYS.keys()
        missing = {"dim_in", "dim_res_blocks", "dim_out", "resamplers"} - values.keys()
        if unknown or missing:
            what = f"unknown key {sorted(unknown)[0]}" if unknown else f"no {sorted(missing)[0]}"
            raise ModelError(f"{where} has {what}")
        named: dict[str, Any] = {_KEYS[key]: value for key, value in values.items()}
        levels = len(named["channels"]) if isinstance(named["channels"], (list, tuple)) else 0
        for name in ("inputs", "channels", "outputs"):
            named[name] = _per_level(named[name], levels, where)
        named["blocks"] = _per_level(named.get("blocks", 1), levels, where)
        named["resamplers"] = _per_level(named["resamplers"], levels - 1, where)
        config = cls(**named)
        config._check(where)
        return config

    def _check(self, where: str) -> None:
        counts = (*self.channels, *self.blocks, self.widening)
        optional = (count for count in (*self.inputs, *self.outputs) if count is not None)
        for count in (*counts, *optional):
            if not isinstance(count, int) or not 0 <= count <= _MAX_COUNT:
                raise ModelError(f"{where}: {count!r} channels or blocks")
        choices: list[tuple[object, Collection[str]]] = [
            *((resampler, _RESAMPLERS) for resampler in self.resamplers),
            (self.first_norm, _NORMS),
            (self.second_norm, _NORMS),
            (self.activation, _ACTIVATIONS),
        ]
        for value, known in choices:
            if not isinstance(value, str) or value not in known:
                raise ModelError(f"{where}: {value!r} is not one of {', '.join(known)}")


_KEYS = {
    "dim_in": "inputs",
    "dim_res_blocks": "channels",
    "dim_out": "outputs",
    "num_res_blocks": "blocks",
    "resamplers": "resamplers",
    "dim_times_res_block_hidden": "widening",
    "res_block_in_norm": "first_norm",
    "res_block_hidden_norm": "second_norm",
    "activation": "activation",
}


def _per_level(value: object, count: int, where: str) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
    if count < 1 or len(values) != count:
        raise ModelError(f"{where}: {value!r} is not a value for each of {count} levels")
    return values


class ConvStack(nn.Module):
    """Maps of growing size to as many maps, each level on top of the one before."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        channels = config.channels
        self.input_blocks = nn.ModuleList(map(_pointwise, config.inputs, channels))
        self.resamplers = nn.ModuleList(
            _RESAMPLERS[kind](before, after)
            for kind, before, after in zip(
                config.resamplers, channels[:-1], channels[1:], strict=True
            )
        )
        self.res_blocks = nn.ModuleList(
            nn.Sequential(*(_Residual(width, config) for _ in range(count)))
            for width, count in zip(channels, config.blocks, strict=True)
        )
        self.output_blocks = nn.ModuleList(map(_pointwise, channels, config.outputs))

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return a map for each level.

        Args:
            maps: (B, channels, h * 2^i, w * 2^i) for each level i.

        Returns:
            Maps of the same sizes.
        """
        path: torch.Tensor | None = None
        outputs = []
        for level, plane in enumerate(maps):
            plane = self.input_blocks[level](plane)
            path = plane if path is None else self.resamplers[level - 1](path) + plane
            path = self.res_blocks[level](path)
            outputs.append(self.output_blocks[level](path))
        return outputs


def _pointwise(before: int | None, after: int | None) -> nn.Module:
    if before is None or after is None:
        return nn.Identity()
    return nn.Conv2d(before, after, 1)


def _conv3x3(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")


class _Residual(nn.Module):
    def __init__(self, channels: int, config: StackConfig) -> None:
        super().__init__()
        inside = config.widening * channels
        activation = _ACTIVATIONS[config.activation]
        self.layers = nn.Sequential(
            _NORMS[config.first_norm](channels),
            activation(),
            _conv3x3(channels, inside),
            _NORMS[config.second_norm](inside),
            activation(),
            _conv3x3(inside, channels),
        )

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", plane + self.layers(plane))


def _transposed(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(before, after, 2, stride=2), _conv3x3(after, after))


def _interpolated(mode: str, before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode=mode), _conv3x3(before, after))


def _shuffled(before: int, after: int) -> nn.Module:
    return nn.Sequential(_conv3x3(before, 4 * after), nn.PixelShuffle(2), _conv3x3(after, after))


_RESAMPLERS: dict[str, Callable[[int, int], nn.Module]] = {
    "conv_transpose": _transposed,
    "bilinear": partial(_interpolated, "bilinear"),
    "nearest": partial(_interpolated, "nearest"),
    "pixel_shuffle": _shuffled,
}

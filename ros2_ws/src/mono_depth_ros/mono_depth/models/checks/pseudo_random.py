"""Weights and images made from a rule, the same on every machine.

They stand in for trained weights where only the arithmetic matters: to compare a network with
the original code it re-implements, and to measure its speed without a download.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from mono_depth.data import RgbImage
from mono_depth.models.store.weights import load_strictly

SHA256 = "pseudo-random"  # what a model with such weights tells in place of the hash of its file

Net = TypeVar("Net", bound=nn.Module)

_SCALES = ("gamma", "norm.weight", "norm1.weight", "norm2.weight", "bn1.weight", "bn2.weight")
_EMBEDDINGS = ("pos_embed", "cls_token", "mask_token")


def fill(
    shapes: Mapping[str, torch.Size], positive: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """Return a tensor for each name, from the name and shape alone.

    Values are uniform, from 24 random bits each, so that no rounding of a logarithm or cosine
    makes them differ between processors. Nothing is zero or one throughout, since a network can
    hide a mistake behind such values.

    Args:
        shapes: of the tensors of a state dict.
        positive: names whose values are made positive. Give the bias of the last layer, lest a
            final ReLU returns nothing but zeros.
    """
    return {name: _tensor(name, shape, name in positive) for name, shape in shapes.items()}


def filled(make: Callable[[], Net], positive: Collection[str] = ()) -> Net:
    """Return the network that `make` makes, with weights by the rule. See `fill`."""
    with torch.device("meta"):
        net = make()
    load_strictly(net, fill(_shapes(net), positive), "the rule for pseudo-random weights")
    return net


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, torch.Size]:
    """Return the shape of each tensor of a network, without making any."""
    with torch.device("meta"):
        return _shapes(make())


def _shapes(net: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in net.state_dict().items()}


def _tensor(name: str, shape: torch.Size, is_positive: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    uniform = torch.rand(shape, generator=generator) * 2.0 - 1.0  # -1..1
    if is_positive or name.endswith("running_var"):
        return uniform * 0.5 + 1.0
    if name.endswith(_SCALES):
        return uniform * 0.25 + 0.5
    if name.endswith(_EMBEDDINGS):
        return uniform * 0.5
    if len(shape) < 2:
        return uniform * 0.125
    fan_in = math.prod(shape[1:])
    return uniform * math.sqrt(3.0 / fan_in)


def image(height: int, width: int) -> RgbImage:
    """Return an (H, W, 3) uint8 image of slopes, edges and noise."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(height * 100_003 + width).integers(0, 48, (height, width, 3))
    slopes = (3 * rows + 2 * columns)[..., None] * np.array([1, 2, 3]) // 8
    pixels: RgbImage = ((slopes + noise) % 256).astype(np.uint8)
    return pixels


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return one SHA-256 over all names and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()

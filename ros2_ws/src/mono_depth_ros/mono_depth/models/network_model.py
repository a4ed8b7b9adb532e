"""What the models of a single network share: how they hold it and what they tell of it."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import nn

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.registry import ModelEntry
from mono_depth.preprocess import Preprocess

Net = TypeVar("Net", bound=nn.Module)


class NetworkModel(Generic[Net]):
    """A network with its weights, ready on one device, and the way of an image into it."""

    def __init__(
        self, net: Net, entry: ModelEntry, device: torch.device, sha256: str, *, step_px: int
    ) -> None:
        """Take over a loaded network that takes inputs in multiples of `step_px`.

        Raises:
            ModelError: `entry` describes another input.
        """
        if entry.input is None:
            raise ModelError(f"the registry entry {entry.name} has no `input`")
        if entry.input.multiple_of % step_px:
            raise ModelError(f"{entry.name}: input sizes must be multiples of {step_px}")
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        self.net = net.to(device).eval().requires_grad_(False)
        self._preprocess = Preprocess(entry.input, device)

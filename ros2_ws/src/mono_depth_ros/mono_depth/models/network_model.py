"""What the models of a single network share: how they hold it and what they tell of it."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import nn

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.preprocess import Preprocess
from mono_depth.models.store.registry import ModelEntry

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
        spec = _checked_input(entry, step_px)
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        self.net = net.to(device).eval().requires_grad_(False)
        self._preprocess = Preprocess(spec, device)


def _checked_input(entry: ModelEntry, step_px: int) -> InputSpec:
    spec = entry.input
    if spec is None:
        raise ModelError(f"the registry entry {entry.name} has no `input`")
    sides = (spec.width, spec.height) if spec.rule == "fixed" else (spec.multiple_of,)
    if any(side % step_px for side in sides):
        raise ModelError(
            f"{entry.name}: input of {spec.rule} {spec.width}x{spec.height} in multiples of "
            f"{spec.multiple_of}, expected multiples of {step_px}"
        )
    return spec

"""A network of a model, in whose place something faster may run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

DEPTH = "depth"  # the part of a model that every image goes through

NetworkCall = Callable[..., Any]  # tensors and constants in; a tensor or a tuple of them out


class OnnxFile(Protocol):
    """A network that is an ONNX file."""

    path: Path
    output_name: str  # of the output that counts

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return that output."""
        ...


Net_co = TypeVar("Net_co", bound="nn.Module | OnnxFile", covariant=True)


class ReplaceableNet(Generic[Net_co]):
    """A network of a model, and what runs it: itself, until `call` is set to something else."""

    def __init__(self, module: Net_co, part: str = DEPTH) -> None:
        """Take over a network; `part` tells it from the other networks of its model."""
        self.part = part
        self.call: NetworkCall = module
        self._module: Net_co | None = module

    @property
    def module(self) -> Net_co:
        """The network itself, whatever runs it."""
        if self._module is None:
            raise RuntimeError(f"the network {self.part} was let go of")
        return self._module

    def __call__(self, *arguments: object) -> Any:  # noqa: ANN401 - as of the network itself
        """Return what the network returns."""
        return self.call(*arguments)

    def release(self) -> None:
        """Let go of the network and of what runs it; it cannot be called any more."""
        self._module = None
        self.call = self._released

    def _released(self, *_: object) -> None:
        raise RuntimeError(f"the network {self.part} was let go of")

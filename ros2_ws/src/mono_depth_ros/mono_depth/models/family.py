"""What the rest of the library needs to know of a family of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from mono_depth.config import CompletionConfig
    from mono_depth.models.checks.golden.case import GoldenCase
    from mono_depth.models.protocol import DepthModel, LoadedModel
    from mono_depth.models.store.registry import ModelEntry


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a model is made for."""

    entry: ModelEntry
    device: torch.device
    completion: CompletionConfig
    load_guess: Callable[[str], DepthModel]  # of its name: the model that guesses for this one


@dataclass(frozen=True, kw_only=True)
class LoadRequest(ModelRequest):
    """The same, and its weights."""

    weights: Path
    sha256: str  # "" = not known beforehand
    data_sha256: str = ""  # of files beside it, see `store.onnx_file`
    threads: int | None  # of the CPU, None = one for each core


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture: how to load it, what it is held to, what of it bears no rounding.

    Its file declares it as `FAMILY`, and `family_table` has a line with its name and that file.
    """

    load: Callable[[LoadRequest], LoadedModel]
    # with pseudo-random weights; None = the network is a file of the user's
    make_random: Callable[[ModelRequest], LoadedModel] | None
    # comparisons with the original code; None = there is none, the network is ours or the user's
    golden_cases: Callable[[ModelEntry], Iterator[GoldenCase]] | None
    # Pattern of names of modules that stay in fp32 whatever the precision: the last layers, whose
    # rounding is seen in the depth itself, and arithmetic of logarithms and exponentials.
    fp32_layers: str = ""


class ReadsWeights(Protocol):
    """The way from a file of weights to a model."""

    def __call__(
        self, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str
    ) -> LoadedModel:
        """Return the model that `entry` describes."""
        ...


def from_file(read: ReadsWeights) -> Callable[[LoadRequest], LoadedModel]:
    """Return `Family.load` for a model that needs its file of weights and nothing else."""

    def load(request: LoadRequest) -> LoadedModel:
        return read(request.entry, request.weights, request.device, sha256=request.sha256)

    return load

"""One comparison with numbers of the original code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from mono_depth.errors import ModelError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.weights import load_strictly
from mono_depth.system.resources import share_dir

Numbers = Mapping[str, Any]
Net = TypeVar("Net", bound=nn.Module)
Output = TypeVar("Output")
# What float64 leaves of the positions of DINOv2: the original interpolates them in float32, whose
# last bit depends on the processor.
FLOAT32_POSITIONS = 1e-6


@dataclass(frozen=True, kw_only=True)
class GoldenCase:
    """What our network should give for one input, and how to let it."""

    name: str  # such as "network 84x112 in float64"
    expected: Numbers  # min, max, mean and samples of the original's output
    tolerance: float  # largest `deviation` that passes
    is_relative: bool = False  # deviations are parts of each value, not of the spread of all
    compute: Callable[[], torch.Tensor]  # our output, of the shape of the original's

    def deviation(self) -> float:
        """Return the largest difference to the original, Inf if the output is not finite."""
        flat = self.compute().detach().to("cpu", torch.float64).reshape(-1).numpy()
        samples = self.expected["samples"]
        where = np.linspace(0, flat.size - 1, len(samples)).round().astype(int)
        found = np.array([*flat[where], flat.min(), flat.max(), flat.mean()])
        wanted = np.array([*samples, *(self.expected[key] for key in ("min", "max", "mean"))])
        scale = self.expected["max"] - self.expected["min"]
        error = np.abs(found - wanted) / (np.abs(wanted) if self.is_relative else scale)
        return float(error.max()) if np.isfinite(error).all() else float("inf")


def read_golden(name: str) -> dict[str, Any]:
    """Return the content of `models/golden/<name>.json`."""
    path = share_dir() / "models" / "golden" / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def built(make: Callable[[], Net], weights: Tensors) -> Net:
    """Return the network that `make` makes, with `weights`, ready to run."""
    with torch.device("meta"):
        net = make().eval().requires_grad_(False)
    load_strictly(net, weights, "the rule for pseudo-random weights")
    return net


def check_rule(weights: Tensors, golden: Numbers) -> Tensors:
    """Return `weights` if they are those that the original had.

    Raises:
        ModelError: the random numbers of this machine are others.
    """
    found = pseudo_random.checksum(weights)
    if found != golden["state_dict_sha256"]:
        raise ModelError(
            f"the pseudo-random weights have sha256 {found}, those of the original had "
            f"{golden['state_dict_sha256']}: this torch ({torch.__version__}) makes other numbers"
        )
    return weights


def noise(height: int, width: int, low: float, high: float) -> torch.Tensor:
    """Return (1, 3, height, width) float32 of uniform noise, the same everywhere."""
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand((1, 3, height, width), generator=generator) * (high - low) + low


def rule_image(height: int, width: int) -> torch.Tensor:
    """Return the (height, width, 3) uint8 image of the rule."""
    return torch.from_numpy(pseudo_random.image(height, width))


def in_float64(net: nn.Module, weights: Tensors, run: Callable[[], Output]) -> Output:
    """Return `run()` with `net` in float64; leaves `net` with `weights` in float32."""
    net.double()
    try:
        with torch.inference_mode():
            return run()
    finally:
        load_strictly(net, weights, "the rule for pseudo-random weights")

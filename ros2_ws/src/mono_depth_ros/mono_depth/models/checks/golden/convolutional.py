"""What the comparisons of the convolutional networks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from mono_depth.models.checks.golden.case import GoldenCase, Numbers, built, noise, rule_image
from mono_depth.models.protocol import DepthModel
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry, with_short_side

# of a network, its entry, a device and the hash of its weights
MakeModel = Callable[[nn.Module, ModelEntry, torch.device, str], DepthModel]


def cases_of(
    entry: ModelEntry,
    golden: Numbers,
    values: Tensors,
    make: Callable[[], nn.Module],
    model: MakeModel,
) -> Iterator[GoldenCase]:
    """Yield the comparisons of `golden`; each has a network of its own, for `model` changes it."""
    for expected in golden.get("network_float64", ()):
        yield GoldenCase(
            name="network {}x{} in float64".format(*expected["size"]),
            expected=expected,
            tolerance=1e-9,
            compute=partial(_network, values, make, expected["size"]),
        )
    for expected in golden["image_float32"]:
        yield GoldenCase(
            name="image {}x{} at {}".format(*expected["image"], expected["input_size"]),
            expected=expected,
            tolerance=1e-4,
            compute=partial(_image, values, make, model, entry, expected),
        )


def _network(values: Tensors, make: Callable[[], nn.Module], size: list[int]) -> torch.Tensor:
    net = built(make, values).double()
    with torch.inference_mode():
        output: torch.Tensor = net(noise(size[0], size[1], -2.0, 2.0).double())
    return output


def _image(
    values: Tensors,
    make: Callable[[], nn.Module],
    model: MakeModel,
    entry: ModelEntry,
    expected: Numbers,
) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    depth = model(built(make, values), entry, torch.device("cpu"), "")
    return depth.infer(rule_image(*expected["image"]), None).values

"""Depth Anything V1 and V2 against their original code: the small networks at full depth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F

from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
    FLOAT32_POSITIONS,
    Case,
    Numbers,
    built,
    check_rule,
    in_float64,
    noise,
    picture,
    read_golden,
    shapes_of,
)
from mono_depth.models.families.depth_anything import V1, DepthAnything, DepthAnythingNet
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import Tensors

LAST_BIAS = "depth_head.scratch.output_conv2.2.bias"
MAX_DEPTH_M = 20.0  # of the metric network


def golden_of(entry: ModelEntry) -> Numbers:
    """Return what the original gave, with a small network of the kind of `entry`."""
    golden = read_golden(entry.family)
    if entry.family == V1:
        found: Numbers = golden["small"]
    else:
        found = golden["relative_small" if entry.max_depth_m is None else "metric_small_20m"]
    return found


def make(entry: ModelEntry) -> DepthAnythingNet:
    """Return the small network of the kind of `entry`."""
    max_depth_m = None if entry.max_depth_m is None else MAX_DEPTH_M
    return DepthAnythingNet("small", max_depth_m, is_v1=entry.family == V1)


def weights() -> Tensors:
    """Return the weights that the original had; all small networks have the same names."""
    shapes = shapes_of(lambda: DepthAnythingNet("small", None))
    return pseudo_random.fill(shapes, positive=[LAST_BIAS])


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons for the kind of `entry`."""
    golden = golden_of(entry)
    values = check_rule(weights(), golden)
    net = built(partial(make, entry), values)
    for expected in golden["network_float64"]:
        height, width = expected["size"]
        yield Case(
            name=f"network {height}x{width} in float64",
            expected=expected,
            tolerance=FLOAT32_POSITIONS,
            is_relative=True,
            compute=partial(_network, net, values, height, width),
        )
    for expected in golden["image_float32"]:
        height, width = expected["image"]
        yield Case(
            name=f"image {height}x{width} at {expected['input_size']}",
            expected=expected,
            tolerance=1e-4,
            is_relative=True,
            compute=partial(_image, net, entry, expected),
        )


def _network(net: DepthAnythingNet, values: Tensors, height: int, width: int) -> torch.Tensor:
    image = noise(height, width, -2.0, 2.0).double()
    output: torch.Tensor = in_float64(net, values, lambda: net(image))
    return output


def _image(net: DepthAnythingNet, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    model = DepthAnything(net, entry, torch.device("cpu"), sha256="")
    output = model.infer(picture(*expected["image"]), None).values[None, None]
    is_v2 = entry.family != V1
    return F.interpolate(output, expected["image"], mode="bilinear", align_corners=is_v2)

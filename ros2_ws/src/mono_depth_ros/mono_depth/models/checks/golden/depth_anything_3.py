"""Depth Anything 3 against its original code: a small backbone and head."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import torch

from mono_depth.data import Intrinsics, OutputKind
from mono_depth.models.backbones.dinov2 import VIT_SIZES
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
from mono_depth.models.checks.golden.tokens import one_of
from mono_depth.models.families.depth_anything_3 import Da3Config, Da3Net, DepthAnything3
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import Tensors

SMALL = Da3Config(
    vit=VIT_SIZES["small"], layers=(2, 5, 8, 11), features=64, channels=(48, 96, 192, 384)
)


def weights() -> Tensors:
    """Return the weights that the original had."""
    values = pseudo_random.fill(shapes_of(lambda: Da3Net(SMALL)))
    values["head.scratch.sky_output_conv2.2.bias"] += 0.3  # lest there is no sky
    return values


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons for the kind of `entry`."""
    golden = read_golden("depth_anything_3")["small"]
    values = check_rule(weights(), golden)
    net = built(lambda: Da3Net(SMALL), values)
    for expected in golden["network_float64"]:
        height, width = expected["size"]
        outputs = cache(partial(_network, net, values, height, width))
        for index, name in enumerate(("depth", "sky")):
            yield Case(
                name=f"{name} of the network {height}x{width} in float64",
                expected=expected[name],
                tolerance=FLOAT32_POSITIONS,
                compute=partial(one_of, outputs, index),
            )
    kind = "metric" if entry.kind is OutputKind.METRIC_FOCAL else "mono"
    for expected in golden["image_float32"]:
        if expected["kind"] == kind:
            height, width = expected["image"]
            yield Case(
                name=f"image {height}x{width} at {expected['input_size']}, sky as 0",
                expected=expected,
                tolerance=1e-4,
                compute=partial(_image, net, entry, expected),
            )


def _network(
    net: Da3Net, values: Tensors, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    image = noise(height, width, -2.0, 2.0).double()
    outputs: tuple[torch.Tensor, torch.Tensor] = in_float64(net, values, lambda: net(image))
    return outputs


def camera(height: int, width: int) -> Intrinsics:
    """Return the camera that the original was given."""
    middle = {"cx": (width - 1) / 2, "cy": (height - 1) / 2}
    return Intrinsics(width=width, height=height, fx=0.9 * width, fy=1.0 * width, **middle)


def _image(net: Da3Net, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    model = DepthAnything3(net, entry, torch.device("cpu"), sha256="")
    size = expected["image"]
    return model.infer(picture(*size), camera(*size)).values.nan_to_num(0.0)

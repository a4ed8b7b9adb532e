"""MiDaS 3 against its original code: four blocks, else the published networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from mono_depth.models.backbones.dinov2 import VitConfig
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
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
from mono_depth.models.families.midas_dpt import DPT_CONFIGS, DptConfig, MidasDpt, MidasDptNet
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import Tensors

LAST_BIAS = "scratch.output_conv.4.bias"
SMALL_VIT = VitConfig(width=256, depth=4, heads=4)


def small(variant: str) -> DptConfig:
    """Return a network of `variant` with few blocks, all seen by the head."""
    layers = (1, 3) if variant == "hybrid" else (0, 1, 2, 3)
    return replace(DPT_CONFIGS[variant], vit=SMALL_VIT, layers=layers)


def weights(config: DptConfig) -> Tensors:
    """Return the weights that the original had."""
    return pseudo_random.fill(shapes_of(lambda: MidasDptNet(config)), positive=[LAST_BIAS])


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons for the variant of `entry`."""
    golden, config = read_golden("midas_dpt")[entry.variant], small(entry.variant)
    values = check_rule(weights(config), golden)
    for expected in golden["network_float64"]:
        yield Case(
            name="network {}x{} in float64".format(*expected["size"]),
            expected=expected,
            tolerance=1e-9,
            compute=partial(_network, config, values, expected["size"]),
        )
    for expected in golden["image_float32"]:
        yield Case(
            name="image {}x{} at {}".format(*expected["image"], expected["input_size"]),
            expected=expected,
            tolerance=1e-4,
            compute=partial(_image, config, values, entry, expected),
        )


def _network(config: DptConfig, values: Tensors, size: list[int]) -> torch.Tensor:
    net = built(lambda: MidasDptNet(config), values)
    image = noise(size[0], size[1], -1.0, 1.0).double()
    output: torch.Tensor = in_float64(net, values, lambda: net(image))
    return output


def _image(
    config: DptConfig, values: Tensors, entry: ModelEntry, expected: Numbers
) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    net = built(lambda: MidasDptNet(config), values)
    model = MidasDpt(net, entry, torch.device("cpu"), sha256="")
    output = model.infer(picture(*expected["image"]), None).values[None, None]
    return F.interpolate(output, expected["image"], mode="bicubic")

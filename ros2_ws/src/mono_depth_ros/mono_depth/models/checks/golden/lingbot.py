"""LingBot-Depth against its original code: a small backbone and narrow heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

import torch

from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
    FLOAT32_POSITIONS,
    Case,
    Numbers,
    built,
    check_rule,
    in_float64,
    picture,
    read_golden,
    shapes_of,
)
from mono_depth.models.checks.golden.tokens import enlarged, one_of, seen_image, spec_of
from mono_depth.models.families.lingbot import LingBot, LingBotConfig, LingBotNet
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import Tensors

NAME = "lingbot_depth"
_POSITIVE = (
    "depth_head.output_blocks.4.bias",
    "mask_head.output_blocks.4.bias",
    "encoder.image_std",
)


def config() -> LingBotConfig:
    """Return the small network."""
    return LingBotConfig.read(read_golden(NAME)["model_config"], "the golden file")


def weights() -> Tensors:
    """Return the weights that the original had."""
    return pseudo_random.fill(shapes_of(lambda: LingBotNet(config())), positive=_POSITIVE)


def depth_map(height: int, width: int, kind: str = "holes") -> torch.Tensor:
    """Return the (height, width) metres that the original was given: holes, full or none."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    depth_m = 1 + ((3 * rows + 2 * columns) % 37) / 10
    if kind == "none":
        depth_m[:] = 0
    if kind == "holes":
        depth_m[height // 4 : height // 2, width // 8 : width // 2] = 0
        depth_m[:, -width // 5 :] = float("nan")
        depth_m[0, 0] = float("inf")
        depth_m[height // 2 :, :3] = 0.005
    return depth_m


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons."""
    golden = read_golden(NAME)
    values = check_rule(weights(), golden)
    net = built(lambda: LingBotNet(config()), values)
    for expected in golden["float64"]:
        size = "{}x{}".format(*expected["size"])
        outputs = cache(partial(_network, net, values, expected))
        for index, name in enumerate(("metres", "mask")):
            yield Case(
                name=f"{name} of the network {size} in float64, depth: {expected['depth']}",
                expected=expected[name],
                tolerance=FLOAT32_POSITIONS,
                is_relative=True,
                compute=partial(one_of, outputs, index),
            )
    for expected in golden["float32"]:
        yield Case(
            name="metres completed, {}x{}".format(*expected["size"]),
            expected=expected["metres"],
            tolerance=1e-4,
            is_relative=True,
            compute=partial(_metres, values, entry, expected),
        )


def _network(
    net: LingBotNet, values: Tensors, expected: Numbers
) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = expected["size"]
    depth_m = depth_map(height, width, expected["depth"]).double()[None, None]

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        output, mask = net(seen_image(expected), depth_m, width / height)
        return enlarged(output, expected).exp(), enlarged(mask, expected).sigmoid()

    return in_float64(net, values, run)


def _metres(values: Tensors, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    bias = "mask_head.output_blocks.4.bias"
    everywhere = values | {bias: values[bias] + 100.0}  # no pixel without depth
    net = built(lambda: LingBotNet(config()), everywhere)
    model = LingBot(net, replace(entry, input=spec_of(expected)), torch.device("cpu"), sha256="")
    size = expected["size"]
    metres = model.complete(picture(*size), depth_map(*size)).values
    return enlarged(metres.log()[None, None], expected).exp()

"""MoGe-2 against its original code: a small backbone and narrow heads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

import torch

from mono_depth.data import Intrinsics
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
from mono_depth.models.families.moge import Moge, MogeConfig, MogeNet
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import Tensors

NAME = "moge2"
_POSITIVE = ("mask_head.output_blocks.4.bias", "encoder.image_std")


def config() -> MogeConfig:
    """Return the small network."""
    return MogeConfig.read(read_golden(NAME)["model_config"], "the golden file")


def weights() -> Tensors:
    """Return the weights that the original had: points lie near the rays of their pixels."""
    values = pseudo_random.fill(shapes_of(lambda: MogeNet(config())), positive=_POSITIVE)
    values["points_head.output_blocks.4.weight"] *= 0.1
    for i in (0, 1):
        values["neck.input_blocks.4.weight"][i, i, 0, 0] += 100.0
        values["points_head.input_blocks.4.weight"][i, i, 0, 0] += 1.0
        values["points_head.output_blocks.4.weight"][i, i, 0, 0] += 0.1
    return values


def camera(expected: Numbers) -> Intrinsics | None:
    """Return the camera that the original was given."""
    if expected["fov_x_deg"] is None:
        return None
    height, width = expected["size"]
    focal = width / 2 / math.tan(math.radians(expected["fov_x_deg"]) / 2)
    middle = {"cx": (width - 1) / 2, "cy": (height - 1) / 2}
    return Intrinsics(width=width, height=height, fx=focal, fy=focal, **middle)


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons."""
    golden = read_golden(NAME)
    values = check_rule(weights(), golden)
    net = built(lambda: MogeNet(config()), values)
    for expected in golden["float64"]:
        size = "{}x{}".format(*expected["size"])
        outputs = cache(partial(_network, net, values, expected))
        for index, name in enumerate(("points", "mask")):
            yield Case(
                name=f"{name} of the network {size} in float64",
                expected=expected[name],
                tolerance=FLOAT32_POSITIONS,
                compute=partial(one_of, outputs, index),
            )
    for expected in golden["float32"]:
        seen = spec_of(expected)
        if 7 * expected["size"][0] != 4 * 2 * seen.height:  # else metres are not at pixels
            continue
        view = "unknown camera" if expected["fov_x_deg"] is None else "known camera"
        yield Case(
            name="metres of {}x{}, {}".format(*expected["size"], view),
            expected=expected["metres"],
            tolerance=1e-4,
            compute=partial(_metres, net, entry, expected),
        )


def _network(net: MogeNet, values: Tensors, expected: Numbers) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = expected["size"]

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        output, mask, _ = net(seen_image(expected), width / height)
        points = net.remapped(enlarged(output, expected)).permute(0, 2, 3, 1)
        return points, enlarged(mask, expected).sigmoid()

    return in_float64(net, values, run)


def _metres(net: MogeNet, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    entry = replace(entry, input=spec_of(expected))
    model = Moge(net, entry, torch.device("cpu"), sha256="")
    return model.infer(picture(*expected["size"]), camera(expected)).values.nan_to_num(0.0)

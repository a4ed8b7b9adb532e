"""ZoeDepth against its original code: a backbone of four blocks, else the published networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

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
from mono_depth.models.checks.golden.midas_dpt import small
from mono_depth.models.families.midas_dpt import DptConfig
from mono_depth.models.families.zoedepth import ZoeDepth, ZoeNet, ZoeNetNK
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.protocol import DepthModel
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import Tensors

LAST_BIAS = "core.core.scratch.output_conv.4.bias"
BACKBONE = "beit_l_384"
_SHORT_SIDE = 64


def make(variant: str, config: DptConfig) -> ZoeNet | ZoeNetNK:
    """Return the network of `variant` on a backbone."""
    if variant == "nk":
        return ZoeNetNK(config)
    return ZoeNet(80.0 if variant == "k" else None, config)


def weights(variant: str) -> Tensors:
    """Return the weights that the original had."""
    shapes = shapes_of(lambda: make(variant, small(BACKBONE)))
    return pseudo_random.fill(shapes, positive=[LAST_BIAS])


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons for the variant of `entry`; of nk with the head for each domain."""
    golden = read_golden("zoedepth")
    values = check_rule(weights(entry.variant), golden[entry.variant])
    yield from _cases(entry, golden[entry.variant], values, "")
    if entry.variant == "nk":
        indoor = values | {"mlp_classifier.2.bias": torch.tensor([10.0, -10.0])}
        yield from _cases(entry, golden["nk_nyu"], indoor, ", indoors")


def _cases(entry: ModelEntry, golden: Numbers, values: Tensors, where: str) -> Iterator[Case]:
    for expected in golden["network_float64"]:
        yield Case(
            name="network {}x{} in float64".format(*expected["size"]) + where,
            expected=expected,
            tolerance=1e-9,
            compute=partial(_network, entry.variant, values, expected["size"]),
        )
    for expected in golden["image_float32"]:
        look = ", with its mirror image" if expected["flip"] else ""
        yield Case(
            name="image {}x{}".format(*expected["image"]) + look + where,
            expected=expected,
            tolerance=1e-3,  # of a spread of some 3 % of the values
            compute=partial(_image, entry, values, expected),
        )


def _network(variant: str, values: Tensors, size: list[int]) -> torch.Tensor:
    net = built(lambda: make(variant, small(BACKBONE)), values)
    image = noise(size[0], size[1], 0.0, 1.0).double()
    output: torch.Tensor = in_float64(net, values, lambda: net((image - 0.5) / 0.5))
    return output


def _image(entry: ModelEntry, values: Tensors, expected: Numbers) -> torch.Tensor:
    entry = with_short_side(entry, _SHORT_SIDE)
    net = built(partial(make, entry.variant, small(BACKBONE)), values)
    model: DepthModel = ZoeDepth(net, entry, torch.device("cpu"), sha256="")
    if expected["flip"]:
        model = MirrorAveraged(model)
    return model.infer(picture(*expected["image"]), None).values

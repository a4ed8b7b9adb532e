"""MiDaS 3.0 (DPT-Large, DPT-Hybrid) and the BEiT networks of MiDaS 3.1: inverse depth.

Source: Ranftl et al., "Vision Transformers for Dense Prediction", ICCV 2021; Birkl et al.,
"MiDaS v3.1", 2023; isl-org/MiDaS `midas/dpt_depth.py` (4545977).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import VitConfig
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
    GoldenCase,
    Numbers,
    built,
    check_rule,
    in_float64,
    noise,
    read_golden,
    rule_image,
)
from mono_depth.models.families.dpt_hub_names import from_hub_layout
from mono_depth.models.families.midas_dpt_net import (
    DPT_CONFIGS,
    STRIDE_PX,
    DptConfig,
    MidasDptNet,
    prepared,
)
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.network_model import MapModel
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import load_strictly, read_tensors


class MidasDpt(MapModel[MidasDptNet]):
    """MiDaS 3 behind the `DepthModel` protocol.

    The original enlarges its output to the image with bicubic interpolation.
    """

    def __init__(
        self, net: MidasDptNet, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        super().__init__(prepared(net), entry, device, sha256, step_px=STRIDE_PX)

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> MidasDpt:
        """Load published weights, in the original layout or in that of transformers.

        Args:
            entry: variant large, hybrid, beit_l_512, beit_l_384 or beit_b_384.
            weights: `.pt` or `.safetensors`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.variant not in DPT_CONFIGS:
            known = ", ".join(DPT_CONFIGS)
            raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
        if entry.kind is not OutputKind.INVERSE_AFFINE:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not inverse_affine")
        with torch.device("meta"):
            net = MidasDptNet(DPT_CONFIGS[entry.variant])
        tensors, found_sha256 = read_tensors(weights, sha256)
        if any(name.startswith("dpt.") for name in tensors):
            tensors = from_hub_layout(tensors)
        load_strictly(net, without_unused(tensors), str(weights))
        return cls(net, entry, device, found_sha256)


# The files also hold the image classifier that the backbone was trained as, and an index that
# follows from the size of the image.
_UNUSED = re.compile(
    r"(.*\.)?pretrained\.model\.((norm|fc_norm|head)\.(weight|bias)"
    r"|blocks\.\d+\.attn\.relative_position_index)"
)


def without_unused(tensors: Tensors) -> Tensors:
    """Return `tensors` of a published file without those that no depth depends on."""
    return {name: tensor for name, tensor in tensors.items() if not _UNUSED.fullmatch(name)}


def make_random(request: ModelRequest) -> MidasDpt:
    """Return the model with pseudo-random weights."""
    net = pseudo_random.filled(lambda: MidasDptNet(DPT_CONFIGS[request.entry.variant]))
    return MidasDpt(net, request.entry, request.device, pseudo_random.SHA256)


LAST_BIAS = "scratch.output_conv.4.bias"
_GOLDEN_VIT = VitConfig(width=256, depth=4, heads=4)


def golden_config(variant: str) -> DptConfig:
    """Return a network of `variant` with few blocks, all seen by the head."""
    layers = (1, 3) if variant == "hybrid" else (0, 1, 2, 3)
    return replace(DPT_CONFIGS[variant], vit=_GOLDEN_VIT, layers=layers)


def golden_weights(config: DptConfig) -> Tensors:
    """Return the weights that the original had in the comparisons."""
    return pseudo_random.fill(
        pseudo_random.shapes_of(lambda: MidasDptNet(config)), positive=[LAST_BIAS]
    )


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original for the variant of `entry`: four blocks of it."""
    golden, config = read_golden("midas_dpt")[entry.variant], golden_config(entry.variant)
    values = check_rule(golden_weights(config), golden)
    for expected in golden["network_float64"]:
        yield GoldenCase(
            name="network {}x{} in float64".format(*expected["size"]),
            expected=expected,
            tolerance=1e-9,
            compute=partial(_golden_network, config, values, expected["size"]),
        )
    for expected in golden["image_float32"]:
        yield GoldenCase(
            name="image {}x{} at {}".format(*expected["image"], expected["input_size"]),
            expected=expected,
            tolerance=1e-4,
            compute=partial(_golden_image, config, values, entry, expected),
        )


def _golden_network(config: DptConfig, values: Tensors, size: list[int]) -> torch.Tensor:
    net = built(lambda: MidasDptNet(config), values)
    image = noise(size[0], size[1], -1.0, 1.0).double()
    output: torch.Tensor = in_float64(net, values, lambda: net(image))
    return output


def _golden_image(
    config: DptConfig, values: Tensors, entry: ModelEntry, expected: Numbers
) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    net = built(lambda: MidasDptNet(config), values)
    model = MidasDpt(net, entry, torch.device("cpu"), sha256="")
    output = model.infer(rule_image(*expected["image"]), None).values[None, None]
    return F.interpolate(output, expected["image"], mode="bicubic")


FAMILY = Family(
    load=from_file(MidasDpt.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"scratch\.output_conv\.4",
)

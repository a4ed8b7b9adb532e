"""Depth Anything V1 and V2, relative and metric: DINOv2 and a DPT head.

Source: Yang et al., "Depth Anything", CVPR 2024; LiheYoung/Depth-Anything (1d03336); Yang et al.,
"Depth Anything V2", NeurIPS 2024; DepthAnything/Depth-Anything-V2 (a561b84).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, VIT_SIZES, DinoV2
from mono_depth.models.backbones.dpt import DptHead
from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import (
    FLOAT32_POSITIONS,
    GoldenCase,
    Numbers,
    built,
    check_rule,
    in_float64,
    noise,
    read_golden,
    rule_image,
)
from mono_depth.models.families.depth_anything_hub_names import from_hub_layout
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.network_model import MapModel
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import load_strictly, read_tensors


@dataclass(frozen=True, kw_only=True)
class _Size:
    spread: tuple[int, ...]  # blocks whose tokens the head of V2 sees
    last: tuple[int, ...]  # and that of V1
    features: int
    channels: tuple[int, int, int, int]


_SMALL, _SMALL_LAST = (2, 5, 8, 11), (8, 9, 10, 11)
_SIZES = {
    "small": _Size(spread=_SMALL, last=_SMALL_LAST, features=64, channels=(48, 96, 192, 384)),
    "base": _Size(spread=_SMALL, last=_SMALL_LAST, features=128, channels=(96, 192, 384, 768)),
    "large": _Size(
        spread=(4, 11, 17, 23),
        last=(20, 21, 22, 23),
        features=256,
        channels=(256, 512, 1024, 1024),
    ),
}
V1 = "depth_anything_v1"  # family of the registry
_MASK_TOKEN = "pretrained.mask_token"


class DepthAnythingNet(nn.Module):
    """The network of one size, with the published parameter names.

    V1 and V2 have the same parameters. The head of V1 sees the last four blocks, that of V2 four
    blocks all along the backbone.
    """

    def __init__(self, variant: str, max_depth_m: float | None, *, is_v1: bool = False) -> None:
        """Build it; `max_depth_m` None is the relative network, else the metric one."""
        super().__init__()
        vit, size = VIT_SIZES[variant], _SIZES[variant]
        self.pretrained = DinoV2(vit)
        self.depth_head = DptHead(vit.width, size.features, size.channels)
        self._layers = size.last if is_v1 else size.spread
        self._max_depth_m = max_depth_m

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return inverse depth without unit, or depth in metres.

        Args:
            image: (B, 3, h, w) normalised, h and w multiples of 14.

        Returns:
            (B, h, w), not negative.
        """
        height, width = image.shape[-2:]
        layers = [patches for patches, _ in self.pretrained(image, self._layers)]
        grid = (height // PATCH_PX, width // PATCH_PX)
        out = self.depth_head(layers, grid, (height, width))[:, 0]
        if self._max_depth_m is None:
            return F.relu(out)
        return torch.sigmoid(out) * self._max_depth_m


class DepthAnything(MapModel[DepthAnythingNet]):
    """Depth Anything behind the `DepthModel` protocol.

    The original enlarges its output to the image bilinearly, V2 with `align_corners=True`, V1
    without.
    """

    def __init__(
        self, net: DepthAnythingNet, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)
        self.net.module.depth_head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> DepthAnything:
        """Load published weights, in the original layout or in that of the `-hf` repositories.

        Args:
            entry: family depth_anything_v1 or depth_anything_v2; variant small, base or large;
                kind metric, of V2 only, needs `max_depth_m`.
            weights: `.pth` or `.safetensors`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.variant not in _SIZES:
            known = ", ".join(_SIZES)
            raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
        is_metric, is_v1 = entry.kind is OutputKind.METRIC, entry.family == V1
        if is_metric and is_v1:
            raise ModelError(f"{entry.name}: the metric networks of V1 are not known here")
        if not is_metric and entry.kind is not OutputKind.INVERSE_AFFINE:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not metric or inverse_affine")
        if is_metric != (entry.max_depth_m is not None):
            raise ModelError(f"{entry.name}: kind metric and max_depth_m go together")
        with torch.device("meta"):
            net = DepthAnythingNet(entry.variant, entry.max_depth_m, is_v1=is_v1)
        tensors, found_sha256 = read_tensors(weights, sha256)
        if any(name.startswith("backbone.") for name in tensors):
            tensors = from_hub_layout(tensors)
        if _MASK_TOKEN not in tensors:  # of the training alone: exports leave it out
            tensors[_MASK_TOKEN] = torch.zeros(net.state_dict()[_MASK_TOKEN].shape)
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)


def make_random(request: ModelRequest) -> DepthAnything:
    """Return the model with pseudo-random weights."""
    entry = request.entry
    is_v1 = entry.family == V1
    net = pseudo_random.filled(
        lambda: DepthAnythingNet(entry.variant, entry.max_depth_m, is_v1=is_v1)
    )
    return DepthAnything(net, entry, request.device, pseudo_random.SHA256)


LAST_BIAS = "depth_head.scratch.output_conv2.2.bias"
_GOLDEN_MAX_DEPTH_M = 20.0  # of the metric network


def golden_numbers(entry: ModelEntry) -> Numbers:
    """Return what the original gave, with a small network of the kind of `entry`."""
    golden = read_golden(entry.family)
    if entry.family == V1:
        found: Numbers = golden["small"]
    else:
        found = golden["relative_small" if entry.max_depth_m is None else "metric_small_20m"]
    return found


def golden_net(entry: ModelEntry) -> DepthAnythingNet:
    """Return the small network of the kind of `entry`."""
    max_depth_m = None if entry.max_depth_m is None else _GOLDEN_MAX_DEPTH_M
    return DepthAnythingNet("small", max_depth_m, is_v1=entry.family == V1)


def golden_weights() -> Tensors:
    """Return the weights that the original had in them; all small networks have the same names."""
    shapes = pseudo_random.shapes_of(lambda: DepthAnythingNet("small", None))
    return pseudo_random.fill(shapes, positive=[LAST_BIAS])


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original for the kind of `entry`: its small network."""
    golden = golden_numbers(entry)
    values = check_rule(golden_weights(), golden)
    net = built(partial(golden_net, entry), values)
    for expected in golden["network_float64"]:
        height, width = expected["size"]
        yield GoldenCase(
            name=f"network {height}x{width} in float64",
            expected=expected,
            tolerance=FLOAT32_POSITIONS,
            is_relative=True,
            compute=partial(_golden_network, net, values, height, width),
        )
    for expected in golden["image_float32"]:
        height, width = expected["image"]
        yield GoldenCase(
            name=f"image {height}x{width} at {expected['input_size']}",
            expected=expected,
            tolerance=1e-4,
            is_relative=True,
            compute=partial(_golden_image, net, entry, expected),
        )


def _golden_network(
    net: DepthAnythingNet, values: Tensors, height: int, width: int
) -> torch.Tensor:
    image = noise(height, width, -2.0, 2.0).double()
    output: torch.Tensor = in_float64(net, values, lambda: net(image))
    return output


def _golden_image(net: DepthAnythingNet, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    model = DepthAnything(net, entry, torch.device("cpu"), sha256="")
    output = model.infer(rule_image(*expected["image"]), None).values[None, None]
    is_v2 = entry.family != V1
    return F.interpolate(output, expected["image"], mode="bilinear", align_corners=is_v2)


FAMILY = Family(
    load=from_file(DepthAnything.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"depth_head\.scratch\.output_conv2",
)

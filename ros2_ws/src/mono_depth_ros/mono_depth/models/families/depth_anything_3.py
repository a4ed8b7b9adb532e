"""Depth Anything 3 for one image, metric and relative: DINOv2 and a DPT head that also sees sky.

Parameters carry the published names. Source: Lin et al., "Depth Anything 3: Recovering the Visual
Space from Any Views", 2025; ByteDance-Seed/Depth-Anything-3 `src/depth_anything_3/model/da3.py`,
`model/dpt.py`, `configs/da3metric-large.yaml`, `configs/da3mono-large.yaml` (2c21ea8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, VIT_SIZES, DinoV2, VitConfig
from mono_depth.models.backbones.dpt import DptHead, last_layers
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
from mono_depth.models.checks.golden.tokens import one_of
from mono_depth.models.family import Family, ModelRequest, from_file
from mono_depth.models.network_model import ImageModel
from mono_depth.models.store.checkpoint import Tensors
from mono_depth.models.store.registry import ModelEntry, with_short_side
from mono_depth.models.store.weights import load_strictly, read_tensors

CANONICAL_FOCAL_PX = 300.0  # camera whose metres the metric network says
SKY = 0.3  # from this output of the sky layers on
_PREFIX = "model."  # of all names in the files


@dataclass(frozen=True, kw_only=True)
class Da3Config:
    """Size of a network."""

    vit: VitConfig
    layers: tuple[int, ...]  # blocks whose tokens the head sees
    features: int
    channels: tuple[int, int, int, int]  # of the maps before they are fused, finest first


DA3_CONFIGS = {
    "large": Da3Config(
        vit=VIT_SIZES["large"],
        layers=(4, 11, 17, 23),
        features=256,
        channels=(256, 512, 1024, 1024),
    ),
}


class Da3Net(nn.Module):
    """The network of one size; the metric and the relative one are alike."""

    def __init__(self, config: Da3Config) -> None:
        super().__init__()
        self.backbone = _Backbone(config.vit)
        self.head = _Head(config)
        self._layers = config.layers

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return depth, without unit or at the canonical focal length, and what speaks for sky.

        Args:
            image: (B, 3, h, w) normalised, h and w multiples of 14.

        Returns:
            (B, h, w) positive; (B, h, w) not negative, sky where it is 0.3 or more.
        """
        height, width = image.shape[-2:]
        layers = [patches for patches, _ in self.backbone.pretrained(image, self._layers)]
        grid = (height // PATCH_PX, width // PATCH_PX)
        fused = self.head.fused(layers, grid, (height, width))
        depth = self.head.scratch.output_conv2(fused)[:, 0].exp()
        return depth, F.relu(self.head.sky(fused)[:, 0])


class _Backbone(nn.Module):
    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.pretrained = _Vit(config)


class _Vit(DinoV2):
    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
        self.norm = nn.LayerNorm(config.width, eps=1e-5)  # those of the blocks have 1e-6
        del self.mask_token  # which the published files lack


class _Head(DptHead):
    def __init__(self, config: Da3Config) -> None:
        super().__init__(config.vit.width, config.features, config.channels)
        self.scratch.sky_output_conv2 = last_layers(config.features)
        del self.scratch.refinenet4.resConfUnit1  # unused, and the published files lack it

    def sky(self, fused: torch.Tensor) -> torch.Tensor:
        """Return (B, 1, h, w) from what `fused` returns."""
        return cast("nn.Sequential", self.scratch.sky_output_conv2)(fused)  # type: ignore[no-any-return]


class DepthAnything3(ImageModel[Da3Net]):
    """Depth Anything 3 behind the `DepthModel` protocol.

    Metres without intrinsics are those of an assumed camera.

    Where the network sees sky there is no depth: NaN. The original puts the sky at the 99th
    percentile of the depth elsewhere, a wall that a robot would stop at.

    The original resizes the image in 8 bits; without that rounding the output differs by some 0.5 %
    with pseudo-random weights.
    """

    def __init__(self, net: Da3Net, entry: ModelEntry, device: torch.device, sha256: str) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)
        self.net.module.head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> DepthAnything3:
        """Load published weights.

        Args:
            entry: variant large; kind metric_focal or depth_affine.
            weights: `.safetensors`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.variant not in DA3_CONFIGS:
            known = ", ".join(DA3_CONFIGS)
            raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
        if entry.kind not in (OutputKind.METRIC_FOCAL, OutputKind.DEPTH_AFFINE):
            raise ModelError(
                f"{entry.name}: kind {entry.kind.value}, not metric_focal or depth_affine"
            )
        with torch.device("meta"):
            net = Da3Net(DA3_CONFIGS[entry.variant])
        tensors, found_sha256 = read_tensors(weights, sha256)
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)

    def _predict(
        self, images: torch.Tensor, size: Sequence[int], cameras: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        predictions = []
        for depth, sky, camera in zip(*self.net(images), cameras, strict=True):
            values = depth.float()
            if self.kind is OutputKind.METRIC_FOCAL:
                values = values * _metres_of_unit(camera, size, images.shape[-2:])
            values = torch.where(sky < SKY, values, torch.nan)
            predictions.append(Prediction(values=values, kind=self.kind))
        return predictions


def _metres_of_unit(
    camera: Intrinsics | None, size: Sequence[int], seen_size: Sequence[int]
) -> float:
    """Return metres per metre of the canonical camera, for the view of `camera` resized."""
    (height, width), (seen_height, seen_width) = size, seen_size
    seen = (camera or Intrinsics.assumed(width, height)).scaled_to(seen_width, seen_height)
    return 0.5 * (seen.fx + seen.fy) / CANONICAL_FOCAL_PX


def make_random(request: ModelRequest) -> DepthAnything3:
    """Return the model with pseudo-random weights."""
    net = pseudo_random.filled(lambda: Da3Net(DA3_CONFIGS[request.entry.variant]))
    return DepthAnything3(net, request.entry, request.device, pseudo_random.SHA256)


GOLDEN_CONFIG = Da3Config(
    vit=VIT_SIZES["small"], layers=(2, 5, 8, 11), features=64, channels=(48, 96, 192, 384)
)


def golden_weights() -> Tensors:
    """Return the weights that the original had in the comparisons."""
    values = pseudo_random.fill(pseudo_random.shapes_of(lambda: Da3Net(GOLDEN_CONFIG)))
    values["head.scratch.sky_output_conv2.2.bias"] += 0.3  # lest there is no sky
    return values


def golden_cases(entry: ModelEntry) -> Iterator[GoldenCase]:
    """Yield the comparisons with the original for the kind of `entry`: a small network."""
    golden = read_golden("depth_anything_3")["small"]
    values = check_rule(golden_weights(), golden)
    net = built(lambda: Da3Net(GOLDEN_CONFIG), values)
    for expected in golden["network_float64"]:
        height, width = expected["size"]
        outputs = cache(partial(_golden_network, net, values, height, width))
        for index, name in enumerate(("depth", "sky")):
            yield GoldenCase(
                name=f"{name} of the network {height}x{width} in float64",
                expected=expected[name],
                tolerance=FLOAT32_POSITIONS,
                compute=partial(one_of, outputs, index),
            )
    kind = "metric" if entry.kind is OutputKind.METRIC_FOCAL else "mono"
    for expected in golden["image_float32"]:
        if expected["kind"] == kind:
            height, width = expected["image"]
            yield GoldenCase(
                name=f"image {height}x{width} at {expected['input_size']}, sky as 0",
                expected=expected,
                tolerance=1e-4,
                compute=partial(_golden_image, net, entry, expected),
            )


def _golden_network(
    net: Da3Net, values: Tensors, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    image = noise(height, width, -2.0, 2.0).double()
    outputs: tuple[torch.Tensor, torch.Tensor] = in_float64(net, values, lambda: net(image))
    return outputs


def golden_camera(height: int, width: int) -> Intrinsics:
    """Return the camera that the original was given in the comparisons."""
    middle = {"cx": (width - 1) / 2, "cy": (height - 1) / 2}
    return Intrinsics(width=width, height=height, fx=0.9 * width, fy=1.0 * width, **middle)


def _golden_image(net: Da3Net, entry: ModelEntry, expected: Numbers) -> torch.Tensor:
    entry = with_short_side(entry, expected["input_size"])
    model = DepthAnything3(net, entry, torch.device("cpu"), sha256="")
    size = expected["image"]
    return model.infer(rule_image(*size), golden_camera(*size)).values.nan_to_num(0.0)


FAMILY = Family(
    load=from_file(DepthAnything3.load),
    make_random=make_random,
    golden_cases=golden_cases,
    fp32_layers=r"head\.scratch\.(sky_)?output_conv2",
)

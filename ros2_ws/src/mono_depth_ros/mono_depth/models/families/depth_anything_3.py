"""Depth Anything 3 for one image, metric and relative: DINOv2 and a DPT head that also sees sky.

Parameters carry the published names. Source: Lin et al., "Depth Anything 3: Recovering the Visual
Space from Any Views", 2025; ByteDance-Seed/Depth-Anything-3 `src/depth_anything_3/model/da3.py`,
`model/dpt.py`, `configs/da3metric-large.yaml`, `configs/da3mono-large.yaml` (2c21ea8).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, VIT_SIZES, DinoV2, VitConfig
from mono_depth.models.backbones.dpt import DptHead, last_layers
from mono_depth.models.network_model import NetworkModel
from mono_depth.models.store.registry import ModelEntry
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


class DepthAnything3(NetworkModel[Da3Net]):
    """Depth Anything 3 behind the `DepthModel` protocol.

    Where the network sees sky there is no depth: NaN. The original puts the sky at the 99th
    percentile of the depth elsewhere, a wall that a robot would stop at.

    The original resizes the image in 8 bits; without that rounding the output differs by some 0.5 %
    with pseudo-random weights.
    """

    def __init__(self, net: Da3Net, entry: ModelEntry, device: torch.device, sha256: str) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)
        self.net.head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image; metres without intrinsics are those of an assumed camera.

        See `DepthModel.infer`.
        """
        image = self._preprocess(rgb)
        depth, sky = self.net(image)
        values = depth[0].float()
        if self.kind is OutputKind.METRIC_FOCAL:
            height, width = rgb.shape[:2]
            camera = intrinsics or Intrinsics.assumed(width, height)
            seen = camera.scaled_to(image.shape[-1], image.shape[-2])
            values = values * (0.5 * (seen.fx + seen.fy) / CANONICAL_FOCAL_PX)
        return Prediction(values=torch.where(sky[0] < SKY, values, torch.nan), kind=self.kind)

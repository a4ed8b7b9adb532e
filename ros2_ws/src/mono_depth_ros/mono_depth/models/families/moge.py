"""MoGe-2: metric depth of any camera, from points.

Parameters carry the published names. Source: Wang et al., "MoGe-2: Accurate Monocular Geometry
with Metric Scale and Sharp Details", NeurIPS 2025; microsoft/MoGe `moge/model/v2.py` (0744441).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, DinoV2
from mono_depth.models.families.conv_stack import ConvStack, StackConfig
from mono_depth.models.families.moge_encoder import (
    Encoder,
    EncoderConfig,
    view_plane,
    warn_of_unknown,
    with_view_plane,
)
from mono_depth.models.families.point_map import shift_of
from mono_depth.models.network_model import NetworkModel
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly, read_configured

_MASK_THRESHOLD = 0.5
_SAMPLES = 64  # rows and columns of pixels that the shift is found from
_UNUSED = "normal_head."  # surface normals, which depth does not need
_IGNORED = frozenset({"normal_head", "num_tokens_range"})
_REMAPPINGS = ("linear", "sinh", "exp", "sinh_exp")


@dataclass(frozen=True, kw_only=True)
class MogeConfig:
    """The network that a weights file describes."""

    encoder: EncoderConfig
    neck: StackConfig
    points_head: StackConfig
    mask_head: StackConfig
    scale_dims: tuple[int, ...]  # channels of the layers that say the metric scale
    remap: str  # from the output of the points head to points

    @classmethod
    def read(cls, values: dict[str, Any], where: str) -> MogeConfig:
        """Take the configuration from a weights file.

        Raises:
            ModelError: it describes a network that this module does not know.
        """
        stacks = {name: values.get(name) for name in ("neck", "points_head", "mask_head")}
        known = _IGNORED | stacks.keys() | {"encoder", "scale_head", "remap_output"}
        warn_of_unknown(values, known, where)
        scale_head = values.get("scale_head")
        dims = scale_head.get("dims") if isinstance(scale_head, dict) else None
        if not isinstance(dims, (list, tuple)) or not all(isinstance(dim, int) for dim in dims):
            raise ModelError(f"{where}: scale_head is {scale_head!r}, expected a list of dims")
        remap = values.get("remap_output", "linear")  # what the original takes, too
        if remap not in _REMAPPINGS:
            known_ones = ", ".join(_REMAPPINGS)
            raise ModelError(f"{where}: remap_output {remap!r} is not one of {known_ones}")
        return cls(
            encoder=EncoderConfig.read(values.get("encoder"), where, ignored=frozenset()),
            **{name: StackConfig.read(item, f"{where}: {name}") for name, item in stacks.items()},
            scale_dims=tuple(dims),
            remap=remap,
        )


class MogeNet(nn.Module):
    """The network that a configuration describes, with the published parameter names."""

    def __init__(self, config: MogeConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder, DinoV2(config.encoder.vit))
        self.neck = ConvStack(config.neck)
        self.points_head = ConvStack(config.points_head)
        self.mask_head = ConvStack(config.mask_head)
        dims = config.scale_dims
        layers = [
            layer
            for before, after in pairwise(dims)
            for layer in (nn.Linear(before, after), nn.ReLU(inplace=True))
        ]
        self.scale_head = nn.Sequential(*layers[:-1])
        self._config = config

    def forward(
        self, image: torch.Tensor, aspect: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return points before they are remapped, where they are valid, and their scale.

        Args:
            image: (B, 3, h, w) RGB of 0..1, h and w multiples of 14.
            aspect: width / height of the camera's image.

        Returns:
            (B, 3, h * 8 / 7, w * 8 / 7); logits (B, 1, h * 8 / 7, w * 8 / 7); metres of one unit
            of the points, (B,).
        """
        height, width = image.shape[-2:]
        layers = self.encoder.backbone(self.encoder.normalised(image), self._config.encoder.layers)
        grid = (height // PATCH_PX, width // PATCH_PX)
        plane = self.encoder.project([patches for patches, _ in layers], grid)
        maps = self.neck(with_view_plane(plane, aspect))
        scale_m = self.scale_head(layers[-1][1])[:, 0].exp()
        return self.points_head(maps)[-1], self.mask_head(maps)[-1], scale_m

    def remapped(self, output: torch.Tensor) -> torch.Tensor:
        """Return points, (B, 3, ...), from the first output of `forward`, maybe resized."""
        remap = self._config.remap
        if remap == "linear":
            return output
        if remap == "sinh":
            return output.sinh()
        xy, z = output[:, :2], output[:, 2:].exp()
        return torch.cat([xy * z if remap == "exp" else xy.sinh(), z], dim=1)


class Moge(NetworkModel[MogeNet]):
    """MoGe-2 behind the `DepthModel` protocol.

    With intrinsics the depth is that of a camera with their focal length, else that of the camera
    that fits the points best. The axis is taken to meet the image in its middle, as in training.

    The original enlarges the output of the network to the size of the image, bilinearly, before
    it makes points of it. Here that is done only for the pixels that say how far the points are.
    It also stops looking for the shift sooner, which leaves its depth some 0.1 % from the best one.
    """

    def __init__(self, net: MogeNet, entry: ModelEntry, device: torch.device, sha256: str) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> Moge:
        """Load published weights.

        Args:
            entry: kind metric; variant names the size of the backbone: small, base or large.
            weights: `.pt` with `model_config` and `model`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        if entry.kind is not OutputKind.METRIC:
            raise ModelError(f"{entry.name}: kind {entry.kind.value}, not metric")
        tensors, values, found_sha256 = read_configured(weights, sha256)
        config = MogeConfig.read(values, str(weights))
        if config.encoder.variant != entry.variant:
            found = f"a {config.encoder.variant} backbone"
            raise ModelError(f"{weights} has {found}, {entry.name} wants {entry.variant}")
        with torch.device("meta"):
            net = MogeNet(config)
        used = {name: value for name, value in tensors.items() if not name.startswith(_UNUSED)}
        load_strictly(net, used, str(weights))
        return cls(net, entry, device, found_sha256)

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        image = self._preprocess(rgb)
        height, width = rgb.shape[:2]
        output, mask, scale_m = self.net(image, width / height)
        shift = self._shift(output, mask, height, width, intrinsics)
        depth = self.net.remapped(output)[0, 2] + shift.float()
        probability = mask[0, 0].sigmoid()
        is_known = (probability > _MASK_THRESHOLD) & (depth > 0.0)
        return Prediction(
            values=torch.where(is_known, depth * scale_m, torch.nan),
            kind=self.kind,
            confidence=probability,
        )

    def _shift(
        self,
        output: torch.Tensor,
        mask: torch.Tensor,
        height: int,
        width: int,
        intrinsics: Intrinsics | None,
    ) -> torch.Tensor:
        """Find how far the points are, from 64x64 pixels of the image."""
        rows = torch.arange(_SAMPLES, device=output.device) * height // _SAMPLES
        columns = torch.arange(_SAMPLES, device=output.device) * width // _SAMPLES
        places = torch.stack(
            torch.meshgrid(
                (2 * columns + 1) / width - 1.0, (2 * rows + 1) / height - 1.0, indexing="xy"
            ),
            dim=-1,
        )
        both = torch.cat([output, mask], dim=1)
        samples = F.grid_sample(
            both, places[None].to(both.dtype), padding_mode="border", align_corners=False
        )
        points = self.net.remapped(samples[:, :3])[0].flatten(1).T
        uv = view_plane(height, width, width / height, points.dtype, points.device)
        uv = uv[0][:, rows[:, None], columns].flatten(1).T
        focal = None if intrinsics is None else _focal_in_half_diagonals(intrinsics)
        is_valid = samples[0, 3].flatten().sigmoid() > _MASK_THRESHOLD
        return shift_of(points, uv, is_valid, focal)


def _focal_in_half_diagonals(camera: Intrinsics) -> float:
    return camera.fx / (0.5 * hypot(camera.width, camera.height))

"""Depth Anything V1 and V2, relative and metric: DINOv2 and a DPT head.

Source: Yang et al., "Depth Anything", CVPR 2024; LiheYoung/Depth-Anything (1d03336); Yang et al.,
"Depth Anything V2", NeurIPS 2024; DepthAnything/Depth-Anything-V2 (a561b84).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.backbones.dinov2 import PATCH_PX, VIT_SIZES, DinoV2
from mono_depth.models.backbones.dpt import DptHead
from mono_depth.models.network_model import NetworkModel
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import Tensors, load_strictly, read_tensors


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


class DepthAnything(NetworkModel[DepthAnythingNet]):
    """Depth Anything behind the `DepthModel` protocol.

    The original enlarges its output to the image bilinearly, V2 with `align_corners=True`, V1
    without.
    """

    def __init__(
        self, net: DepthAnythingNet, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        super().__init__(net, entry, device, sha256, step_px=PATCH_PX)
        self.net.depth_head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        values = self.net(self._preprocess(rgb))[0]
        return Prediction(values=values.float(), kind=self.kind)


# Names in the `-hf` repositories (transformers DepthAnythingForDepthEstimation) -> original.
_HUB_NAMES: tuple[tuple[str, str], ...] = (
    (r"backbone\.embeddings\.(cls_token|mask_token)", r"pretrained.\1"),
    (r"backbone\.embeddings\.position_embeddings", "pretrained.pos_embed"),
    (r"backbone\.embeddings\.patch_embeddings\.projection", "pretrained.patch_embed.proj"),
    (r"backbone\.encoder\.layer\.(\d+)\.(norm\d)", r"pretrained.blocks.\1.\2"),
    (r"backbone\.encoder\.layer\.(\d+)\.mlp\.(fc\d)", r"pretrained.blocks.\1.mlp.\2"),
    (
        r"backbone\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)",
        r"pretrained.blocks.\1.attn.\2",
    ),
    (
        r"backbone\.encoder\.layer\.(\d+)\.attention\.output\.dense",
        r"pretrained.blocks.\1.attn.proj",
    ),
    (
        r"backbone\.encoder\.layer\.(\d+)\.layer_scale(\d)\.lambda1",
        r"pretrained.blocks.\1.ls\2.gamma",
    ),
    (r"backbone\.layernorm", "pretrained.norm"),
    (r"neck\.reassemble_stage\.layers\.(\d)\.projection", r"depth_head.projects.\1"),
    (r"neck\.reassemble_stage\.layers\.(\d)\.resize", r"depth_head.resize_layers.\1"),
    (r"neck\.convs\.(\d)", r"depth_head.scratch.layer{up}_rn"),
    (
        r"neck\.fusion_stage\.layers\.(\d)\.projection",
        r"depth_head.scratch.refinenet{down}.out_conv",
    ),
    (
        r"neck\.fusion_stage\.layers\.(\d)\.residual_layer(\d)\.convolution(\d)",
        r"depth_head.scratch.refinenet{down}.resConfUnit\2.conv\3",
    ),
    (r"head\.conv1", "depth_head.scratch.output_conv1"),
    (r"head\.conv2", "depth_head.scratch.output_conv2.0"),
    (r"head\.conv3", "depth_head.scratch.output_conv2.2"),
)


def from_hub_layout(tensors: Tensors) -> Tensors:
    """Rename the tensors of a `-hf` file; a name that it does not know stays as it is."""
    renamed = {_original_name(name): tensor for name, tensor in tensors.items()}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    result: Tensors = {}
    for name, tensor in renamed.items():
        match = re.fullmatch(r"(.*\.attn)\.(query|key|value)\.(weight|bias)", name)
        if match:
            parts.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2]] = tensor
        else:
            result[name] = tensor
    for name, part in parts.items():
        if len(part) == 3:
            result[name] = torch.cat([part["query"], part["key"], part["value"]])
    return result


def _original_name(name: str) -> str:
    stem, dot, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        stem, dot, kind = name, "", ""
    for pattern, replacement in _HUB_NAMES:
        match = re.fullmatch(pattern, stem)
        if match:
            original = match.expand(replacement)
            if "{" in original:  # the hub counts from 0, and fuses from the coarsest on
                index = int(match[1])
                original = original.format(up=index + 1, down=4 - index)
            return original + dot + kind
    return name

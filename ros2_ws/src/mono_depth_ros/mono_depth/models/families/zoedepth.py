"""ZoeDepth N, K and NK: metres from the BEiT-L network of MiDaS 3.1.

N was trained on NYU (rooms), K on KITTI (roads), NK on both with a head for each.

Source: Bhat et al., "ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth", 2023;
isl-org/ZoeDepth `zoedepth/models` (d87f17b).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.families.midas_dpt import (
    DPT_CONFIGS,
    STRIDE_PX,
    DptConfig,
    MidasDptNet,
    prepared,
    without_unused,
)
from mono_depth.models.families.zoedepth_heads import (
    BINS,
    EMBEDDING,
    MIN_DEPTH_M,
    Attractors,
    BinDistribution,
    MetricHead,
    Projector,
)
from mono_depth.models.preprocess import image_planes
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import load_strictly, read_tensors

VARIANTS = ("n", "k", "nk")
_FEATURES = 256  # channels of the maps of the relative network
_LAST = 32  # channels of its map before the last layer
_ATTRACTORS = (16, 8, 4, 1)
_NK_ATTRACTORS = (16, 16, 16, 16)  # the 16, 8, 4, 1 of its configuration never reach the layers
_DOMAINS = ("nyu", "kitti")
_PAD_FACTOR = 3.0


class ZoeNet(nn.Module):
    """ZoeDepth with one head (N, K), with the published parameter names."""

    def __init__(self, max_depth_m: float | None, config: DptConfig) -> None:
        """Build it; `max_depth_m` is None for N, whose bins have no bound."""
        super().__init__()
        self.core = _Core(config)
        self._max_depth_m = max_depth_m
        is_bounded = max_depth_m is not None
        self.conv2 = nn.Conv2d(_FEATURES, _FEATURES, 1)
        self.seed_bin_regressor = _seed(256, is_bounded=is_bounded)
        self.seed_projector = Projector(_FEATURES, EMBEDDING, 128)
        self.projectors = nn.ModuleList(Projector(_FEATURES, EMBEDDING, 128) for _ in _ATTRACTORS)
        self.attractors = nn.ModuleList(
            Attractors(count, is_bounded=is_bounded) for count in _ATTRACTORS
        )
        self.conditional_log_binomial = BinDistribution(_LAST + 1, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return depth in metres.

        Args:
            image: (B, 3, h, w) normalised, h and w multiples of 32.

        Returns:
            (B, h, w), positive.
        """
        relative, last, paths = self.core.core.features(image)
        head = MetricHead(
            seed=self.seed_bin_regressor,
            attractors=list(self.attractors),
            distribution=self.conditional_log_binomial,
            max_depth_m=self._max_depth_m,
        )
        coarsest = self.conv2(paths[0])
        embeddings = _embeddings(coarsest, paths[1:], self.seed_projector, self.projectors)
        return head.depth_m(coarsest, embeddings, torch.cat((last, relative), dim=1))[:, 0]


class ZoeNetNK(nn.Module):
    """ZoeDepth with a head for rooms and one for roads, with the published parameter names."""

    def __init__(self, config: DptConfig) -> None:
        super().__init__()
        self.core = _Core(config)
        self.conv2 = nn.Conv2d(_FEATURES, _FEATURES, 1)
        self.patch_transformer = _DomainTransformer()
        self.mlp_classifier = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
        self.seed_bin_regressors = nn.ModuleDict(
            {domain: _seed(64, is_bounded=False) for domain in _DOMAINS}
        )
        self.seed_projector = Projector(_FEATURES, EMBEDDING, 64)
        self.projectors = nn.ModuleList(Projector(_FEATURES, EMBEDDING, 64) for _ in _NK_ATTRACTORS)
        self.attractors = nn.ModuleDict(
            {
                domain: nn.ModuleList(Attractors(n, is_bounded=False) for n in _NK_ATTRACTORS)
                for domain in _DOMAINS
            }
        )
        self.conditional_log_binomial = nn.ModuleDict(
            {domain: BinDistribution(_LAST, 4) for domain in _DOMAINS}
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return depth in metres. See `ZoeNet.forward`; one head for the whole batch."""
        _, last, paths = self.core.core.features(image)
        coarsest = self.conv2(paths[0])
        embeddings = _embeddings(coarsest, paths[1:], self.seed_projector, self.projectors)
        chosen = self.domain_logits(coarsest).sum(dim=0).argmax()
        if not _is_recorded():
            return self._head(_DOMAINS[int(chosen)]).depth_m(coarsest, embeddings, last)[:, 0]
        rooms, roads = (
            self._head(domain).depth_m(coarsest, embeddings, last) for domain in _DOMAINS
        )
        return torch.where(chosen == 0, rooms, roads)[:, 0]

    def _head(self, domain: str) -> MetricHead:
        return MetricHead(
            seed=self.seed_bin_regressors[domain],
            attractors=list(cast("nn.ModuleList", self.attractors[domain])),
            distribution=self.conditional_log_binomial[domain],
            max_depth_m=None,
        )

    def domain_logits(self, coarsest: torch.Tensor) -> torch.Tensor:
        """Return (B, 2): how much the images look like rooms and like roads.

        Args:
            coarsest: (B, 256, ...) after `conv2`.
        """
        return cast("torch.Tensor", self.mlp_classifier(self.patch_transformer(coarsest)))


def _is_recorded() -> bool:
    """Tell whether operations are recorded for later, when the choice of a head may be another."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return True
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


class _Core(nn.Module):
    """Holds the relative network; the published names start with `core.core`."""

    def __init__(self, config: DptConfig) -> None:
        super().__init__()
        self.core = MidasDptNet(config)


def _seed(inner: int, *, is_bounded: bool) -> Projector:
    return Projector(_FEATURES, BINS, inner, nn.ReLU() if is_bounded else nn.Softplus())


def _embeddings(
    coarsest: torch.Tensor,
    paths: Sequence[torch.Tensor],
    seed_projector: nn.Module,
    projectors: nn.ModuleList,
) -> list[torch.Tensor]:
    finer = [project(path) for project, path in zip(projectors, paths, strict=True)]
    return [seed_projector(coarsest), *finer]


class _DomainTransformer(nn.Module):
    """The coarsest map to 128 numbers that tell rooms from roads."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 4, dim_feedforward=1024, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.embedding_convPxP = nn.Conv2d(_FEATURES, 128, 1)

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        tokens = self.embedding_convPxP(plane).flatten(2).transpose(1, 2)
        tokens = F.pad(tokens, (0, 0, 1, 0))  # a class token of zeros
        return cast("torch.Tensor", self.transformer_encoder(tokens + _positions(tokens))[:, 0])


def _positions(tokens: torch.Tensor) -> torch.Tensor:
    """Return the (N, C) sines and cosines that number the (B, N, C) `tokens`."""
    count, width = tokens.shape[1:]
    # In float32 whatever the network runs in, like the original.
    position = torch.arange(count, dtype=torch.float32, device=tokens.device)[:, None]
    index = torch.arange(0, width, 2, dtype=torch.float32, device=tokens.device)
    angle = position * torch.exp(index * (-math.log(10000.0) / width))
    return torch.cat((angle.sin(), angle.cos()), dim=1).to(tokens.dtype)


class ZoeDepth:
    """ZoeDepth behind the `DepthModel` protocol.

    As the original does by default, it looks at the image with a mirrored border and cuts that
    off again, which takes a resize to the size of the image: so that is the size of its output.
    """

    def __init__(
        self, net: ZoeNet | ZoeNetNK, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        if entry.input is None:
            raise ModelError(f"the registry entry {entry.name} has no `input`")
        if entry.input.multiple_of % STRIDE_PX:
            raise ModelError(f"{entry.name}: input sizes must be multiples of {STRIDE_PX}")
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        prepared(net.core.core)
        self.net = net.eval().requires_grad_(False).to(device)
        self._spec = entry.input
        self._mean = torch.tensor(entry.input.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(entry.input.std, device=device).view(1, 3, 1, 1)

    @classmethod
    def load(
        cls, entry: ModelEntry, weights: Path, device: torch.device, *, sha256: str = ""
    ) -> ZoeDepth:
        """Load published weights.

        Args:
            entry: variant n, k or nk, kind metric; k needs `max_depth_m`, the others have none.
            weights: `.pt` with the tensors under `model`, or `.safetensors`.
            device: where to run.
            sha256: what the file must hash to, "" = anything.

        Raises:
            ModelError: the file is not the network that `entry` describes.
        """
        net = _net(entry)
        tensors, found_sha256 = read_tensors(weights, sha256, part="model")
        tensors = {
            name: tensor
            for name, tensor in without_unused(tensors).items()
            if not _CONSTANT.fullmatch(name)
        }
        load_strictly(net, tensors, str(weights))
        return cls(net, entry, device, found_sha256)

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        planes = image_planes(rgb, self.device) / 255.0
        height, width = rgb.shape[:2]
        pad_y, pad_x = (int(math.sqrt(side / 2) * _PAD_FACTOR) for side in (height, width))
        if pad_y >= height or pad_x >= width:
            raise FrameError(f"image of {width}x{height} pixels, expected 5x5 or more")
        planes = F.pad(planes, (pad_x, pad_x, pad_y, pad_y), mode="reflect")
        padded = planes.shape[-2:]
        net_width, net_height = self._spec.size_for(padded[1], padded[0])
        planes = F.interpolate(planes, (net_height, net_width), mode="bilinear", align_corners=True)
        depth_m = self.net((planes - self._mean) / self._std)[:, None]
        depth_m = F.interpolate(depth_m, padded, mode="bicubic", align_corners=False)
        depth_m = depth_m[0, 0, pad_y : pad_y + height, pad_x : pad_x + width]
        # cubic interpolation can overshoot
        return Prediction(values=depth_m.float().clamp(min=MIN_DEPTH_M), kind=self.kind)


# The files also hold the numbers 0 to 63 and the number 63.
_CONSTANT = re.compile(r"conditional_log_binomial\..*log_binomial_transform\.(k_idx|K_minus_1)")


def _net(entry: ModelEntry) -> ZoeNet | ZoeNetNK:
    if entry.variant not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise ModelError(f"{entry.name}: variant {entry.variant!r} is not one of {known}")
    if entry.kind is not OutputKind.METRIC:
        raise ModelError(f"{entry.name}: kind {entry.kind.value}, not metric")
    if (entry.variant == "k") != (entry.max_depth_m is not None):
        raise ModelError(f"{entry.name}: variant k needs max_depth_m, n and nk have none")
    config = DPT_CONFIGS["beit_l_384"]
    with torch.device("meta"):
        return ZoeNetNK(config) if entry.variant == "nk" else ZoeNet(entry.max_depth_m, config)

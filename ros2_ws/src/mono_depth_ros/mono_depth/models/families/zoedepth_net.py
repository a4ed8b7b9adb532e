"""The networks of ZoeDepth: metres from the BEiT-L network of MiDaS 3.1.

N was trained on NYU (rooms), K on KITTI (roads), NK on both with a head for each.

Source: Bhat et al., "ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth", 2023;
isl-org/ZoeDepth `zoedepth/models` (d87f17b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from mono_depth.models.families.midas_dpt_net import DptConfig, MidasDptNet
from mono_depth.models.families.zoedepth_heads import (
    BINS,
    EMBEDDING,
    Attractors,
    BinDistribution,
    MetricHead,
    Projector,
)

_FEATURES = 256  # channels of the maps of the relative network
_LAST = 32  # channels of its map before the last layer
_ATTRACTORS = (16, 8, 4, 1)
_NK_ATTRACTORS = (16, 16, 16, 16)  # the 16, 8, 4, 1 of its configuration never reach the layers
_DOMAINS = ("nyu", "kitti")


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

"""Heads of ZoeDepth: from the maps of a relative network to metres.

Depth is the mean of 64 depths, the bins, weighted by a distribution over them. Both depend on
the pixel. The bins start from the coarsest map and each finer one moves them towards points of
attraction; a mode and a temperature make the distribution. Parameters carry the published names.

Source: Bhat et al., "ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth", 2023;
isl-org/ZoeDepth `zoedepth/models/layers` (d87f17b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

BINS = 64
EMBEDDING = 128  # channels
MIN_DEPTH_M = 1e-3
# What the layers of the original use; the 1000 of its configuration never reaches them.
_ATTRACTOR_ALPHA = 300.0
_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.0212, 50.0


def resized(plane: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return (B, C, ...) `plane` at the height and width of `like`."""
    if plane.shape[-2:] == like.shape[-2:]:
        return plane
    return F.interpolate(plane, like.shape[-2:], mode="bilinear", align_corners=True)


class Projector(nn.Module):
    """Two 1x1 convolutions."""

    def __init__(self, before: int, out: int, inner: int, last: nn.Module | None = None) -> None:
        """Build it; `last` is the activation after the second."""
        super().__init__()
        self._net = nn.Sequential(
            nn.Conv2d(before, inner, 1), nn.ReLU(inplace=True), nn.Conv2d(inner, out, 1)
        )
        if last is not None:
            self._net.append(last)

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        """Map (B, before, h, w) to (B, out, h, w)."""
        return cast("torch.Tensor", self._net(plane))


class Attractors(nn.Module):
    """Points that pull the bins towards them."""

    def __init__(self, count: int, *, is_bounded: bool) -> None:
        """Build it; `is_bounded` means that bins are fractions of the range of depth."""
        super().__init__()
        self._is_bounded = is_bounded
        # The original predicts two values for each bounded point and uses the first of them.
        values, last = (2 * count, nn.ReLU()) if is_bounded else (count, nn.Softplus())
        self._net = Projector(EMBEDDING, values, EMBEDDING, last)._net

    def forward(self, embedding: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
        """Return the moved bins.

        Args:
            embedding: (B, 128, h, w).
            bins: (B, 64, h, w).
        """
        points: torch.Tensor = self._net(embedding)
        if self._is_bounded:
            points = points[:, ::2] + 1e-3
        moves = torch.zeros_like(bins)
        for point in torch.split(points, 1, dim=1):
            distance = point - bins
            moves += distance / (1.0 + _ATTRACTOR_ALPHA * distance * distance)
        return bins + moves / points.shape[1]


class BinDistribution(nn.Module):
    """Binomial distribution over the bins, with a mode and a temperature for each pixel."""

    def __init__(self, before: int, divisor: int) -> None:
        """Build it; `divisor` says how much narrower the hidden layer is than the input."""
        super().__init__()
        width = before + EMBEDDING
        inner = width // divisor
        self.mlp = nn.Sequential(
            nn.Conv2d(width, inner, 1), nn.GELU(), nn.Conv2d(inner, 4, 1), nn.Softplus()
        )
        # A constant and not computed in `forward`: exporters round its terms to float32, whose
        # differences are then off by 1e-5, and the temperature multiplies that. On the CPU even
        # where the parameters are on `meta`, which have their values from a file.
        k = torch.arange(BINS, dtype=torch.float64, device="cpu")
        self.log_binomial: torch.Tensor
        self.register_buffer("log_binomial", _log_binomial(BINS - 1, k), persistent=False)

    def forward(self, last: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return (B, 64, h, w), which sums to 1 over the bins."""
        values = self.mlp(torch.cat((last, embedding), dim=1)) + 1e-4
        mode = values[:, :1] / values[:, :2].sum(dim=1, keepdim=True)
        part = values[:, 2:3] / values[:, 2:].sum(dim=1, keepdim=True)
        temperature = (_MAX_TEMPERATURE - _MIN_TEMPERATURE) * part + _MIN_TEMPERATURE
        constant = self.log_binomial.to(last.dtype).view(1, -1, 1, 1)
        k = torch.arange(BINS, device=last.device, dtype=last.dtype).view(1, -1, 1, 1)
        chance = constant + k * mode.clamp(1e-4, 1.0).log()
        chance = chance + (BINS - 1 - k) * (1.0 - mode).clamp(1e-4, 1.0).log()
        return torch.softmax(chance / temperature, dim=1)


def _log_binomial(n: int, k: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """Return the logarithm of n over k by Stirling's formula, as the original has it."""
    m, j = n + eps, k + eps
    return m * math.log(m) - j * j.log() - (m - j) * (m - j + eps).log()


@dataclass(frozen=True, kw_only=True)
class MetricHead:
    """Where the bins start, how they move, and how a pixel is spread over them."""

    seed: nn.Module  # (B, 256, ...) to the (B, 64, ...) bins
    attractors: Sequence[nn.Module]  # for each finer map
    distribution: nn.Module
    max_depth_m: float | None  # bounds the bins; None leaves them unbounded

    def depth_m(
        self, coarsest: torch.Tensor, embeddings: Sequence[torch.Tensor], last: torch.Tensor
    ) -> torch.Tensor:
        """Return depth in metres.

        Args:
            coarsest: (B, 256, ...) the map that the bins start from.
            embeddings: (B, 128, ...) of `coarsest` and of each finer map.
            last: (B, C, h, w) the map before the last layer of the relative network.

        Returns:
            (B, 1, h, w).
        """
        bins = self.seed(coarsest)
        if self.max_depth_m is not None:
            bins = _fractions(bins)
        coarser = embeddings[0]
        for embedding, attractor in zip(embeddings[1:], self.attractors, strict=True):
            bins = attractor(embedding + resized(coarser, embedding), resized(bins, embedding))
            coarser = embedding
        if self.max_depth_m is not None:
            bins = (self.max_depth_m - MIN_DEPTH_M) * bins + MIN_DEPTH_M
            bins = bins.sort(dim=1).values.clamp(MIN_DEPTH_M, self.max_depth_m)
        weights = self.distribution(last, resized(coarser, last))
        return cast("torch.Tensor", (weights * resized(bins, last)).sum(dim=1, keepdim=True))


def _fractions(widths: torch.Tensor) -> torch.Tensor:
    """Turn (B, 64, h, w) widths of bins into their centres, as fractions of the whole range."""
    widths = widths + 1e-3
    edges = (widths / widths.sum(dim=1, keepdim=True)).cumsum(dim=1)
    return 0.5 * (F.pad(edges[:, :-1], (0, 0, 0, 0, 1, 0)) + edges)

"""Averaging over the image and its mirror image."""

from __future__ import annotations

from dataclasses import replace

import torch

from mono_depth.data import Intrinsics, Prediction
from mono_depth.models.protocol import DepthModel


class MirrorAveraged:
    """A model that also looks at the mirror image: steadier output for twice the time."""

    def __init__(self, model: DepthModel) -> None:
        self.model = model
        self.name = model.name
        self.kind = model.kind
        self.device = model.device
        self.weights_sha256 = model.weights_sha256

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        seen = self.model.infer(rgb, intrinsics)
        if intrinsics is not None:
            intrinsics = replace(intrinsics, cx=intrinsics.width - 1 - intrinsics.cx)
        mirrored = self.model.infer(rgb.flip(1), intrinsics)
        confidence = seen.confidence
        if confidence is not None and mirrored.confidence is not None:
            confidence = _average(confidence, mirrored.confidence)
        return replace(seen, values=_average(seen.values, mirrored.values), confidence=confidence)


def _average(seen: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    return (seen + mirrored.flip(-1)) / 2

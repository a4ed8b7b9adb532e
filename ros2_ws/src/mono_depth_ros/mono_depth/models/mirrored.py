"""Averaging over the image and its mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from mono_depth.data import Intrinsics, Prediction
from mono_depth.models.protocol import LoadedModel
from mono_depth.models.replaceable_net import OnnxFile, ReplaceableNet


class MirrorAveraged:
    """A model that also looks at the mirror image: steadier output for twice the time."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self.name = model.name
        self.kind = model.kind
        self.device = model.device
        self.weights_sha256 = model.weights_sha256
        self.scale_sigma_rel = model.scale_sigma_rel

    @property
    def networks(self) -> Sequence[ReplaceableNet[nn.Module | OnnxFile]]:
        """See `HasNetworks.networks`."""
        return self._model.networks

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        seen = self._model.infer(rgb, intrinsics)
        mirrored = self._model.infer(rgb.flip(1), _mirrored(intrinsics))
        return _averaged(seen, mirrored)

    @torch.inference_mode()
    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images. See `DepthModel.infer_batch`."""
        seen = self._model.infer_batch(rgb, intrinsics)
        cameras = [_mirrored(camera) for camera in intrinsics]
        mirrored = self._model.infer_batch(rgb.flip(2), cameras)
        return [_averaged(*pair) for pair in zip(seen, mirrored, strict=True)]


def _mirrored(camera: Intrinsics | None) -> Intrinsics | None:
    return None if camera is None else replace(camera, cx=camera.width - 1 - camera.cx)


def _averaged(seen: Prediction, mirrored: Prediction) -> Prediction:
    confidence = seen.confidence
    if confidence is not None and mirrored.confidence is not None:
        confidence = _average(confidence, mirrored.confidence)
    glass = seen.glass
    if glass is not None and mirrored.glass is not None:
        glass = _average(glass, mirrored.glass)
    values = _average(seen.values, mirrored.values)
    return replace(seen, values=values, confidence=confidence, glass=glass)


def _average(seen: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    return (seen + mirrored.flip(-1)) / 2

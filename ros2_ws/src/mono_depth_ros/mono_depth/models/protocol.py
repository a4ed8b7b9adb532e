"""What the pipeline asks of a depth network."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from mono_depth.data import Intrinsics, OutputKind, Prediction


class DepthModel(Protocol):
    """A network ready to run on one device."""

    name: str  # of the registry entry
    kind: OutputKind
    device: torch.device
    weights_sha256: str  # of the file in use, "" for a model without one

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image.

        Args:
            rgb: (H, W, 3) uint8 on any device, rectified.
            intrinsics: camera of `rgb`; None if unknown. A model scales them along with
                the image for its own use.

        Returns:
            The output at network resolution, covering the same field of view as `rgb`.

        Raises:
            FrameError: the model cannot take this image.
        """
        ...


class DepthCompleter(Protocol):
    """A network that fills in and repairs a depth map, ready to run on one device."""

    name: str  # of the registry entry
    kind: OutputKind
    device: torch.device
    weights_sha256: str  # of the file in use

    def depth_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the depth map that the network sees pixel for pixel.

        Args:
            width: of the image in pixels.
            height: of the image in pixels.
        """
        ...

    def complete(self, rgb: torch.Tensor, depth_m: torch.Tensor) -> Prediction:
        """Fill in and repair a depth map.

        Args:
            rgb: (H, W, 3) uint8 on any device, rectified.
            depth_m: (h, w) float32 of the same field of view; not finite or <= 0 = hole.

        Returns:
            Metres at network resolution, with `mask` True where `depth_m` had a hole.

        Raises:
            FrameError: the network cannot take this image or depth map.
        """
        ...


@runtime_checkable
class CompletionModel(DepthCompleter, DepthModel, Protocol):
    """Completes a depth map, and does without one from a first guess of its own."""

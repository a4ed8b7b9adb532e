"""What the pipeline asks of a depth network."""

from __future__ import annotations

from typing import Protocol

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

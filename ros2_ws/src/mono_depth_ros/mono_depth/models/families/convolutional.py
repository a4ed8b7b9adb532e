"""What the convolutional networks share: preparation for speed and the `DepthModel` around them."""

from __future__ import annotations

import torch
from torch import nn

from mono_depth.models.backbones.folding import fold_batch_norms
from mono_depth.models.network_model import MapModel
from mono_depth.models.store.registry import ModelEntry

STRIDE_PX = 32  # of the coarsest map; the networks take multiples of it


class ConvolutionalDepth(MapModel[nn.Module]):
    """A convolutional network behind the `DepthModel` protocol."""

    def __init__(
        self, net: nn.Module, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        """Take over `net`, which maps (B, 3, h, w) to (B, h, w), with its weights loaded.

        Raises:
            ModelError: the input of `entry` is not in multiples of 32 pixels.
        """
        fold_batch_norms(net.eval().requires_grad_(False))
        super().__init__(net, entry, device, sha256, step_px=STRIDE_PX)
        self.net.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

"""What the convolutional networks share: preparation for speed and the `DepthModel` around them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mono_depth.data import Intrinsics, Prediction
from mono_depth.models.network_model import NetworkModel
from mono_depth.models.store.registry import ModelEntry

STRIDE_PX = 32  # of the coarsest map; the networks take multiples of it


class ConvolutionalDepth(NetworkModel[nn.Module]):
    """A network from one image to one map, behind the `DepthModel` protocol."""

    def __init__(
        self, net: nn.Module, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        """Take over `net`, which maps (1, 3, h, w) to (1, h, w), with its weights loaded.

        Raises:
            ModelError: the input of `entry` is not in multiples of 32 pixels.
        """
        fold_batch_norms(net.eval().requires_grad_(False))
        super().__init__(net, entry, device, sha256, step_px=STRIDE_PX)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        values = self.net(self._preprocess(rgb))[0]
        return Prediction(values=values.float(), kind=self.kind)


def fold_batch_norms(module: nn.Module) -> None:
    """Make every batch normalisation part of the convolution before it, in place.

    Args:
        module: in evaluation mode; runs each batch normalisation right after the convolution
            that its parent holds before it.
    """
    previous = ""
    for name, child in list(module.named_children()):
        fold_batch_norms(child)
        before = getattr(module, previous) if previous else None
        if isinstance(child, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            setattr(module, previous, fuse_conv_bn_eval(before, child))
            setattr(module, name, nn.Identity())
        previous = name

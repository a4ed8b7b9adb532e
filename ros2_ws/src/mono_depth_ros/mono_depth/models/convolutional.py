"""What the convolutional networks share: preparation for speed and the `DepthModel` around them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import ModelError
from mono_depth.models.registry import ModelEntry
from mono_depth.preprocess import InputSpec, Preprocess

STRIDE_PX = 32  # of the coarsest map; the networks take multiples of it


class ConvolutionalDepth:
    """A network from one image to one map, behind the `DepthModel` protocol."""

    def __init__(
        self, net: nn.Module, entry: ModelEntry, device: torch.device, sha256: str
    ) -> None:
        """Take over `net`, which maps (1, 3, h, w) to (1, h, w), with its weights loaded.

        Raises:
            ModelError: the input of `entry` is not in multiples of 32 pixels.
        """
        spec = _checked_input(entry)
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        fold_batch_norms(net.eval().requires_grad_(False))
        self.net = net.to(device)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._preprocess = Preprocess(spec, device)

    @torch.inference_mode()
    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        del intrinsics
        values = self.net(self._preprocess(rgb))[0]
        return Prediction(values=values.float(), kind=self.kind)


def _checked_input(entry: ModelEntry) -> InputSpec:
    spec = entry.input
    if spec is None:
        raise ModelError(f"the registry entry {entry.name} has no `input`")
    sides = (spec.width, spec.height) if spec.rule == "fixed" else (spec.multiple_of,)
    if any(side % STRIDE_PX for side in sides):
        raise ModelError(
            f"{entry.name}: input of {spec.rule} {spec.width}x{spec.height} in multiples of "
            f"{spec.multiple_of}, expected multiples of {STRIDE_PX}"
        )
    return spec


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

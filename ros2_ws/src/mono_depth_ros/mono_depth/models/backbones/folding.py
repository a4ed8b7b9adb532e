"""Make batch normalisations part of convolutions."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


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

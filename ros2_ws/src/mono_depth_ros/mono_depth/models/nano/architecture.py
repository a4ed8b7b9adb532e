"""The architectures that weights of the built-in network may have."""

from __future__ import annotations

from mono_depth.models.nano.lite_net import NanoLiteNet
from mono_depth.models.nano.net import NanoNet

AnyNanoNet = NanoNet | NanoLiteNet


def make_net(encoder: int | None, *, has_hints: bool = True) -> AnyNanoNet:
    """Make an untrained network.

    Args:
        encoder: variant of EfficientNet-Lite, None = the encoder of this project.
        has_hints: it has a network for hints; else it is for images alone.
    """
    if encoder is None:
        return NanoNet(has_hints=has_hints)
    return NanoLiteNet(encoder, has_hints=has_hints)


def encoder_of(net: AnyNanoNet) -> int | None:
    """Return what `make_net` needs to make a network like this one."""
    return net.variant if isinstance(net, NanoLiteNet) else None

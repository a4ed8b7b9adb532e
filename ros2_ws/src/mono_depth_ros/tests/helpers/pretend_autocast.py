"""CUDA's autocast for the pretend device, whose tensors C++ does not take for CUDA's.

Source: PyTorch, "Automatic Mixed Precision package", CUDA op-specific behavior.
"""

from __future__ import annotations

import threading

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

_LOWERED = {
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "prelu",
    "addmm",
    "addmv",
    "addr",
    "matmul",
    "__matmul__",
    "__rmatmul__",
    "einsum",
    "mm",
    "mv",
    "linear",
    "addbmm",
    "baddbmm",
    "bmm",
    "scaled_dot_product_attention",
}
_IN_FP32 = {
    "acos",
    "asin",
    "cosh",
    "exp",
    "expm1",
    "log",
    "log10",
    "log2",
    "log1p",
    "reciprocal",
    "rsqrt",
    "sinh",
    "tan",
    "pow",
    "softplus",
    "layer_norm",
    "group_norm",
    "cdist",
    "logsumexp",
    "interpolate",
    "prod",
    "softmax",
    "cumsum",
    "sum",
}
_WIDEST = {
    "addcdiv",
    "addcmul",
    "atan2",
    "cat",
    "cross",
    "dot",
    "grid_sample",
    "grid_sampler",
    "index_put",
    "scatter_add",
    "stack",
    "tensordot",
}


class PretendAutocast(TorchFunctionMode):
    """Stands in for `torch.autocast("cuda", ...)`."""

    _state = threading.local()

    def __init__(self, _device_type, dtype=None, enabled=True, cache_enabled=None) -> None:
        super().__init__()
        self._dtype, self._is_enabled = dtype, enabled
        del cache_enabled

    @classmethod
    def install(cls, patch: pytest.MonkeyPatch, device_tensor: type) -> None:
        """Put it into the place of torch's own, for tensors of `device_tensor`."""
        cls._device_tensor = device_tensor
        real, asked = torch.autocast, torch.is_autocast_enabled

        def autocast(device_type, *args, **named):
            return (cls if device_type == "cuda" else real)(device_type, *args, **named)

        def is_enabled(*args):
            return bool(cls._modes() and cls._modes()[-1]) or asked(*args)

        patch.setattr(torch, "autocast", autocast)
        patch.setattr(torch, "is_autocast_enabled", is_enabled)

    @classmethod
    def _modes(cls) -> list[bool]:
        if not hasattr(cls._state, "modes"):
            cls._state.modes = []
        return cls._state.modes

    def __enter__(self):
        self._modes().append(self._is_enabled)
        return super().__enter__()

    def __exit__(self, *error):
        self._modes().pop()
        return super().__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name not in _LOWERED | _IN_FP32 | _WIDEST or self._modes()[-1:] != [True]:
            return func(*args, **kwargs)
        flat, spec = tree_flatten((args, kwargs))
        dtype = self._dtype if name in _LOWERED else torch.float32
        if name in _WIDEST:
            given = {item.dtype for item in flat if self._is_cast(item)}
            dtype = torch.float32 if torch.float32 in given or len(given) > 1 else None
        if dtype is not None:
            with torch._C.DisableTorchFunction():
                flat = [item.to(dtype) if self._is_cast(item) else item for item in flat]
        args, kwargs = tree_unflatten(flat, spec)
        return func(*args, **kwargs)

    def _is_cast(self, item) -> bool:
        if not isinstance(item, self._device_tensor):
            return False
        return item.dtype.is_floating_point and item.dtype != torch.float64

"""Copies of networks that hold no weight twice on the device where memory is scarce."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def copied(module: Module, convert: Callable[[torch.Tensor], torch.Tensor]) -> Module:
    """Return a copy of a module that nobody trains, whose weights and buffers are converted.

    Args:
        module: stays as it is.
        convert: called once for each weight and buffer; the copy shares those that it returns as
            they are. They are not copied before: the largest are as large as the memory left.
    """
    shared: dict[int, object] = {}
    for weight in module.parameters():
        made = convert(weight.detach())
        is_same = made.data_ptr() == weight.data_ptr() and made.dtype == weight.dtype
        shared[id(weight)] = weight if is_same else nn.Parameter(made, requires_grad=False)
    for buffer in module.buffers():
        shared[id(buffer)] = convert(buffer)
    return copy.deepcopy(module, shared)

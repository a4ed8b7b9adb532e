"""Between the memory of the CPU and that of a device, with as few waits as there can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def uploaded(array: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on `device`; on the CPU both share their memory.

    A copy from memory that the system may move waits for all work before it. So it goes through
    pinned memory, of which torch keeps a stock.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def downloaded(tensors: Sequence[torch.Tensor]) -> list[npt.NDArray[np.float32]]:
    """Return tensors of one device as float32 arrays; a GPU is waited for once."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [np.asarray(tensor.float().numpy()) for tensor in tensors]
    flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])[:-1]
    parts = np.split(flat, ends)
    return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

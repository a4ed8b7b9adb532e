"""From the memory of the CPU to a device, without waiting for it."""

from __future__ import annotations

from typing import Any

import numpy as np
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

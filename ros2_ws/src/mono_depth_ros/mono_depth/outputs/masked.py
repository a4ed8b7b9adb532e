"""Keeping some pixels of a map, in a fraction of the time that torch takes on the CPU."""

from __future__ import annotations

import cv2
import numpy as np
import torch


def where_kept(values: torch.Tensor, is_kept: torch.Tensor, otherwise: float) -> torch.Tensor:
    """Return (h, w) float32 `values` where `is_kept`, else `otherwise`.

    On the CPU by OpenCV: 0.1 ms for 640x480, where `torch.where` takes 0.5 to 2.
    """
    if values.device.type != "cpu":
        return torch.where(is_kept, values, otherwise)
    kept = np.full(values.shape, otherwise, np.float32)
    cv2.copyTo(values.numpy(), is_kept.numpy().view(np.uint8), kept)
    return torch.from_numpy(kept)

"""Several images of one size at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from mono_depth.data import Intrinsics, Prediction
from mono_depth.errors import FrameError


def check_batch(rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]) -> None:
    """Raise `FrameError` unless these are (B, H, W, 3) uint8 images with B cameras."""
    if rgb.dtype != torch.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.numel() == 0:
        raise FrameError(
            f"images of shape {tuple(rgb.shape)} {rgb.dtype}, expected (B, H, W, 3) torch.uint8"
        )
    if len(intrinsics) != len(rgb):
        raise FrameError(f"{len(intrinsics)} cameras for {len(rgb)} images")


def one_by_one(
    infer: Callable[[torch.Tensor, Intrinsics | None], Prediction],
    rgb: torch.Tensor,
    intrinsics: Sequence[Intrinsics | None],
) -> list[Prediction]:
    """Do `DepthModel.infer_batch` by `DepthModel.infer`, for a network that takes one image.

    Raises:
        FrameError: the model cannot take one of these images.
    """
    check_batch(rgb, intrinsics)
    return [infer(image, camera) for image, camera in zip(rgb, intrinsics, strict=True)]

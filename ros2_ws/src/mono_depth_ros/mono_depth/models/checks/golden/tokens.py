"""What the comparisons of MoGe-2 and LingBot-Depth have in common."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from mono_depth.models.checks.golden.case import Numbers, rule_image
from mono_depth.models.input_spec import InputSpec


def spec_of(expected: Numbers) -> InputSpec:
    """Return the input that has just the number of patches that the original had."""
    (height, width), tokens = expected["size"], expected["tokens"]
    rows, columns = round((tokens * height / width) ** 0.5), round((tokens * width / height) ** 0.5)
    return InputSpec(
        width=14 * columns, height=14 * rows, rule="area", multiple_of=14, interpolation="antialias"
    )


def seen_image(expected: Numbers) -> torch.Tensor:
    """Return (1, 3, h, w) float64 of 0..1, the image at the size that the network sees."""
    seen = spec_of(expected)
    image = rule_image(*expected["size"]).permute(2, 0, 1)[None].double() / 255
    return F.interpolate(image, (seen.height, seen.width), mode="bilinear", antialias=True)


def enlarged(plane: torch.Tensor, expected: Numbers) -> torch.Tensor:
    """Return (B, C, ...) `plane` at the size of the image."""
    return F.interpolate(plane, tuple(expected["size"]), mode="bilinear")


def one_of(outputs: Callable[[], tuple[torch.Tensor, ...]], index: int) -> torch.Tensor:
    """Return one of what `outputs` returns."""
    return outputs()[index]

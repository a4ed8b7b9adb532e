"""Whether an engine says what the network says: its outputs against those of the reference.

The reference is torch in fp32, or for an ONNX file ONNX Runtime in fp32. Both see the same
images. The measure is the same for all families: each channel of each output is compared on
its own, in shares of its own range on that image (2nd to 98th percentile), since networks say
metres, logarithms, or inverse depth without a zero or unit. A single number, such as a metric
scale, is compared relative to its size. The worst channel of the worst image counts, of several
images in one batch as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mono_depth.engines.protocol import EngineError, Tensors

_MAX_SAMPLES = 1_000_000
# A channel that hardly varies is compared with its size instead.
_LEAST_RANGE = 1e-2


@dataclass(frozen=True, kw_only=True)
class OutputError:
    """How far two outputs are apart, in shares of the range."""

    median: float
    tail: float  # 99th percentile

    def __str__(self) -> str:
        return f"error {_percent(self.median)} (99th percentile {_percent(self.tail)})"

    def is_within(self, limit: OutputError) -> bool:
        """Whether this is no larger than `limit`; False for NaN."""
        return self.median <= limit.median and self.tail <= limit.tail


# What rounding may do. Ordinary errors of the formats are a third of this and less; another
# network, or a damaged one, is off by tens of percent.
_TOLERANCES = {
    "fp32": OutputError(median=0.001, tail=0.01),
    "bf16": OutputError(median=0.02, tail=0.10),
    "fp16": OutputError(median=0.02, tail=0.10),
    "int8": OutputError(median=0.05, tail=0.25),
}


def _percent(share: float) -> str:
    percent = 100.0 * share
    if percent < 1e-3:
        return "below 0.001 %"
    return f"{percent:.0f} %" if percent >= 10.0 else f"{percent:.2g} %"


def tolerance(precision: str) -> OutputError:
    """Return what an engine may deviate by."""
    return _TOLERANCES[precision]


def output_error(actual: Sequence[Tensors], truth: Sequence[Tensors]) -> OutputError:
    """Compare the outputs for some images.

    Args:
        actual: of the engine: for each image, its outputs.
        truth: of the reference, in the same order.

    Raises:
        EngineError: number, shape or finiteness of the outputs differ.
    """
    worst = OutputError(median=0.0, tail=0.0)
    for outputs, true_outputs in zip(actual, truth, strict=True):
        if [tuple(item.shape) for item in outputs] != [tuple(item.shape) for item in true_outputs]:
            shapes = [tuple(item.shape) for item in outputs]
            expected = [tuple(item.shape) for item in true_outputs]
            raise EngineError(f"outputs of shape {shapes}, expected {expected}")
        for output, true_output in zip(outputs, true_outputs, strict=True):
            for channel, true_channel in zip(
                _channels(output), _channels(true_output), strict=True
            ):
                here = _of_channel(channel, true_channel)
                worst = OutputError(
                    median=max(worst.median, here.median), tail=max(worst.tail, here.tail)
                )
    return worst


def share_of_unknown(outputs: Tensors) -> float:
    """Return how much of the worst output is NaN or infinite, 0..1."""
    return float(share_of_unknown_in(outputs))


def share_of_unknown_in(outputs: Tensors) -> torch.Tensor:
    """Return the same as a scalar on the device of the outputs."""
    return torch.stack([1.0 - item.isfinite().float().mean() for item in outputs]).amax()


def _channels(output: torch.Tensor) -> torch.Tensor:
    """Return the values of each channel of each image; an output but (B, C, h, w) has one."""
    output = output.detach().to("cpu", torch.float64)
    if output.ndim == 4:
        output = output.flatten(0, 1)
    return output.reshape(len(output) if output.ndim else 1, -1)


def _of_channel(values: torch.Tensor, truth: torch.Tensor) -> OutputError:
    stride = 1 + values.numel() // _MAX_SAMPLES
    values, truth = values[::stride], truth[::stride]
    is_finite = truth.isfinite()
    lost = int((is_finite & ~values.isfinite()).sum())
    if lost:
        share = 100 * lost / values.numel()
        raise EngineError(f"{share:.3g} % of the output is NaN or infinite where it must not be")
    values, truth = values[is_finite], truth[is_finite]
    if not truth.numel():
        return OutputError(median=0.0, tail=0.0)
    size = float(truth.abs().median())
    low, high = torch.quantile(truth, torch.tensor([0.02, 0.98], dtype=truth.dtype))
    scale = max(float(high - low), _LEAST_RANGE * size) if truth.numel() > 1 else size
    error = (values - truth).abs() / max(scale, 1e-30)
    return OutputError(median=float(error.median()), tail=float(torch.quantile(error, 0.99)))

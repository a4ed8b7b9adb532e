"""MiDaS v2.1 against its original code."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mono_depth.models.checks import pseudo_random
from mono_depth.models.checks.golden.case import Case, check_rule, read_golden, shapes_of
from mono_depth.models.checks.golden.convolutional import cases_of
from mono_depth.models.families.midas import Midas, MidasNet
from mono_depth.models.store.registry import ModelEntry
from mono_depth.models.store.weights import Tensors

LAST_BIAS = "scratch.output_conv.4.bias"


def weights(variant: str) -> Tensors:
    """Return the weights that the original had."""
    shapes = shapes_of(lambda: MidasNet(variant))
    norms = [name.replace("running_var", "weight") for name in shapes if "running_var" in name]
    return pseudo_random.fill(shapes, positive=[*norms, LAST_BIAS])


def cases(entry: ModelEntry) -> Iterator[Case]:
    """Yield the comparisons for the variant of `entry`."""
    golden = read_golden("midas_v21")[entry.variant]
    values = check_rule(weights(entry.variant), golden)
    return cases_of(entry, golden, values, partial(MidasNet, entry.variant), Midas)

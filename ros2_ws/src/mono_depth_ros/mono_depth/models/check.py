"""Whether a model works on this machine: with its weights, or without them its arithmetic."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mono_depth.data import Intrinsics, OutputKind, RgbImage
from mono_depth.errors import ModelError
from mono_depth.models.family_table import family_of
from mono_depth.models.informative import check_informative
from mono_depth.models.protocol import DepthModel
from mono_depth.models.store.registry import ModelEntry
from mono_depth.system.gpu_turns import wait_for_stream

_SEED = 1
_WIDTH, _HEIGHT = 320, 240
_RUNS = 3
_METRIC = (OutputKind.METRIC, OutputKind.METRIC_FOCAL, OutputKind.COMPLETION)
_FARTHEST_M = 1000.0  # nothing in a room is so far, whatever the network
_NOT_SHOWN = 0.9  # share of pixels without depth from which on a check fails


@dataclass(frozen=True, kw_only=True)
class CheckImage:
    """An image with the truth behind it."""

    rgb: RgbImage
    depth_m: torch.Tensor  # (H, W) float32
    intrinsics: Intrinsics


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a model made of the image. Values in the unit of its kind."""

    size: tuple[int, int]  # width, height of the output
    least: float
    median: float
    greatest: float
    unknown: float  # share of pixels without a value
    order: float  # rank correlation of depth with the truth, 1 = same order, 0 = none
    ms: float  # median of some runs


def synthetic_image() -> CheckImage:
    """Render the built-in image: a room, the same on every machine."""
    from mono_depth.synthetic.dataset import training_sample

    frame = training_sample(_SEED, _WIDTH, _HEIGHT)
    depth_m = torch.from_numpy(np.asarray(frame.depth_m, np.float32))
    return CheckImage(rgb=frame.rgb, depth_m=depth_m, intrinsics=frame.intrinsics)


def check_on_image(model: DepthModel, entry: ModelEntry, image: CheckImage) -> CheckReport:
    """Run `model` on `image`.

    Raises:
        ModelError: what comes out cannot be depth of the image.
        FrameError: it says nothing: no finite or positive value, or one value only.
    """
    rgb = torch.from_numpy(image.rgb).to(model.device)
    prediction = model.infer(rgb, image.intrinsics)  # the first is slower
    check_informative(prediction)
    times_ms = [
        _time_ms(lambda: model.infer(rgb, image.intrinsics), model.device) for _ in range(_RUNS)
    ]
    values = prediction.values.float().cpu()
    finite = values[values.isfinite()]
    report = CheckReport(
        size=(values.shape[1], values.shape[0]),
        least=float(finite.min()),
        median=float(finite.median()),
        greatest=float(finite.max()),
        unknown=1.0 - finite.numel() / values.numel(),
        order=rank_correlation(values, image.depth_m, prediction.kind),
        ms=statistics.median(times_ms),
    )
    _refuse_nonsense(report, entry, image)
    return report


def _refuse_nonsense(report: CheckReport, entry: ModelEntry, image: CheckImage) -> None:
    width, height = report.size
    stretch = (width / height) / (image.rgb.shape[1] / image.rgb.shape[0])
    is_square = entry.input is not None and entry.input.rule == "fixed"
    if not is_square and not 0.7 < stretch < 1.4:
        raise ModelError(
            f"{entry.name} gives {width}x{height} for an image of "
            f"{image.rgb.shape[1]}x{image.rgb.shape[0]}: another field of view"
        )
    if report.unknown > _NOT_SHOWN:
        raise ModelError(f"{entry.name} gives no value for {100 * report.unknown:.0f} % of it")
    if entry.kind in _METRIC:
        farthest_m = entry.max_depth_m or _FARTHEST_M
        if report.least <= 0.0 or report.greatest > farthest_m * (1.0 + 1e-6):
            raise ModelError(
                f"{entry.name} gives {report.least:g} to {report.greatest:g} m, "
                f"expected 0 to {farthest_m:g} m"
            )
    if not report.order > 0.0:
        raise ModelError(
            f"{entry.name} takes near for far: rank correlation {report.order:.2f} with the truth"
        )


def rank_correlation(values: torch.Tensor, depth_m: torch.Tensor, kind: OutputKind) -> float:
    """Return Spearman's rank correlation of what `values` mean with the true depth.

    Args:
        values: (h, w) output of a network, on the CPU.
        depth_m: (H, W) true depth of the same view.
        kind: what `values` are.
    """
    truth = F.interpolate(depth_m[None, None], values.shape, mode="nearest")[0, 0]
    known = values.isfinite() & truth.isfinite()
    farther = -values if kind is OutputKind.INVERSE_AFFINE else values
    ranks = [part[known].argsort().argsort().double() for part in (farther, truth)]
    if ranks[0].numel() < 2:
        return math.nan
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def _time_ms(run: Callable[[], object], device: torch.device) -> float:
    start_s = time.perf_counter()
    run()
    wait_for_stream(device)
    return 1e3 * (time.perf_counter() - start_s)


@dataclass(frozen=True, kw_only=True)
class GoldenReport:
    """How far one output is from that of the original code."""

    name: str
    deviation: float
    tolerance: float

    @property
    def is_ok(self) -> bool:
        """Tell whether the output is that of the original."""
        return self.deviation <= self.tolerance


def check_golden(entry: ModelEntry) -> Iterator[GoldenReport]:
    """Yield how far the network of `entry` is from the original, with pseudo-random weights.

    Raises:
        ModelError: there is no original: the network is of this project, or of the user.
    """
    golden_cases = family_of(entry).golden_cases
    if golden_cases is None:
        raise ModelError(
            f"{entry.name} (family {entry.family}) has no original to compare with; "
            "check it with its weights"
        )
    for case in golden_cases(entry):
        yield GoldenReport(name=case.name, deviation=case.deviation(), tolerance=case.tolerance)

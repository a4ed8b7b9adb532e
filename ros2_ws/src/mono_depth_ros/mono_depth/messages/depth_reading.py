"""Stored depth to metres: what in it is no measurement, and whether its unit can be right.

Source: REP 118: 16UC1 is millimetres, 0 = none; 32FC1 is metres, NaN = none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mono_depth.data import DepthImage
from mono_depth.errors import FrameError

_SATURATED = 65535  # "no measurement" of many drivers, in any unit of 16 bit
_SATURATED_M = 65.535  # the same, made metres by the publisher
_SAMPLES = 4096  # pixels that are looked at, about

_NEVER_BELOW_M = 0.01  # as the median of an image: such depth is in another unit
_NEVER_ABOVE_M = 50.0  # the same, unless max_depth_m is more
_UNITS_PER_M = {"centimetres": 100.0, "millimetres": 1000.0, "0.1 mm": 10_000.0}

# A far clip: one value, the largest, of many pixels, with few just before it.
_CLIP_SHARE = (0.03, 0.95)
_CLIP_PIXELS = 30  # of those that are looked at
_CLIP_FROM_M = 3.0
_CLIP_STEP_M = 0.5  # clips are round numbers, walls are not
_CLIP_GAP = 0.8  # of the clip, from where on there are few others
_CLIP_OTHERS = 0.25  # of its pixels


@dataclass(frozen=True, kw_only=True)
class DepthReading:
    """Depth, and what should be known of it."""

    depth_m: DepthImage  # (H, W), > 0 or NaN
    doubt: str = ""  # what was taken for no measurement, "" = nothing unusual


def read_metres(
    stored: npt.NDArray[Any], encoding: str, max_depth_m: float | None = None
) -> DepthReading:
    """Turn the samples of a depth image into metres.

    Args:
        stored: (H, W) of any byte order: uint16 millimetres, or float metres.
        encoding: what to call it.
        max_depth_m: farther is no measurement; with it, far clips become holes, and a wrong unit
            is looked for. None = believe everything but 65535.

    Raises:
        FrameError: the unit is wrong.
    """
    is_whole = stored.dtype.kind == "u"
    units_per_m = np.float32(1000.0 if is_whole else 1.0)
    depth_m = np.divide(stored, units_per_m, dtype=np.float32)
    limit_m = np.inf if max_depth_m is None else float(max_depth_m)
    if is_whole:
        limit_m = min(limit_m, (_SATURATED - 0.5) / 1000.0)
    doubts: list[str] = []
    if max_depth_m is not None:
        samples_m = _samples(depth_m)
        if is_whole:
            samples_m = _without_saturated(samples_m, doubts)
        clip_m = _far_clip_m(samples_m, max_depth_m)
        if clip_m:
            share = np.count_nonzero(samples_m == clip_m) / len(samples_m)
            doubts.append(
                f"{100 * share:.0f} % of its depth is exactly {clip_m:.6g} m: a far clip, no depth"
            )
            samples_m = samples_m[samples_m != clip_m]
            depth_m[depth_m == clip_m] = np.nan
        _check_unit(samples_m, encoding, max_depth_m)
    depth_m[~((depth_m > 0) & (depth_m <= limit_m) & (depth_m < np.inf))] = np.nan
    return DepthReading(depth_m=depth_m, doubt="; ".join(doubts))


def _samples(depth_m: DepthImage) -> npt.NDArray[np.float32]:
    """Return (N,) positive, finite depth from everywhere in the image."""
    step = max(1, int((depth_m.size / _SAMPLES) ** 0.5))
    samples_m = depth_m[::step, ::step].reshape(-1)
    return samples_m[(samples_m > 0) & (samples_m < np.inf)]


def _without_saturated(
    samples_m: npt.NDArray[np.float32], doubts: list[str]
) -> npt.NDArray[np.float32]:
    is_real = samples_m < (_SATURATED - 0.5) / 1000.0
    count = len(samples_m) - np.count_nonzero(is_real)
    if count:
        share = 100 * count / len(samples_m)
        doubts.append(f"{share:.0f} % of its depth is {_SATURATED}: no measurement, no depth")
    return samples_m[is_real]


def _far_clip_m(samples_m: npt.NDArray[np.float32], max_depth_m: float) -> float:
    """Return the value that stands for "too far", 0 = there is none."""
    if len(samples_m) < _CLIP_PIXELS:
        return 0.0
    clip_m = float(samples_m.max())
    count = np.count_nonzero(samples_m == np.float32(clip_m))
    low, high = _CLIP_SHARE
    if count < _CLIP_PIXELS or not low <= count / len(samples_m) <= high:
        return 0.0
    if clip_m > max_depth_m:
        return clip_m
    off_m = abs(clip_m - _CLIP_STEP_M * round(clip_m / _CLIP_STEP_M))
    is_round = min(off_m, abs(clip_m - _SATURATED_M)) < 1e-4
    others = np.count_nonzero(samples_m >= _CLIP_GAP * clip_m) - count
    is_clip = clip_m >= _CLIP_FROM_M and is_round and others <= _CLIP_OTHERS * count
    return clip_m if is_clip else 0.0


def _check_unit(samples_m: npt.NDArray[np.float32], encoding: str, max_depth_m: float) -> None:
    if not len(samples_m):
        return
    median_m = float(np.median(samples_m))
    if _NEVER_BELOW_M <= median_m <= max(_NEVER_ABOVE_M, max_depth_m):
        return
    unit = "millimetres" if encoding.startswith("16UC1") else "metres"
    per_m = 1000.0 if unit == "millimetres" else 1.0
    others = {"metres": 1.0, **_UNITS_PER_M}
    plausible = {
        name: median_m * per_m / factor
        for name, factor in others.items()
        if name != unit and 0.2 <= median_m * per_m / factor <= _NEVER_ABOVE_M
    }
    guesses = " or ".join(
        f"{_short(metres)} m if it were {name}" for name, metres in plausible.items()
    )
    raise FrameError(
        f"{encoding} is {unit} (REP 118), but its median would be {_short(median_m)} m"
        + (f", {guesses}" if guesses else "")
        + ": publish 32FC1 in metres or 16UC1 in millimetres"
    )


def _short(metres: float) -> str:
    return f"{metres:.0f}" if metres >= 100.0 else f"{metres:.3g}"

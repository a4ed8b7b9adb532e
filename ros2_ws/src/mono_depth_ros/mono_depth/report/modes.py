"""Distances that many points share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.report.surface import F64

_COARSE, _FINE = 0.03, 0.005  # widths of bins, in the logarithm of a distance
_NEAR_MODE = 1.5  # bins, on either side
_RIVAL = 0.4  # of the largest fine mode: one that is farther out counts if it has this share


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A distance that many points share."""

    at_m: float
    count: int
    spread_rel: float  # median deviation of the points from it


def modes(distances_m: F64, least: int) -> list[Mode]:
    """Return the distances that at least some points share, the nearest first.

    Args:
        distances_m: (n,) > 0.
        least: points of a mode.
    """
    if len(distances_m) < least:
        return []
    values = np.log(distances_m)
    low = float(values.min()) - 2.0 * _COARSE
    bins = np.bincount(((values - low) / _COARSE).astype(np.intp))
    smooth = np.convolve(np.pad(bins, 1), (1.0, 2.0, 1.0), "same")
    peaks = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:]))
    found = []
    for peak in peaks:
        center = low + (peak + 0.5) * _COARSE
        near = values[np.abs(values - center) <= _NEAR_MODE * _COARSE]
        if len(near) >= least:
            found.append(_refined(near))
    return found


def _refined(values: F64) -> Mode:
    """Return where most of some logarithms lie; of two such places the farther one.

    What hangs on a wall or lies on a floor is nearer than it, and never farther.
    """
    low = float(values.min())
    bins = np.bincount(((values - low) / _FINE).astype(np.intp))
    smooth = np.convolve(np.pad(bins, 1), (1.0, 2.0, 1.0), "same")[1:-1]
    peak = int(np.flatnonzero(smooth >= _RIVAL * smooth.max())[-1])
    while peak > 0 and smooth[peak - 1] > smooth[peak]:
        peak -= 1
    center = low + (peak + 0.5) * _FINE
    inner = values[np.abs(values - center) <= _NEAR_MODE * _FINE]
    center = float(np.median(inner)) if len(inner) else center
    spread = float(np.median(np.abs(values - center)))
    return Mode(at_m=float(np.exp(center)), count=len(values), spread_rel=spread)

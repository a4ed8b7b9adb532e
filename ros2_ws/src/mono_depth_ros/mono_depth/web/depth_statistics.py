"""What a depth image says in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mono_depth.data import DepthImage
from mono_depth.outputs.files.description import finite

_PERCENTILES = (5, 25, 50, 75, 95)
_BINS = 48


def depth_statistics(depth: DepthImage) -> dict[str, Any]:
    """Return least, greatest and mean depth, percentiles, shares and a histogram, for JSON.

    Args:
        depth: (H, W) float32; NaN = unknown, +Inf = beyond the range. Both are shares of all
            pixels; the other numbers are of the rest, and null where there are none.
    """
    known = depth[np.isfinite(depth)]
    shares = {
        "share_unknown": float(np.isnan(depth).mean()),
        "share_beyond": float(np.isposinf(depth).mean()),
    }
    if not known.size:
        names = ("min", "max", "mean", "median", *(f"p{share}" for share in _PERCENTILES))
        return {**dict.fromkeys(names), **shares, "histogram": None}
    low, high = float(known.min()), float(known.max())
    values = np.percentile(known, _PERCENTILES).tolist()
    percentiles = dict(zip(_PERCENTILES, values, strict=True))
    counts, edges = np.histogram(known, _BINS, (low, max(high, low + 1e-3)))
    return {
        "min": low,
        "max": high,
        "mean": finite(float(known.mean(dtype=np.float64))),
        "median": percentiles[50],
        **{f"p{share}": value for share, value in percentiles.items()},
        **shares,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }

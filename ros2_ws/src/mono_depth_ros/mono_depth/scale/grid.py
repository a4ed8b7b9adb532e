"""A small copy of the network's output, for what looks at the frame as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.scale.fit import Points
from mono_depth.scale.scale_shift import METRIC_KINDS, Floats, regressor, target
from mono_depth.system.transfers import uploaded

_MAX_ROWS = 60
_MAX_EDGE = 0.1  # change within 3x3 pixels that is the edge of an object
_DEPTH_RANGE_M = (0.2, 60.0)
MAX_POINTS = 120  # more tell nothing new: a network's errors are alike in neighbours


@dataclass(frozen=True, kw_only=True)
class OutputGrid:
    """Every n-th pixel of the output, in host memory, with the camera of these pixels."""

    x: Floats  # (h, w), see `ScaleShift`; NaN = unusable
    camera: Intrinsics

    @classmethod
    def of(cls, prediction: Prediction, intrinsics: Intrinsics) -> OutputGrid:
        """Thin out a prediction; `intrinsics` are those of the full image."""
        height, width = prediction.values.shape
        step = max(1, round(height / _MAX_ROWS))
        half = step // 2
        values = prediction.values[half::step, half::step].cpu().numpy().astype(np.float64)
        full = intrinsics.scaled_to(width, height)
        camera = Intrinsics(
            width=values.shape[1],
            height=values.shape[0],
            fx=full.fx / step,
            fy=full.fy / step,
            cx=(full.cx - half) / step,
            cy=(full.cy - half) / step,
        )
        return cls(x=regressor(values, prediction.kind), camera=camera)


def points_at(
    columns: Floats, rows: Floats, depth_m: Floats, sigma: Floats, *, frame: Frame, of: Prediction
) -> Points:
    """Look up what the network says where depth is known.

    Left out are pixels outside the image or where rectification left no image, depth out of
    range, and edges of objects, where a pixel off is another surface.

    Args:
        columns: (N,) in pixels of the image.
        rows: (N,) in pixels of the image.
        depth_m: (N,) along z.
        sigma: (N,) relative deviation of the depth.
        frame: the image.
        of: what the network says about it.
    """
    height, width = frame.rgb.shape[:2]
    with np.errstate(invalid="ignore"):
        good = (depth_m > _DEPTH_RANGE_M[0]) & (depth_m < _DEPTH_RANGE_M[1])
        good &= (columns > -0.5) & (columns < width - 0.5) & (rows > -0.5) & (rows < height - 0.5)
    keep = np.flatnonzero(good)
    if frame.is_visible is not None:
        keep = keep[frame.is_visible[_nearest(rows[keep]), _nearest(columns[keep])]]
    if keep.size > MAX_POINTS:
        keep = keep[np.linspace(0, keep.size - 1, MAX_POINTS).astype(np.intp)]
    x = _smooth_x(columns[keep] / width, rows[keep] / height, (width, height), of)
    known = np.isfinite(x)
    return Points(
        x=x[known],
        y=target(depth_m[keep][known], of.kind),
        sigma=sigma[keep][known],
        y_is_depth=of.kind is OutputKind.DEPTH_AFFINE,
    )


def _smooth_x(u: Floats, v: Floats, size: tuple[int, int], of: Prediction) -> Floats:
    """Return x at shares of the image's width and height, NaN at edges."""
    values = of.values
    height, width = values.shape
    column = _nearest((u + 0.5 / size[0]) * width - 0.5).clip(0, width - 1)
    row = _nearest((v + 0.5 / size[1]) * height - 0.5).clip(0, height - 1)
    by = np.array((-1, 0, 1))
    near_rows = (row[:, None] + by).clip(0, height - 1)
    near_columns = (column[:, None] + by).clip(0, width - 1)
    index = (near_rows[:, :, None] * width + near_columns[:, None, :]).reshape(-1, 9)
    picked = values.reshape(-1)[uploaded(index.reshape(-1), values.device)]
    x = regressor(picked.cpu().numpy().astype(np.float64).reshape(-1, 9), of.kind)
    if not x.size:
        return np.empty(0)
    middle = x[:, 4]
    unit = np.abs(middle) if of.kind in METRIC_KINDS else 3.0 * np.nanstd(middle)
    return np.where(x.max(axis=1) - x.min(axis=1) <= _MAX_EDGE * unit, middle, np.nan)


def _nearest(places: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    return np.rint(places).astype(np.intp)

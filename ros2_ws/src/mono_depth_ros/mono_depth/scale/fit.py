"""Robust fit of scale and shift to points of known depth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mono_depth.data import Mask
from mono_depth.scale.scale_shift import Floats, Pivot, ScaleShift

MIN_SLOPE = 0.02  # a network that tells near from far at all
_PAIRS = 80
_SINGLES = 30
_ITERATIONS = 8
_MIN_SPREAD = 0.02  # of a network's relative depth error
_SURE_SHARE = 0.4  # of the points are right, or nothing can be said
_SURE_SPREADS = 1.25  # that share of 70 % Gaussian and 30 % wrong values lies within 1 / 1.25
_MAX_SPREAD = 0.36  # points that scatter more say nothing
_REACH = 3.0  # deviations; what is farther off has no say
_LEAST_WEIGHT = 1e-6  # keeps the equations solvable
_INLIER = 2.5  # deviations
_COVARIANCE = 3.0  # errors of neighbouring points are alike, so they tell less than they count
_MIN_SHARE = 0.4
_MIN_AFFINE = 6  # inliers that slope and level need
_MIN_RANGE = 0.25  # of the frame's width that they must cover
_MIN_CORRELATION = 0.7  # of points and network where one follows the other


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Level and slope at a pivot, measured in one frame."""

    level: float  # log y
    slope: float
    covariance: Floats  # (2, 2) of level and slope; without a seen slope only [0, 0] counts
    slope_seen: bool  # False: the slope was given, not measured
    inliers: int
    spread: float  # robust relative deviation of the points about it
    hidden: int = 0  # points that were left out, because they lie behind what is seen
    follows: bool  # near and far of the points are near and far of the network, too


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why there is no measurement."""

    reason: str
    is_doubt: bool = True  # the data speak against themselves; False: there was nothing to measure


@dataclass(frozen=True, kw_only=True)
class Points:
    """What the network says where depth is known; x and y as in `ScaleShift`."""

    x: Floats  # (N,)
    y: Floats  # (N,) > 0
    sigma: Floats  # (N,) relative deviation of y
    y_is_depth: bool  # False: inverse depth

    def errors(self, y_of_law: Floats) -> Floats:
        """Return predicted / known depth - 1. With y <= 0 it is infinitely wrong.

        The error of depth, not of its logarithm: it is what users feel, and it keeps points
        that are far too far, which sparse sensors invent easily, from pulling the scale.
        """
        safe = np.maximum(y_of_law, 1e-9)
        return np.asarray(safe / self.y - 1.0 if self.y_is_depth else self.y / safe - 1.0)

    def only(self, chosen: Mask) -> Points:
        """Return some of the points."""
        return replace(self, x=self.x[chosen], y=self.y[chosen], sigma=self.sigma[chosen])


def fit_points(
    points: Points,
    *,
    pivot: Pivot,
    shape: ScaleShift | None,
    min_points: int,
    free_slope: bool = True,
) -> Fit | Rejection:
    """Fit scale and shift to points, a minority of which may be wrong.

    Tries those through two points (and, with `shape`, through one), takes the one of the least
    truncated squares, and refines it by iterated weighted least squares. What is far off has no
    say at all: wrong points often all lie on one side, as rain or reflections do, and with a
    milder loss they would pull the scale to theirs.

    Args:
        points: what is known.
        pivot: of the frame.
        shape: the slope that is kept where the points do not show it; None = there is none.
        min_points: fewer inliers are refused.
        free_slope: fit the slope where the points show it; else keep that of `shape`.

    Source: Torr and Zisserman, "MLESAC", CVIU 2000 (sampling with a robust loss instead of a
    count); Beaton and Tukey, "The fitting of power series", Technometrics 1974 (biweight).
    """
    total = points.x.size
    if total < min_points:
        reason = f"{total} usable points, at least {min_points} needed"
        return Rejection(reason=reason, is_doubt=False)
    given = None if shape is None else _slope(shape, pivot)
    start = _best_start(points, pivot, given, pairs=_PAIRS if free_slope else 0)
    if start is None:
        return Rejection(reason="no law that grows with the network's output fits the points")
    fit = _refined(points, pivot, start, fixed=not free_slope)
    if free_slope and not _shows_slope(points, pivot, fit):
        if given is None:
            reason = "the points lie at one depth: their slope is unknown"
            return Rejection(reason=reason, is_doubt=False)
        start = _best_start(points, pivot, given, pairs=0) or start
        fit = _refined(points, pivot, start, fixed=True)
    if fit.inliers < min_points or fit.inliers < _MIN_SHARE * total:
        return Rejection(reason=f"only {fit.inliers} of {total} points agree with one scale")
    if start.spread > _MAX_SPREAD:
        return Rejection(
            reason=f"the points scatter by {100.0 * start.spread:.0f} % about any scale"
        )
    return fit


@dataclass(frozen=True, kw_only=True)
class _Start:
    level: float
    slope: float
    spread: float  # robust deviation of the relative error of the right points


def _best_start(points: Points, pivot: Pivot, given: float | None, pairs: int) -> _Start | None:
    """Return the best scale and shift through one or two points."""
    t = pivot.relative(points.x)
    rng = np.random.default_rng(t.size)
    first, second = rng.integers(0, t.size, (2, pairs))
    run = t[second] - t[first]
    run[np.abs(run) < 0.05] = np.nan
    gain = (points.y[second] - points.y[first]) / run
    middle = points.y[first] - gain * t[first]
    slope = gain / np.where(middle > 0.0, middle, np.nan)
    possible = (slope >= MIN_SLOPE) & (slope <= pivot.steepest())
    middle, gain = middle[possible], gain[possible]
    if given is not None:
        some = np.arange(t.size) if t.size <= _SINGLES else rng.integers(0, t.size, _SINGLES)
        single = points.y[some] / np.maximum(1.0 + given * t[some], 0.05)
        middle, gain = np.append(middle, single), np.append(gain, given * single)
    if not middle.size:
        return None
    error = np.abs(points.errors(middle[:, None] + gain[:, None] * t))
    share = int(_SURE_SHARE * t.size)
    spreads = _SURE_SPREADS * np.partition(error, share, axis=1)[:, share]
    reach = _REACH * np.hypot(max(float(spreads.min()), _MIN_SPREAD), points.sigma)
    best = int(np.argmin(np.square(np.minimum(error / reach, 1.0)).sum(axis=1)))
    return _Start(
        level=float(np.log(middle[best])),
        slope=float(gain[best] / middle[best]),
        spread=max(float(spreads[best]), _MIN_SPREAD),
    )


def _refined(points: Points, pivot: Pivot, start: _Start, *, fixed: bool) -> Fit:
    """Iterate from a start; the slope stays as it is if `fixed`."""
    t, level, slope = pivot.relative(points.x), start.level, start.slope
    steepest = pivot.steepest()
    deviation = np.hypot(start.spread, points.sigma)
    sign = 1.0 if points.y_is_depth else -1.0
    normal, error = np.eye(2), t
    for _ in range(_ITERATIONS):
        shape = np.maximum(1.0 + slope * t, 0.05)
        error = points.errors(np.exp(level) * shape)
        near = np.maximum(1.0 - (error / (_REACH * deviation)) ** 2, 0.0)
        weight = near**2 / deviation**2 + _LEAST_WEIGHT
        by_level = sign * (1.0 + error)
        by_slope = np.zeros_like(t) if fixed else by_level * t / shape
        jacobian = np.stack((by_level, by_slope))
        normal = (jacobian * weight) @ jacobian.T + np.diag((1e-9, 1e-6))
        step = np.linalg.solve(normal, jacobian @ (weight * error))
        level -= float(np.clip(step[0], -0.5, 0.5))
        slope = float(np.clip(slope - step[1], MIN_SLOPE, steepest))
    agrees = np.abs(error) < _INLIER * deviation
    return Fit(
        level=level,
        slope=slope,
        covariance=np.asarray(np.linalg.inv(normal), np.float64) * _COVARIANCE,
        slope_seen=not fixed,
        inliers=int(agrees.sum()),
        spread=start.spread,
        follows=_follows(points.x[agrees], points.y[agrees]),
    )


def _follows(x: Floats, y: Floats) -> bool:
    """Tell whether y grows with x beyond chance: points behind a thing do not know its shape."""
    if x.size < _MIN_AFFINE or not (np.ptp(x) > 0.0 and np.ptp(y) > 0.0):
        return False
    correlation = float(np.corrcoef(x, y)[0, 1])
    return correlation > max(_MIN_CORRELATION, _REACH / math.sqrt(x.size))


def _shows_slope(points: Points, pivot: Pivot, fit: Fit) -> bool:
    t = pivot.relative(points.x)
    y = np.exp(fit.level) * np.maximum(1.0 + fit.slope * t, 0.05)
    inliers = t[np.abs(points.errors(y)) < 0.5]
    if inliers.size < _MIN_AFFINE:
        return False
    low, high = np.percentile(inliers, (10.0, 90.0))
    return bool(high - low >= _MIN_RANGE)


def _slope(shape: ScaleShift, pivot: Pivot) -> float:
    y = shape.gain * pivot.middle + shape.shift
    return float(np.clip(shape.gain * pivot.width / max(y, 1e-12), MIN_SLOPE, pivot.steepest()))

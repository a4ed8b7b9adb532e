"""Which points of known depth are in view: one may be hidden, but never in front of what is seen.

A LiDAR that stands higher than the camera, or a map from before something stepped in the way, gives
points behind what the image shows. They agree with one another perfectly, and would push what hides
them back to where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono_depth.data import Mask
from mono_depth.scale.fit import Fit, Points, Rejection, fit_points
from mono_depth.scale.scale_shift import Floats, Pivot, ScaleShift

_REACH = 3.0  # deviations
_LEAST_SPREAD = 0.02
_MOST_WANDER = 0.1  # log depth: how far a network's scale moves between two frames
_LEAST_AGREEING = 4  # points that fit the scale so far, and their share
_LEAST_SHARE = 0.05
_SHOWS_SLOPE = 0.75  # of the points: of fewer the far end is hidden, and with it the slope
_FARTHER = 2.0  # deviations
_LEAST_FARTHER = 0.02  # log depth
_SPREADS = 1.6  # |errors| of the surest 40 % of the points to their deviation
_SURE_SHARE = 0.4
_NEAR_MODEL = 0.2  # log depth
_LEAST_NEAR_MODEL = 8
_SHARE_NEAR_MODEL = 0.2


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What the scale was thought to be before the frame was measured."""

    law: ScaleShift
    sigma: float  # of its level, in log depth
    spread: float  # relative deviation of points about it, as usual; NaN = only the model says it


def fit_visible(
    points: Points,
    *,
    pivot: Pivot,
    belief: Belief | None,
    shape: ScaleShift | None,
    min_points: int,
    free_slope: bool,
) -> Fit | Rejection:
    """Fit scale and shift as `fit_points` does, to the points that can be in view.

    Of a scale that was measured before, points are left out that lie farther behind what is seen
    than points usually do, as long as others still fit it. And a new scale is refuted by points
    that fit the one before, or the model, but would lie in front of what is seen.
    """

    def fitted(chosen: Mask) -> Fit | Rejection:
        found = fit_points(
            points.only(chosen),
            pivot=pivot,
            shape=shape,
            min_points=min_points,
            free_slope=free_slope and chosen.sum() >= _SHOWS_SLOPE * chosen.size,
        )
        return replace(found, hidden=int((~chosen).sum())) if isinstance(found, Fit) else found

    every = np.ones(points.x.size, bool)
    if belief is None or not points.x.size:
        return fitted(every)
    found = fitted(every)
    if isinstance(found, Rejection):
        return found
    behind = _behind(points, belief.law)
    seen = every
    for reject in (_farther_than_usual, _behind_others):
        law = pivot.scale_shift_of(found.level, found.slope)
        kept = seen & ~reject(behind, _behind(points, law), belief)
        if kept.sum() < seen.sum():
            again = fitted(kept)
            if isinstance(again, Rejection):
                break
            seen, found = kept, again
    return found


def _farther_than_usual(behind: Floats, behind_now: Floats, belief: Belief) -> Mask:
    """Return which points are hidden, none unless the new scale puts the others too far."""
    nothing = np.zeros(behind.size, bool)
    if np.isnan(belief.spread):
        return nothing
    reach = _REACH * belief.spread + min(2.0 * belief.sigma, _MOST_WANDER)
    agrees = np.abs(behind) <= reach
    if int(agrees.sum()) < max(_LEAST_AGREEING, _LEAST_SHARE * behind.size):
        return nothing
    if float(np.median(behind_now[agrees])) > -(_FARTHER * belief.spread + _LEAST_FARTHER):
        return nothing
    return np.asarray(behind > reach)


def _behind_others(behind: Floats, behind_now: Floats, belief: Belief) -> Mask:
    """Return which points are hidden, none if the others do not refute the new scale.

    Args:
        behind: (N,) by the scale before, see `_behind`.
        behind_now: (N,) by the new one.
        belief: the scale before.
    """
    if np.isnan(belief.spread):
        spread = _SPREADS * float(np.quantile(np.abs(behind_now), _SURE_SHARE))
        needed, near = max(_LEAST_NEAR_MODEL, _SHARE_NEAR_MODEL * behind.size), _NEAR_MODEL
    else:
        spread, near = belief.spread, _REACH * belief.spread + _MOST_WANDER
        needed = max(_LEAST_AGREEING, _LEAST_SHARE * behind.size)
    refuting = behind_now < -_REACH * max(spread, _LEAST_SPREAD)
    refuting &= np.abs(behind) < np.minimum(near, 0.5 * np.abs(behind_now))
    if int(refuting.sum()) < needed:
        return np.zeros(behind.size, bool)
    return np.asarray(behind > 0.5 * float(np.median(-behind_now[refuting])))


def _behind(points: Points, law: ScaleShift) -> Floats:
    """Return log(known depth / depth by the law), > 0 = the point is behind what is seen."""
    errors = points.errors(law.gain * points.x + law.shift)
    return np.asarray(-np.log(np.maximum(1.0 + errors, 1e-9)))

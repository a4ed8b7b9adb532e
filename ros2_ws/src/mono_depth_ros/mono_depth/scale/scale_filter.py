"""What one source of scale has said so far: a Kalman filter and a state."""

from __future__ import annotations

from collections import deque

import numpy as np

from mono_depth.config import ScaleConfig
from mono_depth.scale.fit import MIN_SLOPE, Fit, Rejection
from mono_depth.scale.scale_shift import IDENTITY, Floats, Pivot, ScaleShift
from mono_depth.scale.visible_points import Belief

_FIRST_LEVEL_SIGMA = 1.0  # of a metric model before anything was measured, in log depth
_FIRST_SLOPE_SIGMA = 0.5  # share of the slope
_DRIFT = (0.01, 0.6)  # limits of the drift of scale [1/sqrt(s)], in log depth
_FIRST_DRIFT = 0.05
_FIRST_DRIFT_OF_SLOPE = 0.5  # sources that see slope speak often: they may follow at once
_DRIFT_GAIN = 0.05
_GATE = 13.8  # chi-square with 2 degrees of freedom, 99.9 %
_GATE_LEVEL = 10.8  # with 1 degree
_JUMP_FRAMES = 5  # refused in a row that agree are a jump of scale, not errors
_FARTHER_FRAMES = 8  # the same of a jump that puts all farther away: what is wrong then is unsafe
_LEAP = 0.22  # log depth; farther by more is a jump, and needs points that follow near and far
_LEAP_OF_A_PLANE = 0.1  # the same of a source that sees one number: another plane is as flat
_WINDOW = 10  # measurements that trust is judged by
_SPREAD_GROWTH = 1.1  # of the usual spread of points, lest what is hidden passes for noise
_MOST_HIDDEN = 0.5  # of the points; of more the few others are followed, but in doubt
_MIN_ACCEPTED = 3
_MIN_INLIERS = 40  # of these together
_MIN_SHARE = 0.7
_KEPT_SHARE = 0.5
_MIN_SIGMA = 0.01
_LONGEST_STEP_S = 100.0
_STEPS = 5  # between frames, whose middle is the usual one
_STALE_STEPS, _LOST_STEPS = 2.5, 6.5  # usual steps without a measurement that are no loss yet


class ScaleFilter:
    """Level and slope over time. The slope may be out of sight of a source."""

    def __init__(self, *, is_metric: bool, sees_slope: bool, y_is_depth: bool) -> None:
        self._is_metric, self.sees_slope = is_metric, sees_slope
        self._y_is_depth = y_is_depth
        self._leap = _LEAP if sees_slope else _LEAP_OF_A_PLANE
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._scale_shift: ScaleShift | None = IDENTITY if self._is_metric else None
        self._pivot: Pivot | None = None
        self._mean = np.zeros(2)
        self._covariance = np.diag((_FIRST_LEVEL_SIGMA**2, 0.0))
        self._drift = _FIRST_DRIFT_OF_SLOPE if self.sees_slope else _FIRST_DRIFT
        self._jumped: deque[Fit] = deque(maxlen=_FARTHER_FRAMES)
        self._stamp_ns: int | None = None
        self._steps_s: deque[float] = deque(maxlen=_STEPS)
        self._verdicts: deque[int] = deque(maxlen=_WINDOW)
        self._spreads: deque[float] = deque(maxlen=_WINDOW)
        self._is_trusted = False
        self._is_lost = False
        self._are_hidden = False  # most points of the last measurement
        self._is_unsure = False  # it came back farther than it was lost, and nothing confirms it
        self._accepted_ns: int | None = None
        self.inliers = 0
        self.last_reject = ""

    @property
    def scale_shift(self) -> ScaleShift | None:
        """What is believed now; None before the first measurement of no metric model."""
        return self._scale_shift

    @property
    def belief(self) -> Belief | None:
        """What a measurement is held against; None = nothing."""
        if self._scale_shift is None:
            return None
        return Belief(
            law=self._scale_shift,
            sigma=float(np.sqrt(self._covariance[0, 0])),
            spread=self._usual_spread() if self._is_trusted else np.nan,
        )

    def _usual_spread(self) -> float:
        return float(np.median(self._spreads)) if self._spreads else np.inf

    @property
    def sigma_rel(self) -> float:
        """Relative deviation of the scale in the middle of the frame, Inf = nothing measured."""
        if self._accepted_ns is None:
            return np.inf
        return max(float(np.sqrt(self._covariance[0, 0])), _MIN_SIGMA)

    @property
    def level(self) -> float:
        """Log y in the middle of the frame."""
        return float(self._mean[0])

    def age_s(self, stamp_ns: int) -> float:
        """Return the time since the last accepted measurement, Inf = there was none."""
        return np.inf if self._accepted_ns is None else (stamp_ns - self._accepted_ns) * 1e-9

    def state(self, stamp_ns: int, config: ScaleConfig) -> str:
        """Return the state, see `ScaleStatus`; the metres of `converging` are not to be given."""
        self.expire(stamp_ns, config)
        sigma, age_s = self.sigma_rel, self.age_s(stamp_ns)
        accepted = [count for count in self._verdicts if count]
        share = len(accepted) / max(len(self._verdicts), 1)
        if (
            len(accepted) >= _MIN_ACCEPTED
            and sum(accepted) >= _MIN_INLIERS
            and share >= _MIN_SHARE
            and sigma <= config.lost_sigma
        ):
            self._is_trusted, self._is_lost = True, False
        if self._is_lost or (self._is_trusted and sigma > config.lost_sigma):
            return "lost"
        if not self._is_trusted:
            return "uninitialised" if self._accepted_ns is None else "converging"
        if (
            sigma > config.valid_sigma
            or age_s > self._limit_s(config.stale_s, _STALE_STEPS)
            or share < _KEPT_SHARE
            or self._are_hidden
            or self._is_unsure
        ):
            return "degraded"
        return "valid"

    def expire(self, stamp_ns: int, config: ScaleConfig) -> None:
        """Lose trust once the last measurement is too old; it has to be earned again."""
        if self._accepted_ns is not None and self.age_s(stamp_ns) > self._limit_s(
            config.lost_s, _LOST_STEPS
        ):
            self._is_lost |= self._is_trusted
            self._is_trusted = False
            self._verdicts.clear()

    def _limit_s(self, limit_s: float, steps: float) -> float:
        """Return an age, or as many frames as a slow network needs to be asked that often."""
        return max(limit_s, steps * float(np.median(self._steps_s)) if self._steps_s else 0.0)

    def predict(self, pivot: Pivot, stamp_ns: int) -> None:
        """Carry the belief on to the frame with this pivot."""
        self._move_to(pivot)
        if self._stamp_ns is not None:
            step_s = min((stamp_ns - self._stamp_ns) * 1e-9, _LONGEST_STEP_S)
            self._steps_s.append(max(step_s, 0.0))
            noise = self._drift**2 * max(step_s, 0.0)
            slope = max(self._mean[1], 0.3) if self.sees_slope else 0.0
            self._covariance += np.diag((noise, noise * slope**2))
        self._stamp_ns = stamp_ns

    def correct(self, fit: Fit | Rejection, stamp_ns: int) -> None:
        """Take in what was measured at the pivot of the last `predict`."""
        if isinstance(fit, Rejection):
            self.last_reject = fit.reason
            if fit.is_doubt:
                self._verdicts.append(0)
            return
        is_first = self._accepted_ns is None
        if self._scale_shift is None:
            self._start(fit)
        elif not self._fuse(fit, is_first=is_first):
            self._verdicts.append(0)
            return
        self._jumped.clear()
        self._spreads.append(min(fit.spread, _SPREAD_GROWTH * self._usual_spread()))
        self._are_hidden = fit.hidden > _MOST_HIDDEN * (fit.hidden + fit.inliers)
        if self._are_hidden:
            self.last_reject = f"{fit.hidden} points lie behind what is seen"
        self._verdicts.append(0 if self._are_hidden else fit.inliers)
        self._accepted_ns = stamp_ns
        self.inliers = fit.inliers

    def _start(self, fit: Fit) -> None:
        self._mean = np.array((fit.level, fit.slope if self.sees_slope else self._mean[1]))
        self._covariance = fit.covariance.copy()
        if not fit.slope_seen:
            self._covariance[:, 1] = self._covariance[1, :] = 0.0
        self._update_law()

    def _fuse(self, fit: Fit, *, is_first: bool) -> bool:
        """Update the belief; return False if the fit contradicts it."""
        rows = 2 if fit.slope_seen and self.sees_slope else 1
        innovation = np.array((fit.level, fit.slope))[:rows] - self._mean[:rows]
        expected = self._covariance[:rows, :rows] + fit.covariance[:rows, :rows]
        surprise = float(innovation @ np.linalg.solve(expected, innovation))
        farther = innovation[0] if self._y_is_depth else -innovation[0]
        is_leap = not is_first and farther > self._leap
        limit = _GATE if rows == 2 else _GATE_LEVEL
        if surprise > limit or (is_leap and self._is_trusted):
            return self._jump(fit, surprise, farther=farther)
        if is_leap or fit.follows:
            self._is_unsure = is_leap and not fit.follows
        if not is_first:
            # the drift that explains the innovations: their mean surprise is then 1
            ratio = min(float(innovation[0] ** 2 / expected[0, 0]), 9.0)
            self._drift = float(np.clip(self._drift * np.exp(_DRIFT_GAIN * (ratio - 1.0)), *_DRIFT))
        gain = self._covariance[:, :rows] @ np.linalg.inv(expected)
        self._mean = self._mean + gain @ innovation
        self._covariance = self._covariance - gain @ self._covariance[:rows, :]
        self._covariance = 0.5 * (self._covariance + self._covariance.T)
        self._update_law()
        return True

    def _jump(self, fit: Fit, surprise: float, *, farther: float) -> bool:
        """Start over from a level that several fits in a row agree on.

        A leap farther is not believed of points that do not follow the network: they may all
        be hidden behind what it sees. Only a scale that is lost may come back so, in doubt.
        """
        self.last_reject = (
            f"contradicts the scale so far: {np.sqrt(surprise):.1f} deviations, "
            f"factor {np.exp(fit.level - self._mean[0]):.2f}"
        )
        is_leap = farther > self._leap and not fit.follows
        if is_leap and self._is_trusted:
            self._jumped.clear()
            return False
        self._jumped.append(fit)
        recent = list(self._jumped)[-(_FARTHER_FRAMES if farther > 0.0 else _JUMP_FRAMES) :]
        levels = np.array([other.level for other in recent])
        noise = np.sqrt([other.covariance[0, 0] for other in recent])
        agree = bool((np.abs(levels - np.median(levels)) < 3.0 * noise + 0.05).all())
        if len(recent) < (_FARTHER_FRAMES if farther > 0.0 else _JUMP_FRAMES) or not agree:
            return False
        self._is_unsure = is_leap
        self._start(fit)
        return True

    def _move_to(self, pivot: Pivot) -> None:
        """Express the belief at another pivot."""
        last, self._pivot = self._pivot, pivot
        if self._scale_shift is None:
            return
        y = self._scale_shift.gain * pivot.middle + self._scale_shift.shift
        if last is None or y <= 0.0:
            # nothing was measured yet, or it does not reach this frame: only its level counts
            level = np.log(pivot.middle) if last is None else self._mean[0]
            slope = pivot.width / pivot.middle if self._is_metric else self._mean[1]
            self._mean = np.array((level, slope))
            sigma = _FIRST_SLOPE_SIGMA * slope if self.sees_slope else 0.0
            self._covariance = np.diag((_FIRST_LEVEL_SIGMA**2, sigma**2))
        elif self.sees_slope:
            y_last = self._scale_shift.gain * last.middle + self._scale_shift.shift
            turn = _jacobian(self._scale_shift, pivot, y) @ np.linalg.inv(
                _jacobian(self._scale_shift, last, y_last)
            )
            self._covariance = turn @ self._covariance @ turn.T
            self._mean = np.array(pivot.state_of(self._scale_shift))
            limit = (2.0 * _FIRST_SLOPE_SIGMA * max(self._mean[1], 0.3)) ** 2
            if self._covariance[1, 1] > limit:
                shrink = np.diag((1.0, np.sqrt(limit / self._covariance[1, 1])))
                self._covariance = shrink @ self._covariance @ shrink
        else:
            self._mean = np.array(pivot.state_of(self._scale_shift))
        self._update_law()

    def _update_law(self) -> None:
        if self._pivot is None:
            return
        if self.sees_slope:
            self._mean[1] = np.clip(self._mean[1], MIN_SLOPE, self._pivot.steepest())
        self._scale_shift = self._pivot.scale_shift_of(float(self._mean[0]), float(self._mean[1]))


def _jacobian(scale_shift: ScaleShift, pivot: Pivot, y: float) -> Floats:
    """Return the (2, 2) derivative of level and slope by gain and shift."""
    return np.array(
        (
            (pivot.middle / y, 1.0 / y),
            (pivot.width * scale_shift.shift / y**2, -scale_shift.gain * pivot.width / y**2),
        )
    )

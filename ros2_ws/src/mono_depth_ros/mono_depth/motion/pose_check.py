"""Whether the step that odometry tells is the one that the image shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mono_depth.camera.poses import Pose, rotation_vector
from mono_depth.motion.ego_motion import EgoMotion, EgoMotionEstimator, StepLength, Tracks

_WORSE = 1.5  # times farther than with the image's own motion the tracks lie from their places,
_WORSE_PX = 0.1  # and this much,
_WORSE_SHARE = 0.12  # and this share of their way farther: then the motion is another one
_AFTERWARDS = 0.5  # of what is above, after it was
_MAX_UNIT_FACTOR = 3.0  # how much the unit of depth may seem to change from frame to frame,
_MAX_FACTOR = 8.0  # and be off as long as it is not known
_SIGMAS = 3.0
_STEP_NOISE_M = 0.0007  # of odometry that is right,
_LEVER_M = 0.02  # and times the turn: so well is the place of the camera on the body known
_MEMORY = 0.9  # of the factor, from frame to frame
_MIN_INLIERS = 0.6  # of the image's own motion, to be a witness
_DOUBT_FRAMES = 5  # that must fit again

DOES_NOT_FIT = "the odometry does not fit the image"


@dataclass(frozen=True, kw_only=True)
class PoseVerdict:
    """What the tracks say about a step of odometry."""

    fits: bool | None  # None = cannot tell
    reason: str  # "" = it fits
    own: EgoMotion | None  # what the image shows, None = not asked, or nothing rigid
    step: StepLength | None  # how long the step is in the unit of depth


class PoseCheck:
    """Compares steps of odometry with tracks. One wrong step makes it careful for a while."""

    def __init__(self, estimator: EgoMotionEstimator) -> None:
        self._estimator = estimator
        self._doubt = 0  # frames that must fit before odometry is believed again
        self._precision = self._pull = 0.0  # of the factor over the last frames

    def judge(self, T_last_now: Pose, tracks: Tracks, unit: float | None) -> PoseVerdict:
        """Return whether a step of odometry explains the tracks about as well as any motion.

        Depth may be in another unit than odometry, and odometry may turn a little wrong: both are
        fitted first. What is left must not be much larger than after a fit of all of the motion.
        A step of which the image shows next to nothing, or the opposite, fits its epipolar lines
        and still is wrong: its length in the unit of depth tells.

        Args:
            T_last_now: turns points of this camera into the last one's, by odometry.
            tracks: from the last frame to this one.
            unit: the factor from odometry's metres to the unit of depth, None = not known yet.
        """
        step = self._estimator.step_length_of(T_last_now, tracks, low=-100.0, high=100.0)
        if step is None:
            return PoseVerdict(fits=None, reason="too few corners", own=None, step=None)
        own = self._estimator.motion_of(tracks)
        if own is None or own.inliers < _MIN_INLIERS:
            reason = "no rigid motion of the camera explains the image"
            return PoseVerdict(fits=None, reason=reason, own=None, step=step)
        low, high = 1.0 / _MAX_FACTOR, _MAX_FACTOR
        if unit is not None:
            low, high = unit / _MAX_UNIT_FACTOR, unit * _MAX_UNIT_FACTOR
        step_m = float(np.linalg.norm(T_last_now[:3, 3]))
        turn_rad = float(np.linalg.norm(rotation_vector(T_last_now[:3, :3])))
        noise_m = _STEP_NOISE_M + _LEVER_M * turn_rad
        noise = (unit or 1.0) * noise_m / max(step_m, 1e-9)
        sigma = math.hypot(step.sigma, noise)
        is_wrong = _is_outside(step.factor, sigma, low, high) or _is_outside(
            *self._averaged(step.factor, sigma), low, high
        )
        if not is_wrong:
            bounded = step
            if not low <= step.factor <= high:
                within = self._estimator.step_length_of(T_last_now, tracks, low=low, high=high)
                bounded = within or step
            allowed_px = (_WORSE - 1.0) * own.misfit_px + _WORSE_PX
            allowed_px += _WORSE_SHARE * self._estimator.flow_px(tracks)
            patience = _AFTERWARDS if self._doubt else 1.0
            is_wrong = bounded.misfit_px - own.misfit_px > patience * allowed_px
        self._doubt = _DOUBT_FRAMES if is_wrong else max(0, self._doubt - 1)
        if is_wrong or self._doubt:
            return PoseVerdict(fits=False, reason=DOES_NOT_FIT, own=own, step=step)
        return PoseVerdict(fits=True, reason="", own=own, step=step)

    def _averaged(self, factor: float, sigma: float) -> tuple[float, float]:
        """Return the factor over some frames, and its deviation: slow wheels spin, too."""
        self._precision = _MEMORY * self._precision + sigma**-2
        self._pull = _MEMORY * self._pull + factor * sigma**-2
        return self._pull / self._precision, self._precision**-0.5


def _is_outside(factor: float, sigma: float, low: float, high: float) -> bool:
    return factor + _SIGMAS * sigma < low or factor - _SIGMAS * sigma > high

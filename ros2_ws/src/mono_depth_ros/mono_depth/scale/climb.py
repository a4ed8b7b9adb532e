"""Whether a height that is said to be constant is: drones and lifts change it."""

from __future__ import annotations

import math

from mono_depth.scale.fit import Fit, Rejection
from mono_depth.scale.scale_shift import Floats

_LEAST_RISE = 0.05  # log height
_AGREES = 0.5  # of the rise: the ground has moved away by as much as odometry has risen
_AT_REST = 0.02  # log height
_FOLLOW = 0.1  # per frame, of how far the ground is in the network's metres


class Climb:
    """Compares how the camera rises by odometry with how far the ground is by the network.

    On a ramp the camera rises and the ground does not move away; where a network's scale changes
    the ground moves and the camera does not rise.
    """

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None  # height in odom, log distance by network

    def check(
        self, fit: Fit, *, middle: float, height_m: float, T_odom_camera: Floats | None
    ) -> Fit | Rejection:
        """Return the fit to the ground, or that the height cannot be the one it was made with.

        Args:
            fit: of a plane, made with `height_m`.
            middle: x of its pivot.
            height_m: that is said to be constant.
            T_odom_camera: (4, 4), z of odom is up (REP 103); None = not known, nothing is checked.
        """
        if T_odom_camera is None:
            self._start = None
            return fit
        z_m = float(T_odom_camera[2, 3])
        away = fit.level + math.log(height_m / middle)
        if self._start is None:
            self._start = z_m, away
            return fit
        start_m, start_away = self._start
        rise = math.log(max(height_m + z_m - start_m, 0.01 * height_m) / height_m)
        if abs(rise) < _AT_REST:
            self._start = start_m, start_away + _FOLLOW * (away - start_away)
        if abs(rise) < _LEAST_RISE or abs(away - start_away - rise) > _AGREES * abs(rise):
            return fit
        return Rejection(
            reason=f"by odometry the camera is {z_m - start_m:+.2f} m higher, and the ground "
            f"as much farther: its height of {height_m:g} m is not constant"
        )

"""How inverse depth without unit changes while the camera moves forward, seen in the flow.

A static point at depth Z comes nearer by the forward motion t_z: its inverse depth grows by the
fraction t_z / Z. Memory carried along by flow alone lacks that growth and reports every obstacle
too far. A relative model gives r with 1 / Z = a r + b; the part of the flow that expands is
t_z / Z = (a t_z) r + (b t_z), so the flow tells the growth although neither a, b nor t_z is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.data import Intrinsics
from mono_depth.temporal.scale_shift import Values

_ITERATIONS = 5
_MIN_SPREAD_PX = 0.2  # of the residuals: what dense flow can resolve
_MAX_RATE = 0.05  # of the middle of the image, from one frame to the next
_MAX_GROWTH = 0.3  # of any pixel

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ForwardMotion:
    """The growth of inverse depth from one frame to the next.

    With g = rate * (r + offset) = t_z / Z a value r grows by g / (1 - g) * (r + offset).
    """

    rate: float
    offset: float  # value r + offset is proportional to inverse depth

    def of(self, value: Values) -> Values:
        """Return the values after the motion."""
        beyond = value + self.offset
        share = (beyond * self.rate).clip(-_MAX_GROWTH, _MAX_GROWTH)
        return value + share / (1.0 - share) * beyond


STILL = ForwardMotion(rate=0.0, offset=0.0)


def forward_motion_of(
    value: Array, ray: tuple[Array, Array], flow_px: tuple[Array, Array], camera: Intrinsics
) -> ForwardMotion:
    """Fit the forward motion that explains the flow of static points.

    Least squares with robust weights in turn rate, translation times a and forward motion times
    b; sideways motion times b is left out, for it looks like a turn.

    Args:
        value: (N,) inverse depth without unit in the last frame.
        ray: (N,) x / z and (N,) y / z of the pixels of the present frame.
        flow_px: (N,) dx and (N,) dy to the last frame.
        camera: of the pixels.

    Source: Longuet-Higgins and Prazdny, The interpretation of a moving retinal image, 1980.
    """
    (x, y), zero, one = ray, np.zeros_like(value), np.ones_like(value)
    by_column = (-x * y, one + x * x, -y, value, zero, -x * value, -x)
    by_row = (-one - y * y, x * y, x, zero, value, -y * value, -y)
    unit = float(np.median(np.abs(value))) or 1.0  # keeps the equations well scaled
    columns = np.array([1.0, 1.0, 1.0, unit, unit, unit, 1.0])
    system = np.concatenate((np.stack(by_column, 1), np.stack(by_row, 1))) / columns
    flow = np.concatenate((flow_px[0] / camera.fx, flow_px[1] / camera.fy))
    weight, motion = np.ones(2 * len(value)), np.zeros(7)
    for _ in range(_ITERATIONS):
        weighted = system * weight[:, None]
        normal = weighted.T @ system + 1e-9 * np.eye(7)
        motion = np.linalg.solve(normal, weighted.T @ flow)
        miss = (system @ motion - flow).reshape(2, -1)
        length = np.hypot(miss[0], miss[1])
        spread = max(1.26 * float(np.median(length)), _MIN_SPREAD_PX / camera.fx)
        once = 1.0 / (1.0 + (length / (2.0 * spread)) ** 2) ** 2  # Geman-McClure
        weight = np.concatenate((once, once))
    return _bounded(value, float(motion[5]) / unit, float(motion[6]))


def _bounded(value: Array, scaled: float, shifted: float) -> ForwardMotion:
    """Return the forward motion of t_z / Z = scaled * value + shifted, within what can be."""
    least, middle = (float(q) for q in np.quantile(value, (0.02, 0.5)))
    rate = scaled * middle + shifted
    if scaled * rate > 0.0:
        # Nothing is beyond infinity: r + offset is positive. Nor is b a stronger cue than r.
        offset = min(max(shifted / scaled, -least), abs(middle))
    else:
        offset = -0.5 * least
    beyond = middle + offset
    if not np.isfinite(rate) or beyond <= 0.0:
        return STILL
    return ForwardMotion(rate=min(max(rate, -_MAX_RATE), _MAX_RATE) / beyond, offset=offset)

"""Which way is down, from an accelerometer and a gyroscope."""

from __future__ import annotations

import bisect
import math
import threading
from collections import deque

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import rotation

Vector = npt.NDArray[np.float64]  # (3,)

STANDARD_GRAVITY_MPS2 = 9.80665
_MAX_EXCESS = 0.05  # of gravity: an acceleration of another size is not gravity alone
_MAX_TURN_RADPS = 0.5  # a faster turn adds centripetal acceleration
_IMPOSSIBLE_TURN_RADPS = 1000.0  # no gyroscope measures a tenth of it
_TIME_CONSTANT_S = 0.5  # over which accelerations are averaged
_SETTLED_S = 0.1  # of gravity alone, before the first answer
_HELD_S = 3.0  # without gravity alone, until there is no answer
_MAX_GAP_S = 0.25  # between two samples
_KEPT = 2000
_REACH_NS = 100_000_000  # an answer is given up to this far from a sample


class DirectionBuffer:
    """Keeps the directions of the last seconds. Safe to fill and to ask from different threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, Vector | None]] = deque(maxlen=_KEPT)

    def add(self, stamp_ns: int, direction: Vector | None) -> None:
        """Take in a direction, None = it is not known; a clock that is set back starts over."""
        with self._lock:
            if self._kept and stamp_ns <= self._kept[-1][0]:
                self._kept.clear()
            self._kept.append((stamp_ns, direction))

    def at(self, stamp_ns: int) -> Vector | None:
        """Return the direction nearest to a stamp, None where it is unknown."""
        nearest = self._nearest(stamp_ns)
        return None if nearest is None else nearest[1]

    def reaches(self, stamp_ns: int) -> bool:
        """Tell whether anything was taken in near a stamp."""
        return self._nearest(stamp_ns) is not None

    def _nearest(self, stamp_ns: int) -> tuple[int, Vector | None] | None:
        with self._lock:
            kept = list(self._kept)
        after = bisect.bisect_left(kept, stamp_ns, key=lambda item: item[0])
        near = kept[max(0, after - 1) : after + 1]
        found = min(near, key=lambda item: abs(item[0] - stamp_ns), default=None)
        return found if found and abs(found[0] - stamp_ns) <= _REACH_NS else None


class GravityFilter:
    """Follows the direction of gravity in the frame of an IMU.

    The gyroscope turns the last direction, the accelerometer corrects it while it feels nothing
    but gravity.

    Source: complementary filter on a vector, Mahony, Hamel and Pflimlin, IEEE TAC 53(5), 2008.
    """

    def __init__(self) -> None:
        self.directions = DirectionBuffer()  # (3,) unit vectors of gravity by stamp
        self.force_mps2 = math.nan  # size of the newest acceleration
        self._last_ns: int | None = None
        self._restart()

    def add(self, stamp_ns: int, force_mps2: Vector, turn_radps: Vector | None) -> None:
        """Take in one sample; one that is not newer than the last, or no number, is left out.

        Args:
            stamp_ns: of the sample.
            force_mps2: (3,) what an accelerometer feels: at rest 9.81 m/s^2 upwards.
            turn_radps: (3,) angular velocity, None = there is no gyroscope.
        """
        step_s = self._step_s(stamp_ns)
        if step_s is None or not np.isfinite(force_mps2).all():
            return
        # Not "any above": that would let NaN pass.
        if turn_radps is None or not (np.abs(turn_radps) < _IMPOSSIBLE_TURN_RADPS).all():
            turn_radps = np.zeros(3)
        self._last_ns = stamp_ns
        self._turn(turn_radps * step_s)
        self._correct(force_mps2, turn_radps, step_s)
        is_known = self._settled_s >= _SETTLED_S and self._unfelt_s <= _HELD_S
        self.directions.add(stamp_ns, self._down if is_known else None)

    def _restart(self) -> None:
        self._down: Vector | None = None
        self._settled_s = self._unfelt_s = 0.0

    def _step_s(self, stamp_ns: int) -> float | None:
        """Return the time since the last sample; None for one that comes late."""
        if self._last_ns is None:
            return 0.0
        step_s = (stamp_ns - self._last_ns) * 1e-9
        if -_MAX_GAP_S < step_s <= 0.0:
            return None
        if not 0.0 < step_s <= _MAX_GAP_S:
            self._restart()
            return 0.0
        return step_s

    def _turn(self, angle: Vector) -> None:
        if self._down is not None and angle.any():
            self._down = rotation(-angle) @ self._down

    def _correct(self, force_mps2: Vector, turn_radps: Vector, step_s: float) -> None:
        size = self.force_mps2 = math.sqrt(float(force_mps2 @ force_mps2))
        excess = abs(size / STANDARD_GRAVITY_MPS2 - 1.0)
        if excess > _MAX_EXCESS or float(turn_radps @ turn_radps) > _MAX_TURN_RADPS**2:
            self._unfelt_s += step_s
            return
        felt = force_mps2 / -size
        self._settled_s += step_s
        self._unfelt_s = 0.0
        if self._down is None:
            self._down = felt
            return
        gain = step_s / (min(_TIME_CONSTANT_S, self._settled_s) + step_s)
        moved = self._down + gain * (felt - self._down)
        self._down = moved / max(math.sqrt(float(moved @ moved)), 1e-9)

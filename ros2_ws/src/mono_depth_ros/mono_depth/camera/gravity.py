"""Which way is down, from an accelerometer and a gyroscope."""

from __future__ import annotations

import bisect
import math
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mono_depth.camera.poses import rotation
from mono_depth.stream.clock_watch import ClockChange, ClockWatch, Step
from mono_depth.stream.timeline import Timeline

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
        self._line: Timeline[Vector | None] = Timeline(max_items=_KEPT)

    def add(self, stamp_ns: int, direction: Vector | None) -> None:
        """Take in a direction, None = it is not known; a late one is left out."""
        with self._lock:
            self._line.add(stamp_ns, direction)

    def follow(self, change: ClockChange) -> bool:
        """Do as another input that shows a jump of the clock. Returns whether it changed this."""
        with self._lock:
            return self._line.follow(change)

    def at(self, stamp_ns: int) -> Vector | None:
        """Return the direction nearest to a stamp, None where it is unknown."""
        nearest = self._nearest(stamp_ns)
        return None if nearest is None else nearest[1]

    def reaches(self, stamp_ns: int) -> bool:
        """Tell whether anything was taken in near a stamp."""
        return self._nearest(stamp_ns) is not None

    def _nearest(self, stamp_ns: int) -> tuple[int, Vector | None] | None:
        with self._lock:
            kept = list(self._line.items)
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
        self._watch = ClockWatch()
        self._now = self._before = _Belief()  # the one before a jump of the clock

    def add(self, stamp_ns: int, force_mps2: Vector, turn_radps: Vector | None) -> None:
        """Take in one sample; one that is not newer than the last, or no number, is left out.

        Args:
            stamp_ns: of the sample.
            force_mps2: (3,) what an accelerometer feels: at rest 9.81 m/s^2 upwards.
            turn_radps: (3,) angular velocity, None = there is no gyroscope.
        """
        if not np.isfinite(force_mps2).all():
            return
        step_s = self._step_s(stamp_ns)
        if step_s is None:
            return
        # Not "any above": that would let NaN pass.
        if turn_radps is None or not (np.abs(turn_radps) < _IMPOSSIBLE_TURN_RADPS).all():
            turn_radps = np.zeros(3)
        belief = self._now
        belief.last_ns = stamp_ns
        belief.turn(turn_radps * step_s)
        self.force_mps2 = belief.correct(force_mps2, turn_radps, step_s)
        self.directions.add(stamp_ns, belief.down if belief.is_certain else None)

    def follow(self, change: ClockChange) -> None:
        """Do as another input that shows a jump of the clock."""
        if not self.directions.follow(change):
            return
        self._watch.forget()
        self._swap(is_return=change.is_return)

    def _swap(self, *, is_return: bool) -> None:
        if is_return:
            self._now = self._before
        else:
            self._now, self._before = _Belief(), self._now

    def _step_s(self, stamp_ns: int) -> float | None:
        """Return the time since the last sample; None for one that comes late."""
        step = self._watch.judge(stamp_ns)
        if step is Step.LATE:
            return None
        if step in (Step.JUMP, Step.RETURN):
            self._swap(is_return=step is Step.RETURN)
        last_ns = self._now.last_ns
        if last_ns is None:
            return 0.0
        step_s = (stamp_ns - last_ns) * 1e-9
        if not 0.0 < step_s <= _MAX_GAP_S:
            self._now = _Belief()
            return 0.0
        return step_s


@dataclass
class _Belief:
    """What is believed of gravity, on one clock."""

    down: Vector | None = None
    settled_s: float = 0.0
    unfelt_s: float = 0.0
    last_ns: int | None = None

    @property
    def is_certain(self) -> bool:
        """Whether gravity was felt long enough, and not too long ago."""
        return self.settled_s >= _SETTLED_S and self.unfelt_s <= _HELD_S

    def turn(self, angle: Vector) -> None:
        """Turn with the gyroscope."""
        if self.down is not None and angle.any():
            self.down = rotation(-angle) @ self.down

    def correct(self, force_mps2: Vector, turn_radps: Vector, step_s: float) -> float:
        """Take in what the accelerometer feels; return its size [m/s^2]."""
        size = math.sqrt(float(force_mps2 @ force_mps2))
        excess = abs(size / STANDARD_GRAVITY_MPS2 - 1.0)
        if excess > _MAX_EXCESS or float(turn_radps @ turn_radps) > _MAX_TURN_RADPS**2:
            self.unfelt_s += step_s
            return size
        felt = force_mps2 / -size
        self.settled_s += step_s
        self.unfelt_s = 0.0
        if self.down is None:
            self.down = felt
            return size
        gain = step_s / (min(_TIME_CONSTANT_S, self.settled_s) + step_s)
        moved = self.down + gain * (felt - self.down)
        self.down = moved / max(math.sqrt(float(moved @ moved)), 1e-9)
        return size

"""The faults of a soak, one after the other in a fixed order, by the time since its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# What the camera does to its own messages, and what is done to the node from outside.
CAMERA_FAULTS = ("clock jump", "odometry lost", "camera restart", "points lost")
NODE_FAULTS = ("parameter change", "model swap")
FAULTS = (*CAMERA_FAULTS, *NODE_FAULTS)

JUMP_S = 5.0
_LASTS = {"odometry lost": 0.25, "camera restart": 0.06, "points lost": 0.4}  # of the period


class FaultTime(NamedTuple):
    """When a fault begins, and which one."""

    begin_s: float
    fault: str


@dataclass(frozen=True, kw_only=True)
class FaultSchedule:
    """A fault every `period_s`, the first after one period."""

    period_s: float

    def begun(self, time_s: float) -> list[FaultTime]:
        """Return the faults that have begun by a time since the start [s]."""
        count = max(0, int(time_s / self.period_s))
        return [
            FaultTime((index + 1) * self.period_s, FAULTS[index % len(FAULTS)])
            for index in range(count)
        ]

    def is_on(self, fault: str, time_s: float) -> bool:
        """Tell whether a fault that lasts is on at a time since the start [s]."""
        begun = self.begun(time_s)
        if not begun or begun[-1].fault != fault:
            return False
        return time_s - begun[-1].begin_s < _LASTS[fault] * self.period_s

    def clock_offset_s(self, time_s: float) -> float:
        """Return by how much stamps are off: the clock is set back, then forward again."""
        jumps = sum(item.fault == "clock jump" for item in self.begun(time_s))
        return -JUMP_S if jumps % 2 else 0.0

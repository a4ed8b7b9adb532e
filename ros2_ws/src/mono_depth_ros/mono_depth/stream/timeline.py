"""Keeps stamped items of one clock, and begins anew when that clock is set anew."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from mono_depth.stream.clock_watch import ClockChange, ClockWatch, Step

Item = TypeVar("Item")
Stamped = tuple[int, Item]

_TOGETHER_S = 2.0  # inputs show one jump within this time
_LEAD_NS = 200_000_000  # an input is ahead of the images by at most this
_REJOIN_NS = 2_000_000_000  # items that go on from what was set aside lie within this


class Timeline(Generic[Item]):
    """Items by rising stamp. Not thread-safe: its owner locks.

    At a jump of the clock what was kept is set aside, so that nothing finds it, and comes back if
    the jump turns out to be a single wrong stamp.

    Args:
        keep_s: how far back from the newest items are kept.
        max_items: how many are kept; None = any number.
        goes_on: tells whether the second of two items in a row can follow the first; None =
            always. Where it cannot, the items jumped, and the rule is that of the clock.
    """

    def __init__(
        self,
        *,
        keep_s: float = math.inf,
        max_items: int | None = None,
        goes_on: Callable[[Stamped[Item], Stamped[Item]], bool] | None = None,
    ) -> None:
        self.items: deque[Stamped[Item]] = deque(maxlen=max_items)
        self._keep_ns = keep_s * 1e9
        self._goes_on = goes_on
        self._watch = ClockWatch()
        self._aside: deque[Stamped[Item]] | None = None
        self._is_told = False  # it was set aside because another input jumped
        self._began_s = -math.inf

    @property
    def newest_ns(self) -> int | None:
        """The newest stamp, None = there is none."""
        return self.items[-1][0] if self.items else None

    def add(self, stamp_ns: int, item: Item) -> Step:
        """Take in an item; one that is late is left out."""
        step = self._watch.judge(stamp_ns)
        if step is Step.LATE:
            return step
        if step is Step.NEXT and self._goes_on and self.items:
            step = self._jumped_step((stamp_ns, item), self._goes_on)
        if step is Step.JUMP:
            self._set_aside(is_told=False)
        elif step is Step.RETURN:
            self.items, self._aside = self._aside or self.items, None
        elif self._aside is not None and self._is_certain():
            self._aside = None
        if not self.items:
            self._began_s = time.monotonic()
        self.items.append((stamp_ns, item))
        while stamp_ns - self.items[0][0] > self._keep_ns:
            self.items.popleft()
        return step

    def follow(self, change: ClockChange) -> bool:
        """Do as another input that shows a jump of the clock. Returns whether items changed."""
        if change.is_return:
            return self._is_told and self._restore()
        if not self.items or self._is_after(change):
            return False
        stays = []
        if change.to_ns > change.from_ns:  # ahead: what lies there already is of the new clock
            middle_ns = (change.from_ns + change.to_ns) // 2
            stays = [kept for kept in self.items if kept[0] >= middle_ns]
            if len(stays) == len(self.items):
                return False
        self._set_aside(is_told=True)
        self._watch.forget()
        for kept in stays:
            self._watch.judge(kept[0])
            self.items.append(kept)
        self._began_s = time.monotonic()
        return True

    def _jumped_step(
        self, new: Stamped[Item], goes_on: Callable[[Stamped[Item], Stamped[Item]], bool]
    ) -> Step:
        if goes_on(self.items[-1], new):
            return Step.NEXT
        is_one = len(self.items) == 1 and not self._is_told
        if is_one and self._aside and goes_on(self._aside[-1], new):
            return Step.RETURN
        return Step.JUMP

    def _is_certain(self) -> bool:
        """Tell whether what was set aside cannot come back."""
        if self._is_told:
            return time.monotonic() - self._began_s > _TOGETHER_S
        return len(self.items) >= 1

    def _is_after(self, change: ClockChange) -> bool:
        """Tell whether all items are of the clock that was set back just now."""
        is_new = time.monotonic() - self._began_s < _TOGETHER_S
        is_back = change.to_ns < change.from_ns
        return is_new and is_back and self.items[-1][0] <= change.to_ns + _LEAD_NS

    def _set_aside(self, *, is_told: bool) -> None:
        self._aside, self._is_told = self.items, is_told
        self.items = deque(maxlen=self._aside.maxlen)

    def _restore(self) -> bool:
        if self._aside is None:
            return False
        since, self.items, self._aside = self.items, self._aside, None
        self._is_told = False
        self._watch.forget()
        if self.items:
            self._watch.judge(self.items[-1][0])
        for stamp_ns, item in since:
            if not self.items or 0 < stamp_ns - self.items[-1][0] <= _REJOIN_NS:
                self._watch.judge(stamp_ns)
                self.items.append((stamp_ns, item))
        return True

"""Work that waits is done in one go, where it is alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Found = TypeVar("Found")


@dataclass
class _Waiting(Generic[Asked, Found]):
    key: Hashable
    asked: Asked
    found: Found | Exception | None = None


class Together(Generic[Asked, Found]):
    """Gathers what is alike when its turn comes; nothing waits for others to come.

    The first in the queue takes all that it finds along; when the turn of the others comes, their
    result is there. So the order of the queue stays, whatever is alike in it.
    """

    def __init__(
        self, work: Callable[[Sequence[Asked]], Sequence[Found | Exception]], *, most: int
    ) -> None:
        """Do `work` for at most so many at a time; it returns what came of each."""
        self._work, self.most = work, most
        self._waiting: list[_Waiting[Asked, Found]] = []
        self._lock = threading.Lock()

    def add(self, key: Hashable, asked: Asked) -> Callable[[], Found]:
        """Return the work for one, to be called once, on the thread that does all of it.

        Args:
            key: what is alike of all that may be done together.
            asked: what `work` is given.
        """
        item: _Waiting[Asked, Found] = _Waiting(key, asked)
        with self._lock:
            self._waiting.append(item)

        def do() -> Found:
            if item.found is None:
                self._do(self._gathered(item))
            if isinstance(item.found, Exception):
                raise item.found
            if item.found is None:
                raise RuntimeError("work returned nothing")
            return item.found

        return do

    def _gathered(self, first: _Waiting[Asked, Found]) -> list[_Waiting[Asked, Found]]:
        with self._lock:
            alike = [item for item in self._waiting if item.key == first.key and item is not first]
            taken = [first, *alike[: self.most - 1]]
            self._waiting = [item for item in self._waiting if not any(item is t for t in taken)]
        return taken

    def _do(self, taken: Sequence[_Waiting[Asked, Found]]) -> None:
        try:
            found = self._work([item.asked for item in taken])
        except Exception as error:  # noqa: BLE001 - told to each of them
            found = [error] * len(taken)
        for item, result in zip(taken, found, strict=True):
            item.found = result

"""The newest results, for downloads and measurements. In memory: no client names a file."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

from mono_depth.web.api_error import NOT_FOUND, ApiError
from mono_depth.web.estimate import Estimate


class ResultStore:
    """Results by a random name. Safe for use by several threads."""

    def __init__(self, *, most: int, most_bytes: int) -> None:
        """Keep at most so many results, and so many bytes of maps; the newest always."""
        self._most, self._most_bytes = most, most_bytes
        self._results: OrderedDict[str, Estimate] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._results)

    @property
    def nbytes(self) -> int:
        """Memory of the maps of all results."""
        with self._lock:
            return sum(item.nbytes for item in self._results.values())

    def add(self, estimate: Estimate) -> str:
        """Keep a result and return its name, which nobody can guess."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._results[name] = estimate
            used = sum(item.nbytes for item in self._results.values())
            while len(self._results) > 1 and (
                len(self._results) > self._most or used > self._most_bytes
            ):
                used -= self._results.popitem(last=False)[1].nbytes
        return name

    def get(self, name: str) -> Estimate:
        """Return a result.

        Raises:
            ApiError: it is not, or no longer, there.
        """
        with self._lock:
            found = self._results.get(name)
        if found is None:
            raise ApiError(NOT_FOUND, "no such result; old ones are not kept: send the image anew")
        return found

    def remove(self, name: str) -> None:
        """Forget a result.

        Raises:
            ApiError: it is not there.
        """
        with self._lock:
            found = self._results.pop(name, None)
        if found is None:
            raise ApiError(NOT_FOUND, "no such result")

"""A store that remembers what was taken from it, so that it can be thrown away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mono_depth.engines.protocol import EngineKey, EngineStore


class FoundEngines:
    """A store of engines behind another one, for the time of one build."""

    def __init__(self, store: EngineStore) -> None:
        self._store = store
        self._found: list[EngineKey] = []

    def find(self, key: EngineKey) -> Path | None:
        """See `EngineStore.find`."""
        folder = self._store.find(key)
        if folder is not None:
            self._found.append(key)
        return folder

    def shared(self, name: str) -> Path:
        """See `EngineStore.shared`."""
        return self._store.shared(name)

    def put(self, key: EngineKey, write: Callable[[Path], None]) -> Path:
        """See `EngineStore.put`."""
        return self._store.put(key, write)

    def remove(self, key: EngineKey) -> None:
        """See `EngineStore.remove`."""
        self._store.remove(key)

    def discard(self) -> bool:
        """Delete what was taken and can be built again; False where there is nothing.

        An int8 file was made of a user's images: only that user can make it again.
        """
        keys = [key for key in self._found if key.plan.precision != "int8"]
        self._found = []
        for key in keys:
            self._store.remove(key)
        return bool(keys)

"""Which networks a client may choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mono_depth.config import PipelineConfig
from mono_depth.models.loading import usable_files
from mono_depth.models.store.registry import ModelEntry, read_registry
from mono_depth.scale.scale_shift import METRIC_KINDS
from mono_depth.system.resources import weights_dir
from mono_depth.web.api_error import NOT_FOUND, ApiError


class Catalogue:
    """The registry, as a server of one configuration may use it."""

    def __init__(self, config: PipelineConfig) -> None:
        """Read the registry.

        Raises:
            ConfigError: a file of it is wrong.
            ModelError: there is no model of the name that is configured.
        """
        self._registry = read_registry(Path(config.registry) if config.registry else None)
        self._folder = Path(config.weights_dir) if config.weights_dir else weights_dir()
        self._allow_noncommercial = config.allow_noncommercial
        if config.model == "auto":
            usable = usable_files(
                self._registry, self._folder, allow_noncommercial=config.allow_noncommercial
            )
            self.default = next(usable)[0]
        else:
            self.default = self._registry[config.model]

    def entry(self, name: str) -> ModelEntry:
        """Return the entry of a name that a client gave, "" = the default.

        Raises:
            ApiError: there is none that can be used.
        """
        if not name:
            return self.default
        if name in self._registry and self._is_usable(self._registry[name]):
            return self._registry[name]
        usable = ", ".join(item["name"] for item in self.rows() if item["is_installed"])
        raise ApiError(NOT_FOUND, f"no model {name[:60]!r} is installed here; there are {usable}")

    def rows(self) -> list[dict[str, Any]]:
        """Return what a client is told about each model, those that can be used first."""
        rows = [
            {
                "name": entry.name,
                "description": entry.description,
                "licence": entry.licence,
                "commercial": entry.commercial,
                "kind": entry.kind.value,
                "is_metric": entry.kind in METRIC_KINDS,
                "has_input_size": entry.input is not None,
                "speed": entry.speed,
                "is_installed": self._is_usable(entry),
                "is_default": entry.name == self.default.name,
            }
            for entry in self._registry.values()
        ]
        return sorted(rows, key=lambda row: (not row["is_default"], not row["is_installed"]))

    def _is_usable(self, entry: ModelEntry) -> bool:
        is_allowed = entry.commercial is not False or self._allow_noncommercial
        return is_allowed and entry.find_weights(self._folder) is not None

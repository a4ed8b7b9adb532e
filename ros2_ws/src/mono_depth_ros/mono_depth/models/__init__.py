"""Depth networks: one file per family behind the `DepthModel` protocol."""

from __future__ import annotations

from mono_depth.models.loading import load_model
from mono_depth.models.protocol import DepthModel

__all__ = ["DepthModel", "load_model"]

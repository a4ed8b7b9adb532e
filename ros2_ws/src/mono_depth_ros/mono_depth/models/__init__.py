"""Depth networks: one file per family behind the `DepthModel` protocol."""

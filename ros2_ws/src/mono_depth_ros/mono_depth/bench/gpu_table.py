"""The tables of what `tools/gpu_accept.py` measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mono_depth.errors import ConfigError

NOT_MEASURED = "No GPU was measured so far."


def gpu_tables(report: Path) -> str:
    """Return the tables of a `gpu.json` in Markdown; one sentence where the file is missing.

    Raises:
        ConfigError: the file is none of the script's, or of a run without a GPU.
    """
    if not report.exists():
        return NOT_MEASURED
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
        device, steps = str(found["device"]), dict(found["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{report} is no gpu.json of tools/gpu_accept.py: {error}") from error
    if device == "cpu":
        raise ConfigError(f"{report} is of a run with --device cpu, which proves nothing of a GPU")
    parts = [_verdicts(steps)]
    machine = steps.get("environment", {})
    if "device_name" in machine:
        torch = machine.get("versions", {}).get("torch", "?")
        parts.insert(0, f"{machine['device_name']}, torch {torch}.")
    if "rows" in steps.get("frames", {}):
        parts.append(_frames(steps["frames"]["rows"]))
    return "\n\n".join(parts)


def _verdicts(steps: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(name, step["verdict"], f"{step['seconds']:.0f}") for name, step in steps.items()]
    return _table(("step", "verdict", "s"), rows)


def _frames(frames: Iterable[Mapping[str, Any]]) -> str:
    """Return what a frame of 640x480 takes, from the image to depth and cloud on the host."""
    rows = []
    for frame in frames:
        times = [frame[name] for name in ("infer", "beyond_network", "total")]
        cells = [f"{time['p50_ms']:.1f} / {time['p99_ms']:.1f}" for time in times]
        kernels = f"{frame['kernels']}" if "kernels" in frame else ""
        rows.append((f"`{frame['model']}`, {frame['brings'] or 'image'}", *cells, kernels))
    head = ("a frame, p50 / p99 [ms]", "network", "beyond it", "total", "kernels")
    return _table(head, rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["|".join(("", *head, "")), "|".join(("", *("---" for _ in head), ""))]
    return "\n".join([*lines, *("|".join(("", *row, "")) for row in rows)])

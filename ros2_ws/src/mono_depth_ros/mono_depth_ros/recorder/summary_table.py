"""The measurements of a recording as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CHANNELS = (("camera", "camera images"), ("depth", "depth images"), ("points", "point clouds"))


def describe(summary: Mapping[str, Any]) -> str:
    """Return the table of a summary.json."""
    scale = summary["scale"]
    lines = [
        f"model    {summary['model'] or '?'} on {summary['device'] or '?'}",
        f"scale    {_scale(scale)}",
        "",
        f"{'':14}{'frames':>8}{'rate':>10}{'latency p50':>14}{'p99':>10}{'max':>10}",
    ]
    for key, name in _CHANNELS:
        channel = summary[key]
        if channel["frames"]:
            lines.append(
                f"{name:14}{channel['frames']:8d}{_number(channel['rate_hz'], 'Hz'):>10}"
                f"{_number(channel['latency_p50_ms'], 'ms'):>14}"
                f"{_number(channel['latency_p99_ms'], 'ms'):>10}"
                f"{_number(channel['latency_max_ms'], 'ms'):>10}"
            )
    node = summary["node"]
    if "latency_p50_ms" in node:
        p50, p99 = (f"{float(node[f'latency_{key}_ms']):.1f} ms" for key in ("p50", "p99"))
        lines.append(f"{'in the node':14}{'':18}{p50:>14}{p99:>10}")
    lines += [
        "",
        f"dropped  {_count(summary['dropped'])} camera images, a newer one came first",
        f"lost     {_count(summary['lost'])} depth images on the way to the recorder",
    ]
    return "\n".join(lines)


def list_files(folder: Path, names: Mapping[str, str]) -> str:
    """Return the files of `names` that exist, each with its size and what it is."""
    found = [(folder / name, text) for name, text in names.items() if (folder / name).exists()]
    width = max((len(str(path)) for path, _ in found), default=0)
    return "\n".join(f"{path!s:{width}}  {_size(path):>8}  {text}" for path, text in found)


def _scale(scale: Mapping[str, str | None]) -> str:
    if scale["state"] == "valid":
        return f"metres from {scale['source']}"
    if scale["planner_use"] in (None, "none"):
        return f"no metres: {scale['reason'] or 'unknown'}"
    return f"metres from {scale['source']}, {scale['state']}: {scale['reason']}"


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.1f} {unit}"


def _count(value: int | None) -> str:
    return "unknown number of" if value is None else str(value)


def _size(path: Path) -> str:
    if path.is_dir():
        return "folder"
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"

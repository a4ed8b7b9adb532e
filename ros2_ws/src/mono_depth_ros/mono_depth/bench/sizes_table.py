"""The table of input sizes in docs/benchmarks.md, beside the figures of an older node.

The measurement is `sizes.json` of `mono-depth bench models midas_v21_small --size 512x512
--sizes 256,384,512`; the older figures lie in `earlier_node.json` beside it, with their source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mono_depth.errors import ConfigError

Report = Mapping[str, Any]


def markdown(report: Report | None, older: Report) -> str:
    """Return the table.

    Args:
        report: of `mono-depth bench models` with sizes; None = not measured.
        older: `cores`, and `ms` by the side of the input.
    """
    measured = {} if report is None else {_input(model): model for model in report["models"]}
    here = "not measured" if report is None else _machine(report)
    lines = [
        f"| input | older node, {older['cores']} cores | torch fp32 | fastest engine |",
        "|---|---|---|---|",
    ]
    for side, ms in older["ms"].items():
        times = _times(measured.get(f"{side}x{side}"))
        lines.append(f"| {side}x{side} | {ms} ms | {times[0]} | {times[1]} |")
    return "\n".join([*lines, "", f"Measured here: {here}. The older figures: {older['source']}"])


def _input(model: Report) -> str:
    height, width = str(model["network_input"]).split("x")[2:]
    return f"{width}x{height}"


def _times(model: Report | None) -> tuple[str, str]:
    engines = [item for item in (model or {}).get("engines", ()) if "ms" in item]
    torch = [item for item in engines if (item["engine"], item["precision"]) == ("torch", "fp32")]
    if not engines:
        return "not measured", "not measured"
    best = min(engines, key=lambda item: float(item["ms"]))
    named = f"{best['ms']:.0f} ms, {best['engine']} {best['precision']}"
    return (f"{torch[0]['ms']:.0f} ms" if torch else "not measured"), named


def _machine(report: Report) -> str:
    machine = report["hardware"]
    return (
        f"{machine['cpu']}, {report['threads']} threads, load {machine['load_average_1min']:g} "
        "when it began"
    )


def read_sizes(folder: Path) -> tuple[Report | None, Report]:
    """Return the committed measurement, None = not there, and the older figures.

    Raises:
        ConfigError: the older figures are missing.
    """
    older = _read(folder / "earlier_node.json")
    if older is None:
        raise ConfigError(f"no {folder / 'earlier_node.json'}")
    return _read(folder / "sizes.json"), older


def _read(file: Path) -> Any:  # noqa: ANN401
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

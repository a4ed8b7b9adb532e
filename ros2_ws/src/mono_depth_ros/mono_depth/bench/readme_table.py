"""The table of models in the README, from the registry and the committed measurements.

`python -m mono_depth.bench.readme_table` prints it; `--write README.md` puts it between the lines
`<!-- models -->` and `<!-- /models -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mono_depth.data import OutputKind
from mono_depth.errors import ConfigError
from mono_depth.models.store.registry import ModelEntry, read_registry
from mono_depth.system.resources import share_dir

_GIVES = {
    OutputKind.METRIC: "metres",
    OutputKind.METRIC_FOCAL: "metres by the focal length",
    OutputKind.INVERSE_AFFINE: "inverse depth, no scale",
    OutputKind.DEPTH_AFFINE: "depth, no scale",
    OutputKind.COMPLETION: "metres, completes a depth map",
}
_COMMERCIAL = {True: "yes", False: "no", None: "unclear"}
_SECTION = re.compile(r"(<!-- models -->\n).*?(\n<!-- /models -->)", re.DOTALL)
_HEAD = (
    "model",
    "gives",
    "parameters",
    "CPU: torch fp32",
    "CPU: fastest",
    "GPU",
    "published accuracy",
    "licence of the weights",
    "commercial use",
)
_UNKNOWN = "not measured"

Report = Mapping[str, Any]


def markdown(entries: Iterable[ModelEntry], reports: Sequence[Report]) -> str:
    """Return the table and the lines under it.

    Args:
        entries: of the registry.
        reports: of `mono-depth bench models`, any number; the first that has a model counts.
    """
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    lines += ["| " + " | ".join(_cells(entry, reports)) + " |" for entry in entries]
    notes = [_note(report) for report in reports]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _cells(entry: ModelEntry, reports: Sequence[Report]) -> list[str]:
    cpu = _measured(entry.name, reports, on_gpu=False)
    gpu = _measured(entry.name, reports, on_gpu=True)
    score = entry.published
    return [
        f"`{entry.name}`",
        _GIVES[entry.kind],
        "" if entry.parameters_m is None else f"{entry.parameters_m:g} M",
        _time(_of_reference(cpu), named=False),
        _time(min(cpu, key=lambda item: item["ms"], default=None), named=True),
        _time(min(gpu, key=lambda item: item["ms"], default=None), named=True),
        ""
        if score is None
        else f"[{score.metric} {score.value:g}, {score.dataset}]({score.source})",
        entry.licence,
        _COMMERCIAL[entry.commercial],
    ]


def _measured(name: str, reports: Sequence[Report], *, on_gpu: bool) -> list[dict[str, Any]]:
    """Return engines with the time of a frame, of the first report that has them."""
    for report in reports:
        if (report["device"] != "cpu") != on_gpu:
            continue
        for model in report["models"]:
            engines = [item for item in model.get("engines", ()) if "ms" in item]
            if model["name"] == name and engines:
                calls = model["calls_per_frame"]
                return [{**item, "ms": calls * item["ms"]} for item in engines]
    return []


def _of_reference(engines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    named = [item for item in engines if (item["engine"], item["precision"]) == ("torch", "fp32")]
    return named[0] if named else None


def _time(item: Mapping[str, Any] | None, *, named: bool) -> str:
    if item is None:
        return _UNKNOWN
    ms = f"{item['ms']:.2g}" if item["ms"] < 100 else f"{round(item['ms'], -1):.0f}"
    return f"{ms} ms, {item['engine']} {item['precision']}" if named else f"{ms} ms"


def _note(report: Report) -> str:
    machine, (width, height) = report["hardware"], report["image_size"]
    where = machine["gpu"] if report["device"] != "cpu" else machine["cpu"]
    made_up = sum(model.get("weights") == "random" for model in report["models"])
    return (
        f"Median time of the network for a {width}x{height} picture on {where}, "
        f"{report['threads']} CPU threads, load {machine['load_average_1min']:g} when it began "
        f"({made_up} of {len(report['models'])} with random weights, which changes no time)."
    )


def read_reports(folder: Path) -> list[Report]:
    """Return the committed measurements, `models*.json`, by name.

    Raises:
        ConfigError: a file is no report.
    """
    reports: list[Report] = []
    for file in sorted(folder.glob("models*.json")):
        try:
            reports.append(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ConfigError(f"{file} is not JSON: {error}") from error
    return reports


def filled(readme: str, table: str) -> str:
    """Return `readme` with `table` between the markers.

    Raises:
        ConfigError: it has no markers.
    """
    if not _SECTION.search(readme):
        raise ConfigError("no lines <!-- models --> and <!-- /models -->")
    return _SECTION.sub(lambda found: found[1] + table + found[2], readme)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="README", help="fill this file (else print)")
    repository = share_dir().parents[2]
    parser.add_argument("--reports", type=Path, default=repository / "docs" / "benchmarks")
    given = parser.parse_args(arguments)
    table = markdown(read_registry().values(), read_reports(given.reports))
    if given.write is None:
        sys.stdout.write(table + "\n")
    else:
        given.write.write_text(filled(given.write.read_text(encoding="utf-8"), table), "utf-8")


if __name__ == "__main__":
    main()

"""The tables of models in the documents, from the registry and the committed measurements.

The long one, of all models, is in docs/models.md; the short one, of those that most people
choose from, in the README.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mono_depth.data import OutputKind
from mono_depth.errors import ConfigError
from mono_depth.models.store.registry import ModelEntry, PublishedScore, Registry

_GIVES = {
    OutputKind.METRIC: "metres",
    OutputKind.METRIC_FOCAL: "metres by the focal length",
    OutputKind.INVERSE_AFFINE: "inverse depth, no scale",
    OutputKind.DEPTH_AFFINE: "depth, no scale",
    OutputKind.COMPLETION: "metres, completes a depth map",
}
_COMMERCIAL = {True: "yes", False: "no", None: "unclear"}
_UNKNOWN = "not measured"

ALL_COLUMNS = (
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
# The short table has the models that most people choose from, the fastest first.
CHOSEN_COLUMNS = ("model", "what it is", "gives", "CPU: fastest", "licence of the weights")
CHOSEN = (
    "nano",
    "midas_v21_small",
    "depth_anything_v2_small",
    "moge2_small",
    "dpt_hybrid",
    "depth_anything_3_metric_large",
    "zoedepth_nk",
    "lingbot_depth",
)

Report = Mapping[str, Any]


def markdown(
    entries: Iterable[ModelEntry], reports: Sequence[Report], columns: Sequence[str] = ALL_COLUMNS
) -> str:
    """Return the table and the lines under it.

    Args:
        entries: of the registry.
        reports: of `mono-depth bench models`, any number; the first that has a model counts.
        columns: of the table, `ALL_COLUMNS` or `CHOSEN_COLUMNS`.
    """
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for entry in entries:
        cells = _cells(entry, reports)
        lines.append("| " + " | ".join(cells[column] for column in columns) + " |")
    notes = [_note(report) for report in reports]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def chosen_markdown(registry: Registry, reports: Sequence[Report]) -> str:
    """Return the short table, of the models of `CHOSEN`, and the lines under it."""
    return markdown([registry[name] for name in CHOSEN], reports, CHOSEN_COLUMNS)


def _cells(entry: ModelEntry, reports: Sequence[Report]) -> dict[str, str]:
    cpu = _measured(entry.name, reports, on_gpu=False)
    gpu = _measured(entry.name, reports, on_gpu=True)
    return {
        "model": f"`{entry.name}`",
        "what it is": entry.description,
        "gives": _GIVES[entry.kind],
        "parameters": "" if entry.parameters_m is None else f"{entry.parameters_m:g} M",
        "CPU: torch fp32": _time(_of_reference(cpu), named=False),
        "CPU: fastest": _time(min(cpu, key=lambda item: item["ms"], default=None), named=True),
        "GPU": _time(min(gpu, key=lambda item: item["ms"], default=None), named=True),
        "published accuracy": _published(entry.published),
        "licence of the weights": entry.licence,
        "commercial use": _COMMERCIAL[entry.commercial],
    }


def _published(score: PublishedScore | None) -> str:
    if score is None:
        return ""
    return f"[{score.metric} {score.value:g}, {score.dataset}]({score.source})"


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
        f"Median time of the network for a {width}x{height} image on {where}, "
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

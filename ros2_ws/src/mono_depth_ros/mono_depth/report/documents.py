"""The report of a room as JSON and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
from typing import Any

import cv2

from mono_depth.data import RgbImage
from mono_depth.report.figures import Figure
from mono_depth.report.floor_plan import floor_plan
from mono_depth.report.space_report import SpaceReport

_IMAGE_WIDTH_PX = 960
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #111827;
  padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid #e5e7eb } td.n { text-align: right; font-variant-numeric: tabular-nums }
.unseen { color: #6b7280 } img, svg { max-width: 100%; height: auto } .pair { display: grid;
  gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)) }
@media print { body { margin: 0 } }
"""


def as_json(report: SpaceReport, about: dict[str, Any]) -> str:
    """Return figures and what they rest on; `about` tells source and model."""
    table = {
        **about,
        "scale": {
            "source": report.scale_source,
            "factor": report.scale_factor,
            "sigma_rel": report.sigmas.scale_rel,
            "shape_sigma_rel": report.sigmas.shape_rel,
        },
        "views": report.views,
        "confidence": 0.9,
        "figures": [vars(figure) for figure in report.figures],
        "notes": list(report.notes),
    }
    return json.dumps(table, indent=1, allow_nan=False) + "\n"


def as_html(report: SpaceReport, about: dict[str, Any]) -> str:
    """Return a page with the image, the floor plan and a table."""
    rows = "\n".join(_row(figure) for figure in report.figures)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
    title = html.escape(str(about.get("source", "Room")))
    told = ", ".join(f"{html.escape(key)}: {html.escape(str(about[key]))}" for key in about)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><h1>{title}</h1>
<div class="pair"><div><img alt="the room" src="{_data_url(report.view.rgb)}"></div>
<div>{floor_plan(report)}</div></div>
<table><tr><th>What</th><th>Value</th><th>90 % interval</th><th></th></tr>
{rows}</table>
<p>Metres by {html.escape(report.scale_source)}. Nine of ten true values lie within the interval.
What is not seen is not guessed.</p>
<ul>{notes}</ul><p class="unseen">{told}</p></body></html>
"""


def as_text(report: SpaceReport) -> str:
    """Return a table for the terminal."""
    lines = []
    for figure in report.figures:
        lines.append(f"{figure.name:<28} {_value(figure)}")
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)]) + "\n"


def _value(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return figure.reason
    least = "at least " if figure.is_least else ""
    unit = figure.unit.replace("m2", "m²")
    return f"{least}{figure.value:.2f} {unit}  ({figure.low:.2f} to {figure.high:.2f})"


def _row(figure: Figure) -> str:
    name = html.escape(figure.name)
    if figure.value is None or figure.low is None or figure.high is None:
        reason = html.escape(figure.reason)
        return f'<tr class="unseen"><td>{name}</td><td colspan="3">{reason}</td></tr>'
    unit = figure.unit.replace("m2", "m²")
    least = "at least " if figure.is_least else ""
    return (
        f'<tr><td>{name}</td><td class="n">{least}{figure.value:.2f} {unit}</td>'
        f'<td class="n">{figure.low:.2f} to {figure.high:.2f}</td>'
        f"<td>{html.escape(figure.reason)}</td></tr>"
    )


def _data_url(rgb: RgbImage) -> str:
    height, width = rgb.shape[:2]
    factor = min(1.0, _IMAGE_WIDTH_PX / width)
    size = (round(width * factor), round(height * factor))
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), size, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"

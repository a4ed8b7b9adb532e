"""The report of a room as JSON, as text, and as one HTML or PDF file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from typing import Any

import cv2

from mono_depth.data import RgbImage
from mono_depth.report.drawing import Line
from mono_depth.report.figures import Figure
from mono_depth.report.floor_plan import floor_plan
from mono_depth.report.pdf import HEIGHT_PT, WIDTH_PT, PdfPage, pdf_of
from mono_depth.report.space_report import SpaceReport
from mono_depth.report.svg import as_svg

_IMAGE_WIDTH_PX = 960
_MARGIN_PT, _GAP_PT, _ROW_PT = 45.0, 12.0, 17.0
_COLUMNS_PT = (0.0, 200.0, 340.0)  # of the table, from the margin
_LETTERS = 115  # of a line of small text
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
<div>{as_svg(floor_plan(report))}</div></div>
<table><tr><th>What</th><th>Value</th><th>90 % interval</th><th></th></tr>
{rows}</table>
<p>{html.escape(_promise(report))}</p>
<ul>{notes}</ul><p class="unseen">{told}</p></body></html>
"""


def as_pdf(report: SpaceReport, about: dict[str, Any]) -> bytes:
    """Return the same on sheets of A4."""
    sheets = _Sheets()
    title = str(about.get("source", "Room"))
    sheets.text(title[:60], 18.0, is_bold=True)
    jpeg, size = _jpeg(report.view.rgb)
    half = 0.5 * (WIDTH_PT - 2 * _MARGIN_PT - _GAP_PT)
    top = sheets.at
    height = sheets.page.image(jpeg, size, (_MARGIN_PT, top), half)
    sheets.page.drawing(floor_plan(report), (_MARGIN_PT + half + _GAP_PT, top), half)
    sheets.at = top + max(half, height) + 2 * _GAP_PT
    sheets.row(("What", "Value", "90 % interval"), is_bold=True)
    for figure in report.figures:
        sheets.row(_cells(figure))
    sheets.at += _GAP_PT
    told = ", ".join(f"{key}: {about[key]}" for key in about)
    for text in (_promise(report), *report.notes, told):
        for line in textwrap.wrap(text, _LETTERS):
            sheets.text(line, 9.0)
    return pdf_of(sheets.pages, title)


class _Sheets:
    """Pages that are filled from above."""

    def __init__(self) -> None:
        self.page, self.at = PdfPage(), _MARGIN_PT
        self.pages = [self.page]

    def text(self, text: str, size: float, *, is_bold: bool = False) -> None:
        self._go(1.45 * size)
        self.page.text((_MARGIN_PT, self.at - 0.4 * size), text, size, is_bold=is_bold)

    def row(self, cells: tuple[str, str, str], *, is_bold: bool = False) -> None:
        self._go(_ROW_PT)
        for x, cell in zip(_COLUMNS_PT, cells, strict=True):
            self.page.text((_MARGIN_PT + x, self.at - 5.0), cell, 9.5, is_bold=is_bold)
        ends = (_MARGIN_PT, self.at), (WIDTH_PT - _MARGIN_PT, self.at)
        self.page.line(Line(ends=ends, width=0.5, color=(209, 213, 219)))

    def _go(self, height: float) -> None:
        if self.at + height > HEIGHT_PT - _MARGIN_PT:
            self.page, self.at = PdfPage(), _MARGIN_PT
            self.pages.append(self.page)
        self.at += height


def _cells(figure: Figure) -> tuple[str, str, str]:
    if figure.value is None or figure.low is None or figure.high is None:
        return figure.name, figure.reason, ""
    unit, least = _unit(figure), "at least " if figure.is_least else ""
    bounds = f"{figure.low:.2f} to {figure.high:.2f} {unit}"
    return figure.name, f"{least}{figure.value:.2f} {unit}", bounds


def _promise(report: SpaceReport) -> str:
    return (
        f"Metres by {report.scale_source}. Nine of ten true values lie within the interval. "
        "What is not seen is not guessed."
    )


def _unit(figure: Figure) -> str:
    return figure.unit.replace("m2", "m²")


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
    unit = _unit(figure)
    return f"{least}{figure.value:.2f} {unit}  ({figure.low:.2f} to {figure.high:.2f})"


def _row(figure: Figure) -> str:
    name = html.escape(figure.name)
    if figure.value is None or figure.low is None or figure.high is None:
        reason = html.escape(figure.reason)
        return f'<tr class="unseen"><td>{name}</td><td colspan="3">{reason}</td></tr>'
    unit = _unit(figure)
    least = "at least " if figure.is_least else ""
    return (
        f'<tr><td>{name}</td><td class="n">{least}{figure.value:.2f} {unit}</td>'
        f'<td class="n">{figure.low:.2f} to {figure.high:.2f}</td>'
        f"<td>{html.escape(figure.reason)}</td></tr>"
    )


def _data_url(rgb: RgbImage) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(_jpeg(rgb)[0]).decode()}"


def _jpeg(rgb: RgbImage) -> tuple[bytes, tuple[int, int]]:
    """Return a small copy of an image, and its width and height."""
    height, width = rgb.shape[:2]
    factor = min(1.0, _IMAGE_WIDTH_PX / width)
    size = (round(width * factor), round(height * factor))
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes(), size

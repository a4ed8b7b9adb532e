"""What the temporal filter and the metric scale have to reach, and whether they do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mono_depth.evaluation.evaluate import Evaluation
from mono_depth.evaluation.evaluation_report import ratios

# The most that each mode of the filter may have of what there is without it, see `report.ratios`.
LIMITS: dict[str, dict[str, float]] = {
    "pose": {
        "flicker x": 0.30,
        "AbsRel x": 0.80,
        "scale spread x": 0.55,
        "|near bias| + points": 2.0,
        "confident half x": 0.60,
    },
    "flow": {
        "flicker x": 0.55,
        "AbsRel x": 1.0,
        "|near bias| + points": 2.0,
        "confident half x": 0.80,
    },
}
_CONFIDENCE = "confident half x"
_MOVER = "mover error x"
_NUMBER = {"pose": 1, "flow": 2}
_THINGS, _RANKING = 3, 4


@dataclass(frozen=True, kw_only=True)
class BoundRow:
    """One measure, where it was taken, and the most it may be."""

    number: int  # of the requirement
    measure: str
    where: str
    value: float  # NaN = could not be measured there
    limit: float

    @property
    def is_met(self) -> bool | None:
        """Tell whether the value is within its limit, None where there is none."""
        return None if math.isnan(self.value) else self.value <= self.limit


def filter_rows(evaluation: Evaluation) -> list[BoundRow]:
    """Return what an evaluation with the mode none says about the other modes."""
    rows = []
    for mode, found in ratios(evaluation).items():
        scores = next(s for s in evaluation.modes if s.mode == mode)
        for key, limit in LIMITS.get(mode, {}).items():
            number = _RANKING if key == _CONFIDENCE else _NUMBER[mode]
            rows.append(_row(number, f"{mode}: {key}", evaluation, found[key], limit))
        things = {
            "frames until an obstacle appears": (scores.lag.appear_frames, 0.0),
            "frames until it is gone": (scores.lag.clear_frames, 0.0),
            _MOVER: (found[_MOVER], 1.0),
            "frames that started over without a cut": (float(len(scores.resets)), 0.0),
        }
        for measure, (value, limit) in things.items():
            rows.append(_row(_THINGS, f"{mode}: {measure}", evaluation, value, limit))
    return rows


def table(rows: Sequence[BoundRow]) -> str:
    """Return Markdown: a line for each measure, a column for each place; bold = missed."""
    places = list(dict.fromkeys(row.where for row in rows))
    lines: dict[tuple[int, str, float], dict[str, BoundRow]] = {}
    for row in rows:
        lines.setdefault((row.number, row.measure, row.limit), {})[row.where] = row
    header = ["row", "measure", "at most", *places, "met"]
    text = [_line(header), _line(["---"] * len(header))]
    for (number, measure, limit), found in sorted(lines.items(), key=lambda item: item[0][0]):
        cells = [_cell(found.get(place)) for place in places]
        met = [row.is_met for row in found.values() if row.is_met is not None]
        told = f"{sum(met)} of {len(met)}" if met else "-"
        name = measure.replace("|", "\\|")
        text.append(_line([str(number), name, f"{limit:g}", *cells, told]))
    return "\n".join(text)


def missed(rows: Iterable[BoundRow]) -> list[BoundRow]:
    """Return the rows beyond their limit."""
    return [row for row in rows if row.is_met is False]


def _row(number: int, measure: str, evaluation: Evaluation, value: float, limit: float) -> BoundRow:
    where = evaluation.sequence
    return BoundRow(number=number, measure=measure, where=where, value=value, limit=limit)


def _cell(row: BoundRow | None) -> str:
    if row is None or math.isnan(row.value):
        return "-"
    text = f"{row.value:.3g}" if abs(row.value) < 100.0 else f"{row.value:.0f}"
    return f"**{text}**" if row.is_met is False else text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""Many evaluations as one table, with what the temporal filter has to reach.

`python -m mono_depth.evaluation.summary REPORT.json ...` takes the files that `mono-depth eval
--json` writes and prints one Markdown row for each recording and mode of the filter. A value that
misses its limit stands in bold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
_COLUMNS = (
    "flicker x",
    "AbsRel x",
    "scale spread x",
    "|near bias| + points",
    "confident half x",
    "TAE z-buffer x",
    "edge error x",
    "mover error x",
)


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of reports, read from JSON."""
    header = ("sequence", "model", "filter", *(key.replace("|", "\\|") for key in _COLUMNS))
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for report in reports:
        for mode, values in report["against_none"].items():
            cells = [_cell(values[key], LIMITS.get(mode, {}).get(key)) for key in _COLUMNS]
            row = (f"{report['sequence']} ({report['frames']})", report["model"], mode, *cells)
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _cell(value: float | None, limit: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:.2f}"
    return f"**{text}**" if limit is not None and value > limit else text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reports", nargs="+", type=Path)
    args = parser.parse_args(argv)
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in args.reports]
    sys.stdout.write(table(reports) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

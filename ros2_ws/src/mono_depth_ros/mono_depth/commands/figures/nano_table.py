"""Compare the built-in network with what it has to beat.

`python -m mono_depth.commands.figures.nano_table --data DIR` prints one Markdown table. DIR holds
the real recordings; without it only synthetic camera sequences, which no training has seen, are
used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mono_depth.system.closed_pipe import quiet_where_closed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the real recordings")
    parser.add_argument(
        "--weights", type=Path, nargs="+", help="one file per seed; default: the one that ships"
    )
    parser.add_argument("--json", type=Path, help="write all measures here too")
    given = parser.parse_args(arguments)
    from mono_depth.evaluation.nano.table import as_json, compare, markdown

    rows = compare(given.data, given.weights)
    sys.stdout.write(markdown(rows) + "\n")
    if given.json:
        given.json.write_text(as_json(rows))


if __name__ == "__main__":
    with quiet_where_closed():
        main()

"""Print the table of input sizes, or write it into a document.

python -m mono_depth.commands.sizes_table --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mono_depth.system.closed_pipe import quiet_where_closed
from mono_depth.system.resources import share_dir


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill this file (else print)")
    folder = share_dir().parents[2] / "docs" / "benchmarks"
    parser.add_argument("--reports", type=Path, default=folder, help="folder of the measurements")
    given = parser.parse_args(arguments)

    from mono_depth.bench.marked_section import fill_file
    from mono_depth.bench.sizes_table import markdown, read_sizes

    table = markdown(*read_sizes(given.reports))
    if given.write is None:
        sys.stdout.write(table + "\n")
    else:
        fill_file(given.write, "sizes", table)


if __name__ == "__main__":
    with quiet_where_closed():
        main()

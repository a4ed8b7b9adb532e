"""Print the tables of a run of tools/gpu_accept.py, or write them into a document.

python -m mono_depth.commands.gpu_table docs/benchmarks/gpu.json --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mono_depth.errors import ConfigError
from mono_depth.system.closed_pipe import quiet_where_closed


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path, help="gpu.json that the script wrote")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill this file (else print)")
    given = parser.parse_args(arguments)

    from mono_depth.bench.gpu_table import gpu_tables
    from mono_depth.bench.marked_section import fill_file

    try:
        tables = gpu_tables(given.report)
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    if given.write is None:
        sys.stdout.write(tables + "\n")
    else:
        fill_file(given.write, "gpu", tables)


if __name__ == "__main__":
    with quiet_where_closed():
        main()

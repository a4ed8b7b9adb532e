"""Print the table of models, or write it into a document.

python -m mono_depth.commands.models_table --write docs/models.md
python -m mono_depth.commands.models_table --chosen --write README.md
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
    parser.add_argument(
        "--chosen", action="store_true", help="the short table of the README (else all models)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill this file (else print)")
    folder = share_dir().parents[2] / "docs" / "benchmarks"
    parser.add_argument("--reports", type=Path, default=folder, help="folder of the measurements")
    given = parser.parse_args(arguments)

    from mono_depth.bench.marked_section import fill_file
    from mono_depth.bench.models_table import chosen_markdown, markdown, read_reports
    from mono_depth.models.store.registry import read_registry

    registry, reports = read_registry(), read_reports(given.reports)
    if given.chosen:
        section, table = "chosen models", chosen_markdown(registry, reports)
    else:
        section, table = "models", markdown(registry.values(), reports)
    if given.write is None:
        sys.stdout.write(table + "\n")
    else:
        fill_file(given.write, section, table)


if __name__ == "__main__":
    with quiet_where_closed():
        main()

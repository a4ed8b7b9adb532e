"""Show what the built-in network makes of what it is told beside the image.

`python -m mono_depth.commands.figures.nano_hints_table --data DIR` prints one Markdown table. DIR
holds the real recordings; without it only synthetic frames, of scenes that no training has seen,
are used. Of drives among them it shows what height and gravity are worth.
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
    parser.add_argument("--weights", type=Path, help="default: the ones that ship")
    given = parser.parse_args(arguments)
    from mono_depth.evaluation.nano.hints_table import hints_table

    sys.stdout.write(hints_table(given.data, given.weights) + "\n")


if __name__ == "__main__":
    with quiet_where_closed():
        main()

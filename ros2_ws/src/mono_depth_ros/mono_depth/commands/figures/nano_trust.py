"""Show how far metres and confidence of the built-in network can be trusted.

`python -m mono_depth.commands.figures.nano_trust --data DIR` prints one Markdown table. DIR holds
the real recordings; without it only scenes that no training has seen are used.
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
        "--weights", type=Path, nargs="+", help="files to compare; default: the one that ships"
    )
    given = parser.parse_args(arguments)
    from mono_depth.evaluation.nano.trust import markdown, measure_all

    sys.stdout.write(markdown(measure_all(given.data, given.weights)) + "\n")


if __name__ == "__main__":
    with quiet_where_closed():
        main()

"""Show whether the built-in network shows things: edges, obstacles found and invented, near floor.

`python -m mono_depth.commands.figures.nano_things --data DIR` prints two Markdown tables. DIR holds
the real recordings; without it only scenes that no training has seen are used. The second table
tells how well glass and mirrors are known, in such scenes: no real frame has labels of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the real recordings")
    parser.add_argument(
        "--weights", type=Path, nargs="+", help="files to compare; default: the one that ships"
    )
    parser.add_argument("--scenes", type=int, default=30, help="rendered ones, 0 = none")
    given = parser.parse_args(arguments)
    from mono_depth.evaluation.nano import glass
    from mono_depth.evaluation.nano.table import load_named
    from mono_depth.evaluation.nano.things import judge, markdown

    sys.stdout.write(markdown(judge(given.data, given.weights, given.scenes)) + "\n")
    if given.scenes:
        frames = list(glass.glass_frames(given.scenes))
        networks = load_named(given.weights).items()
        scores = {name: glass.glass_scores(nano, frames) for name, nano in networks}
        sys.stdout.write("\n" + glass.markdown(scores) + "\n")


if __name__ == "__main__":
    main()

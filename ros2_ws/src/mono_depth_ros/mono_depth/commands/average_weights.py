"""Average the weights of several runs: `python -m mono_depth.commands.average_weights OUT FILE...`.

The runs must have started from the same weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mono_depth.system.closed_pipe import quiet_where_closed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="weights to write (.safetensors)")
    parser.add_argument("files", type=Path, nargs="+", help="weights of the runs")
    given = parser.parse_args(arguments)
    from mono_depth.training.average import average

    average(given.files, given.out)


if __name__ == "__main__":
    with quiet_where_closed():
        main()

"""Compare the scan of estimated depth with that of a depth sensor, on real recordings.

`python -m mono_depth.commands.figures.scan_table --data DIR` prints one Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with real recordings")
    parser.add_argument("--model", default="nano", help="entry of models/registry.yaml")
    parser.add_argument("--every", type=int, default=5, help="take every n-th frame of recordings")
    given = parser.parse_args(arguments)
    from mono_depth.evaluation.robot.scan_table import markdown

    sys.stdout.write(markdown(given.data, given.model, given.every) + "\n")


if __name__ == "__main__":
    main()

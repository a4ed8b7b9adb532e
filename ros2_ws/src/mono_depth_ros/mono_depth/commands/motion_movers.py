"""Show how far things that move are reported with and without points of the camera's motion.

`python -m mono_depth.commands.motion_movers` prints a Markdown table; it takes some three minutes.
"""

from __future__ import annotations

import argparse
import sys

from mono_depth.system.closed_pipe import quiet_where_closed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.parse_args(arguments)
    from mono_depth.evaluation.promises.motion_movers import markdown

    sys.stdout.write(markdown() + "\n")


if __name__ == "__main__":
    with quiet_where_closed():
        main()

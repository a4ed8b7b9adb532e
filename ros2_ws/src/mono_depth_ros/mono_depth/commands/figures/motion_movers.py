"""Show how far things are reported with and without points of the camera's motion.

`python -m mono_depth.commands.figures.motion_movers` prints a Markdown table of things that move;
it takes some five minutes. With `--drives` a table of drives through scenes at rest, which takes
longer.
"""

from __future__ import annotations

import argparse
import sys

from mono_depth.system.closed_pipe import quiet_where_closed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--drives", type=int, metavar="FRAMES", help="that many frames of drives")
    args = parser.parse_args(arguments)
    if args.drives:
        from mono_depth.evaluation.promises import motion_drives

        errors = motion_drives.all_drive_errors(args.drives)
        sys.stdout.write(motion_drives.markdown(errors) + "\n")
        return
    from mono_depth.evaluation.promises.motion_movers import markdown

    sys.stdout.write(markdown() + "\n")


if __name__ == "__main__":
    with quiet_where_closed():
        main()

"""The command `mono-depth`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from mono_depth import __version__
from mono_depth.commands import batch as batch_cli
from mono_depth.commands import bench as bench_cli
from mono_depth.commands import calibrate as calibrate_cli
from mono_depth.commands import engine as engine_cli
from mono_depth.commands import eval as eval_cli
from mono_depth.commands import finetune as finetune_cli
from mono_depth.commands import models as models_cli
from mono_depth.commands import run as run_cli
from mono_depth.commands import serve as serve_cli
from mono_depth.commands import space as space_cli
from mono_depth.errors import MonoDepthError
from mono_depth.system.closed_pipe import quiet_where_closed

# Each adds its subcommand and sets `handler`, which takes the arguments and returns the exit code.
_COMMANDS = (
    run_cli.add_command,
    batch_cli.add_command,
    space_cli.add_command,
    models_cli.add_command,
    bench_cli.add_command,
    engine_cli.add_command,
    eval_cli.add_command,
    calibrate_cli.add_command,
    serve_cli.add_command,
    finetune_cli.add_command,
)

_EXIT_ERROR = 1
_EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments; None = those of the process.

    Returns:
        0, or 1 after an error, which is said on stderr. Wrong usage exits with 2.
    """
    with quiet_where_closed():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        return int(args.handler(args))
    except MonoDepthError as error:
        print(f"mono-depth: {error}", file=sys.stderr)
        return _EXIT_ERROR
    except BrokenPipeError:
        raise
    except OSError as error:  # a file that a user names cannot be written, or the disk is full
        what = "" if error.filename is None else f"{error.filename}: "
        print(f"mono-depth: {what}{error.strerror or error}", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        print("mono-depth: interrupted", file=sys.stderr)
        return _EXIT_INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what a command needs is imported when it runs."""
    parser = argparse.ArgumentParser(prog="mono-depth", description="Depth from one camera.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_command in _COMMANDS:
        add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())

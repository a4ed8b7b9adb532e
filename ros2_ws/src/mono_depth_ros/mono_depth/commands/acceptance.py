"""What the temporal filter and the metric scale promise, measured in one run, filter on and off.

`python -m mono_depth.commands.acceptance` prints one Markdown table: each promise, its bound,
what was reached on each recording (bold = missed), and on how many it is met. The rows:

1 mode pose and 2 mode flow against no filter; 3 obstacles, movers, cuts; 4 confidence; 5 metric
scale from points and from the ground; 6 cost at 320x240; 8 what Open3D makes of the depth
(trajectory and mesh, with --consumer); 9 what comes at a camera that stands still (a simulated
network); 10 points of the camera's motion: things that move, and drives. Row 7, faults of input, is
tested, not measured.

Without --sequence these are synthetic drives that no training has seen, with the built-in network,
and with --data the recording tum_fr1_rpy with FastDepth.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import (
    BY_TRUTH,
    add_model_options,
    add_scale_option,
    add_set_option,
    pipeline_config,
)
from mono_depth.errors import MonoDepthError
from mono_depth.recordings.formats import FORMATS
from mono_depth.system.closed_pipe import quiet_where_closed

if TYPE_CHECKING:
    from mono_depth.evaluation.promises.acceptance import AcceptanceCase
    from mono_depth.evaluation.promises.bounds import BoundRow

_ROWS = (1, 2, 3, 4, 5, 6, 8, 9, 10)
_FRAMES = 100
_QUICK_FRAMES = 40


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 = something could not be measured, not that a bound is missed."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    from mono_depth.evaluation.promises.acceptance import as_json, measure, tables
    from mono_depth.system.machine import hardware, versions

    rows: list[BoundRow] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            cases = _cases(args, Path(folder))
            about: dict[str, object] = {
                "command": "python -m mono_depth.commands.acceptance",
                "arguments": sys.argv[1:] if argv is None else list(argv),
                "hardware": hardware(),
                "versions": versions(),
            }
            for found in measure(cases, set(args.rows), args.consumer):
                rows += found
                if args.json:  # after each part: what is interrupted keeps what it has
                    args.json.write_text(as_json(rows, about), encoding="utf-8")
    except MonoDepthError as error:
        sys.stderr.write(f"acceptance: {error}\n")
        return 1
    sys.stdout.write(tables(rows, [case.sequence.name for case in cases]) + "\n")
    return 0


def _cases(args: argparse.Namespace, folder: Path) -> list[AcceptanceCase]:
    from mono_depth.evaluation.promises.acceptance import (
        AcceptanceCase,
        open_in_memory,
        standard_cases,
    )

    frames = args.frames or (_QUICK_FRAMES if args.quick else _FRAMES)
    if not args.sequence:
        return standard_cases(args.data, folder, frames, args.threads)
    config, by_truth = pipeline_config(args), args.scale == BY_TRUTH
    sequences = [open_in_memory(source, args.format, frames) for source in args.sequence]
    return [
        AcceptanceCase(sequence=item, config=config, scale_by_truth=by_truth) for item in sequences
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.acceptance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="holds tum_fr1_rpy, fastdepth")
    parser.add_argument(
        "--sequence",
        action="append",
        default=[],
        metavar="SOURCE",
        help="your own recording with --model, as `mono-depth eval` takes it; may be repeated",
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of --sequence")
    parser.add_argument(
        "--rows", nargs="+", type=int, choices=_ROWS, default=_ROWS, metavar="N", help="only these"
    )
    parser.add_argument("--frames", type=int, default=0, metavar="N", help=f"default: {_FRAMES}")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_FRAMES} frames each")
    parser.add_argument(
        "--consumer", type=Path, metavar="DIR", help="row 8 as well; meshes and images go there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows here too")
    add_model_options(parser)
    add_scale_option(parser)
    add_set_option(parser)
    parser.set_defaults(scale="model")
    return parser


if __name__ == "__main__":
    with quiet_where_closed():
        sys.exit(main())

"""The command `mono-depth eval`: how good depth is, with the temporal filter and without."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import (
    BY_TRUTH,
    add_model_options,
    add_scale_option,
    add_sequence_options,
    add_set_option,
    add_use_option,
    chosen_sequence,
    pipeline_config,
)
from mono_depth.recordings.input_names import USUAL_INPUTS, read_inputs

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(commands: Subparsers) -> None:
    """Add `eval`."""
    text = "accuracy, flicker, scale and bias against known depth, filtered and not"
    parser = commands.add_parser("eval", help=text, description=text)
    parser.set_defaults(handler=_eval)
    add_sequence_options(parser)
    add_model_options(parser)
    parser.add_argument(
        "--temporal",
        default="",
        metavar="MODES",
        help="of none,static,flow,pose,auto, by commas "
        "(default: none,flow and, where poses are known, pose)",
    )
    add_scale_option(parser)
    add_use_option(parser, USUAL_INPUTS)
    parser.add_argument(
        "--guided",
        action="store_true",
        help="give the network what --use names, too, as the node does (default: the image alone; "
        "scale and filter get it in any case)",
    )
    add_set_option(parser)
    parser.add_argument(
        "--near", type=float, default=1.5, metavar="M", help="what counts as near (default: 1.5)"
    )
    parser.add_argument(
        "--max-depth", type=float, default=20.0, metavar="M", help="leave truth beyond out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measures here too")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw scale and flicker here")


def _eval(args: argparse.Namespace) -> int:
    from mono_depth.evaluation.evaluate import EvalOptions, evaluate
    from mono_depth.evaluation.evaluation_report import as_json, markdown, plot

    sequence = chosen_sequence(args)
    modes = tuple(args.temporal.split(",")) if args.temporal else ("none", "flow")
    if not args.temporal and sequence.knows_poses():
        modes = (*modes, "pose")
    options = EvalOptions(
        modes=modes,
        near_m=args.near,
        max_depth_m=args.max_depth,
        scale_by_truth=args.scale == BY_TRUTH,
        inputs=read_inputs(args.use),
        is_guided=args.guided,
    )
    evaluation = evaluate(sequence, pipeline_config(args), options)
    sys.stdout.write(markdown(evaluation) + "\n")
    if args.json:
        args.json.write_text(as_json(evaluation, command="mono-depth eval"), encoding="utf-8")
    if args.plot:
        plot(evaluation, args.plot)
    return 0

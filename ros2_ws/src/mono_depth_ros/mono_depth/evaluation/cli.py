"""The command `mono-depth eval`: how good depth is, with the temporal filter and without."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mono_depth.bench_cli import add_model_options, model_config
from mono_depth.config import PipelineConfig, ScaleConfig, flatten, updated
from mono_depth.errors import ConfigError
from mono_depth.evaluation.sequence import FORMATS, FrameSequence, open_sequence

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

BY_TRUTH = "truth"


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
    add_set_option(parser)
    parser.add_argument(
        "--near", type=float, default=1.5, metavar="M", help="what counts as near (default: 1.5)"
    )
    parser.add_argument(
        "--max-depth", type=float, default=20.0, metavar="M", help="leave truth beyond out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measures here too")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw scale and flicker here")


def add_sequence_options(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the recording and the frames of it."""
    parser.add_argument(
        "sequence", help="folder, bag, or synthetic:SCENE/TRAJECTORY/SEED[/WIDTHxHEIGHT]"
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="(default: auto)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th frame")
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="0 = all (default)")
    parser.add_argument("--image-topic", default="", metavar="TOPIC", help="of a bag")
    parser.add_argument("--depth-topic", default="", metavar="TOPIC", help="of a bag")


def add_scale_option(parser: argparse.ArgumentParser) -> None:
    """Add where metres come from."""
    parser.add_argument(
        "--scale",
        default="auto",
        help="source of the scale, as scale.source of the node; or truth: one scale and shift of "
        "the output fitted to the recording, for networks without metres (default: auto)",
    )


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Add what sets any other parameter of the pipeline."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter as the node names it, such as temporal.memory_frames=10; may be repeated",
    )


def chosen_sequence(args: argparse.Namespace) -> FrameSequence:
    """Open what `add_sequence_options` ask for."""
    sequence = open_sequence(
        args.sequence, args.format, image_topic=args.image_topic, depth_topic=args.depth_topic
    )
    return sequence.thinned(args.every, args.frames)


def pipeline_config(args: argparse.Namespace) -> PipelineConfig:
    """Return the configuration that the options ask for.

    Raises:
        ConfigError: a parameter of `--set` is unknown, or its value not allowed.
    """
    config = model_config(args)
    if args.scale != BY_TRUTH:
        config = replace(config, scale=ScaleConfig(source=args.scale))
    return updated(config, dict(_assigned(text, flatten(config)) for text in args.set))


def _assigned(text: str, known: Mapping[str, object]) -> tuple[str, object]:
    """Return name and value of "NAME=VALUE", the value as the type that the parameter has."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: expected NAME=VALUE")
    kind: type[Any] = type(known.get(name, ""))
    try:
        return name, yaml.safe_load(value) if kind is bool else kind(value)
    except ValueError:
        raise ConfigError(f"--set {text}: {value!r} is not of type {kind.__name__}") from None


def _eval(args: argparse.Namespace) -> int:
    # The command line is built for every command: what is heavy is imported when it runs.
    from mono_depth.evaluation.evaluate import EvalOptions, evaluate
    from mono_depth.evaluation.report import as_json, markdown, plot

    sequence = chosen_sequence(args)
    modes = tuple(args.temporal.split(",")) if args.temporal else ("none", "flow")
    if not args.temporal and sequence.knows_poses():
        modes = (*modes, "pose")
    options = EvalOptions(
        modes=modes,
        near_m=args.near,
        max_depth_m=args.max_depth,
        scale_by_truth=args.scale == BY_TRUTH,
    )
    evaluation = evaluate(sequence, pipeline_config(args), options)
    sys.stdout.write(markdown(evaluation) + "\n")
    if args.json:
        args.json.write_text(as_json(evaluation, command="mono-depth eval"), encoding="utf-8")
    if args.plot:
        plot(evaluation, args.plot)
    return 0

"""Options that several commands share, and what they ask for."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mono_depth.config import PipelineConfig, ScaleConfig, declared, flatten, updated
from mono_depth.errors import ConfigError
from mono_depth.recordings.formats import FORMATS
from mono_depth.recordings.input_names import INPUTS

if TYPE_CHECKING:
    from mono_depth.recordings.sequence import FrameSequence

BY_TRUTH = "truth"


def add_model_options(parser: argparse.ArgumentParser, *, engine_option: str = "--engine") -> None:
    """Add what chooses the network and where it runs."""
    parser.add_argument("--model", default="auto", help="entry of the registry (default: auto)")
    parser.add_argument("--registry", default="", help="file of further registry entries")
    parser.add_argument("--weights-dir", default="", help="folder of weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    for name, option in (("engine", engine_option), ("precision", "--precision")):
        param = declared(PipelineConfig)[name]
        choices = ", ".join(param.choices)
        parser.add_argument(option, dest=name, default="auto", choices=param.choices, help=choices)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = one for each core")
    parser.add_argument(
        "--input-size", type=int, default=0, help="short side of the input [pixels]"
    )
    parser.add_argument(
        "--allow-noncommercial", action="store_true", help="accept weights with such a licence"
    )


def model_config(args: argparse.Namespace) -> PipelineConfig:
    """Return the configuration that the options of `add_model_options` ask for."""
    return PipelineConfig(
        model=args.model,
        registry=args.registry,
        weights_dir=args.weights_dir,
        device=args.device,
        engine=args.engine,
        precision=args.precision,
        threads=args.threads,
        input_size=args.input_size,
        allow_noncommercial=args.allow_noncommercial,
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what is measured and where the figures go."""
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="images to use (default: soft noise)"
    )
    parser.add_argument(
        "--size", type=image_size, default=(640, 480), metavar="WxH", help="of the soft noise"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the measurement")
    parser.add_argument(
        "--json", default="-", metavar="FILE", help="where the figures go (default: stdout)"
    )


def image_size(text: str) -> tuple[int, int]:
    """Read "640x480"."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x480")
    return int(match[1]), int(match[2])


def write_report(report: Mapping[str, Any], target: str, table: str) -> None:
    """Write the figures to a file or stdout, and a table for people to stderr."""
    sys.stderr.write(table + "\n")
    if target == "-":
        sys.stdout.write(_json(report))
    else:
        save_report(report, target)


def save_report(report: Mapping[str, Any], target: str) -> None:
    """Write the figures to a file."""
    Path(target).write_text(_json(report), encoding="utf-8")


def _json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=2) + "\n"


def machine_line(report: Mapping[str, Any]) -> str:
    """Return one line about the machine of a report."""
    machine = report["hardware"]
    return (
        f"{machine['cpu']}, {machine['cores_usable']} cores, {machine['ram_gib']:g} GiB, "
        f"GPU {machine['gpu'] or 'none'}, load {machine['load_average_1min']:g}"
    )


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
    parser.add_argument(
        "--camera",
        nargs=4,
        type=float,
        metavar=("FX", "FY", "CX", "CY"),
        help="of a folder's rectified images, where no file (or no name, of tum) tells it",
    )
    parser.add_argument(
        "--depth-units",
        type=float,
        metavar="N",
        help="of a folder's depth in whole numbers: so many are a metre (default: what "
        "intrinsics.json says, else 1000; of tum 5000)",
    )


def add_scale_option(parser: argparse.ArgumentParser) -> None:
    """Add where metres come from."""
    parser.add_argument(
        "--scale",
        default="auto",
        help="source of the scale, as scale.source of the node; or truth: one scale and shift of "
        "the output fitted to the recording, for networks without metres (default: auto)",
    )


def add_use_option(parser: argparse.ArgumentParser, default: tuple[str, ...]) -> None:
    """Add which inputs of a recording the pipeline gets."""
    parser.add_argument(
        "--use",
        default=",".join(default),
        metavar="INPUTS",
        help="what the pipeline gets beside images and camera, if the recording has it, by commas: "
        f"{', '.join(INPUTS)}, or all, or none (default: %(default)s)",
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
    from mono_depth.recordings.open import open_sequence
    from mono_depth.recordings.sequence import GivenCamera

    units_per_m = args.depth_units
    if units_per_m is not None and not 0.0 < units_per_m < inf:
        raise ConfigError(f"--depth-units {units_per_m:g}: expected a number above 0")
    sequence = open_sequence(
        args.sequence,
        args.format,
        image_topic=args.image_topic,
        depth_topic=args.depth_topic,
        given=GivenCamera(
            fx_fy_cx_cy=tuple(args.camera) if args.camera else None, depth_units_per_m=units_per_m
        ),
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

"""The command `mono-depth space`: lengths of a room, each with an interval or "not seen"."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import (
    add_model_options,
    add_scale_option,
    add_set_option,
    add_use_option,
    pipeline_config,
)
from mono_depth.commands.run_options import add_source_options, open_options
from mono_depth.errors import ConfigError
from mono_depth.recordings.input_names import INPUTS, read_inputs

if TYPE_CHECKING:
    from mono_depth.report.space_report import KnownLength

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_MOST_VIEWS = 12


def add_command(commands: Subparsers) -> None:
    """Add `space`."""
    text = "wall distances, lengths and the height of a room, from an image or a short video"
    parser = commands.add_parser(
        "space",
        help=text,
        description=f"{text}; each with an interval that holds the truth nine times of ten, or "
        "with why it is not seen. Walls are taken to stand at right angles.",
    )
    parser.set_defaults(handler=_space)
    parser.add_argument("input", help="image, video, bag or recording")
    parser.add_argument("out", type=Path, help="report to write: .html, .pdf or .json")
    parser.add_argument(
        "--known",
        nargs=5,
        type=float,
        metavar=("COLUMN", "ROW", "COLUMN", "ROW", "METRES"),
        help="two pixels of the first image and how far apart they are: rescales all",
    )
    parser.add_argument(
        "--measure",
        nargs=4,
        type=float,
        action="append",
        default=[],
        metavar=("COLUMN", "ROW", "COLUMN", "ROW"),
        help="two pixels of the first image; may be repeated",
    )
    parser.add_argument(
        "--views", type=int, default=_MOST_VIEWS, metavar="N", help="of a video (default: 12)"
    )
    add_source_options(parser)
    add_use_option(parser, INPUTS)
    add_model_options(parser)
    add_scale_option(parser)
    add_set_option(parser)


def _space(args: argparse.Namespace) -> int:
    from mono_depth.pipeline.build import build_pipeline
    from mono_depth.recordings.frames.open import open_frames
    from mono_depth.report.documents import as_html, as_json, as_pdf, as_text
    from mono_depth.report.views import views_of

    if args.out.suffix not in (".html", ".pdf", ".json"):
        raise ConfigError(f"{args.out}: expected a name ending in .html, .pdf or .json")
    source = open_frames(args.input, open_options(args))
    pipeline = build_pipeline(pipeline_config(args))
    try:
        report = views_of(
            source,
            pipeline,
            read_inputs(args.use),
            camera_height_m=args.height,
            every=args.every,
            frames=args.frames,
            most=args.views,
        ).report(known=_known(args), measured=[((a, b), (c, d)) for a, b, c, d in args.measure])
    finally:
        pipeline.close()
    about = {"source": source.name, "model": pipeline.model.name, "camera": source.camera}
    if args.out.suffix == ".pdf":
        args.out.write_bytes(as_pdf(report, about))
    else:
        text = as_html(report, about) if args.out.suffix == ".html" else as_json(report, about)
        args.out.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{as_text(report)}{args.out}\n")
    return 0


def _known(args: argparse.Namespace) -> KnownLength | None:
    from mono_depth.report.space_report import KnownLength

    if args.known is None:
        return None
    column, row, other_column, other_row, metres = args.known
    return KnownLength(start=(column, row), end=(other_column, other_row), length_m=metres)

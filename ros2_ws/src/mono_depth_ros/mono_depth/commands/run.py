"""The command `mono-depth run`: depth of an image, a folder, a video, a bag or a camera."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mono_depth.commands.options import (
    add_model_options,
    add_scale_option,
    add_set_option,
    add_use_option,
    pipeline_config,
)
from mono_depth.commands.run_options import (
    add_output_options,
    add_source_options,
    open_options,
    run_options,
)
from mono_depth.recordings.input_names import INPUTS

if TYPE_CHECKING:
    from mono_depth.config import PipelineConfig
    from mono_depth.data import Frame
    from mono_depth.recordings.frames.source import FrameSource
    from mono_depth.runs.account import Account
    from mono_depth.runs.run import Watch

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_EXIT_FAILED_FRAMES = 1
_TRIED = 5  # first frames that are looked at, for one that an engine can be chosen by


def add_command(commands: Subparsers) -> None:
    """Add `run`."""
    text = "depth of an image, a folder, a video, a bag or a camera, as files"
    parser = commands.add_parser(
        "run",
        help=text,
        description=f"{text}. Run it again to go on where it was stopped: what is there stays. "
        "Exits with 0 where every frame has its files, with 1 where some failed, which are named.",
    )
    parser.set_defaults(handler=_run)
    parser.add_argument(
        "input",
        help="image, folder of images, video, bag, recording, number of a camera, or "
        "synthetic:SCENE/TRAJECTORY/SEED[/WIDTHxHEIGHT]",
    )
    parser.add_argument("out", type=Path, help="folder for the files")
    parser.add_argument("--overwrite", action="store_true", help="make everything anew")
    parser.add_argument("--again", action="store_true", help="try once more what has failed")
    parser.add_argument(
        "--live",
        nargs="?",
        type=int,
        const=8009,
        metavar="PORT",
        help="show the frames in a browser meanwhile, at 127.0.0.1 (default: port 8009); needs the "
        "extra web",
    )
    add_output_options(parser)
    add_source_options(parser)
    add_use_option(parser, INPUTS)
    add_model_options(parser)
    add_scale_option(parser)
    add_set_option(parser)


def _run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mono_depth.pipeline.build import build_pipeline
    from mono_depth.recordings.frames.open import open_frames
    from mono_depth.runs.run import expected_frames, run

    config, source = pipeline_config(args), open_frames(args.input, open_options(args))
    options = run_options(args, is_video=source.is_video)
    config = _pinned(config, source, args)
    pipeline = build_pipeline(config)
    sys.stderr.write(
        f"{pipeline.model.name}: {config.engine} {config.precision}, {config.threads} threads; "
        f"camera: {source.camera}\n"
    )
    total = expected_frames(source, options)
    with (
        _live(args, source) as watch,
        tqdm(total=total, desc=source.name, unit="frame", file=sys.stderr) as bar,
    ):

        def progress(account: Account) -> None:
            bar.update()
            if account.failed:
                bar.set_postfix(failed=len(account.failed), refresh=False)

        try:
            account = run(
                source,
                pipeline,
                config,
                options,
                args.out,
                overwrite=args.overwrite,
                again=args.again,
                progress=progress,
                watch=watch,
            )
        finally:
            pipeline.close()
    sys.stdout.write(f"{account.text()}\n{args.out}\n")
    return _EXIT_FAILED_FRAMES if account.failed else 0


@contextmanager
def _live(args: argparse.Namespace, source: FrameSource) -> Iterator[Watch | None]:
    """Serve the live page, if it is asked for."""
    if args.live is None:
        yield None
        return
    from mono_depth.web.live.live_run import LiveRun

    live = LiveRun(source.name, port=args.live)
    sys.stderr.write(f"live: {live.address}\n")
    try:
        yield live.show
    finally:
        live.close()


def _pinned(
    config: PipelineConfig, source: FrameSource, args: argparse.Namespace
) -> PipelineConfig:
    """Return the configuration with the engine of an earlier run, or with one chosen now."""
    from mono_depth.runs.output_folder import read_settings
    from mono_depth.runs.pins import as_before, pinned

    earlier = None if args.overwrite else read_settings(args.out)
    if earlier is not None:
        return as_before(config, earlier)
    return pinned(config, None if source.is_live else _first_frame(source))


def _first_frame(source: FrameSource) -> Frame | None:
    """Return the first frame that can be read, of the first few."""
    from itertools import islice

    from mono_depth.errors import FrameError

    for item in islice(source.frames(), _TRIED):
        try:
            return item.load()
        except FrameError:
            continue
    return None

"""The command `mono-depth batch`: many videos, bags and folders, by several workers."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from mono_depth.errors import ConfigError
from mono_depth.recordings.input_names import INPUTS

if TYPE_CHECKING:
    from mono_depth.config import PipelineConfig
    from mono_depth.runs.batch.crew import Crew
    from mono_depth.runs.batch.worker import BatchJob

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_EXIT_FAILED_ITEMS = 1


def add_command(commands: Subparsers) -> None:
    """Add `batch`."""
    text = "depth of many videos, bags and folders of images, by several workers"
    parser = commands.add_parser(
        "batch",
        help=text,
        description=f"{text}. Each is one item; one that cannot be read is named and stops no "
        "other. Run it again to go on after a kill: the results are the same, byte by byte. Exits "
        "with 0 where every item is done, with 1 where some failed.",
    )
    parser.set_defaults(handler=_batch)
    parser.add_argument("sources", nargs="+", help="files and folders, searched to their depth")
    parser.add_argument("out", type=Path, help="folder; each item gets one in it")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument(
        "--engine",
        dest="crew",
        choices=("local", "ray"),
        default="local",
        help="what starts the workers: processes here, or Ray (default: local)",
    )
    parser.add_argument(
        "--address", default="", help="of a Ray cluster, or auto (default: one on this machine)"
    )
    parser.add_argument(
        "--gpus", type=float, default=0.0, metavar="N", help="of each worker, with Ray"
    )
    parser.add_argument("--again", action="store_true", help="try once more what has failed")
    add_output_options(parser)
    add_source_options(parser)
    add_use_option(parser, INPUTS)
    add_model_options(parser, engine_option="--network-engine")
    add_scale_option(parser)
    add_set_option(parser)


def _batch(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from mono_depth.runs.batch.batch import batch
    from mono_depth.runs.batch.items import find_items
    from mono_depth.runs.batch.worker import BatchJob

    if args.workers < 1:
        raise ConfigError(f"--workers {args.workers}: expected 1 or more")
    if args.crew == "local" and (args.address or args.gpus):
        raise ConfigError("--address and --gpus are for --engine ray")
    found = find_items(args.sources, args.out)
    job = BatchJob(
        out=str(args.out.resolve()),
        config=_pinned(pipeline_config(args), args),
        open_options=open_options(args),
        video_options=run_options(args, is_video=True),
        photo_options=run_options(args, is_video=False),
        again=args.again,
    )
    with tqdm(total=len(found.items), unit="item", file=sys.stderr) as bar:

        def progress(name: str, reason: str) -> None:
            bar.update()
            if reason:
                bar.write(f"failed: {name}: {reason}", file=sys.stderr)

        account = batch(
            found,
            job,
            _settings(job),
            lambda: _crew(job, args),
            workers=args.workers,
            again=args.again,
            progress=progress,
        )
    sys.stdout.write(f"{account.text()}\n{args.out}\n")
    return _EXIT_FAILED_ITEMS if account.failed else 0


def _pinned(config: PipelineConfig, args: argparse.Namespace) -> PipelineConfig:
    """Return the configuration with what decides the bytes told; that of an earlier run stays."""
    from mono_depth.runs.output_folder import read_settings
    from mono_depth.runs.pins import as_before, pinned
    from mono_depth.system.threads import usable_cores

    earlier = read_settings(args.out)
    if earlier is not None:
        config = as_before(config, earlier)
    return pinned(replace(config, threads=config.threads or max(1, usable_cores() // args.workers)))


def _settings(job: BatchJob) -> dict[str, Any]:
    from mono_depth import __version__
    from mono_depth.config import flatten
    from mono_depth.runs.run import PATHS

    told = job.open_options
    return {
        "mono_depth": __version__,
        "pipeline": {k: v for k, v in flatten(job.config).items() if k not in PATHS},
        "open": {**vars(told), "camera": vars(told.camera), "topics": vars(told.topics)},
        "video": vars(job.video_options),
        "photos": vars(job.photo_options),
    }


def _crew(job: BatchJob, args: argparse.Namespace) -> Crew:
    if args.crew == "ray":
        from mono_depth.runs.batch.ray_crew import RayCrew

        return RayCrew(job, address=args.address, gpus=args.gpus)
    from mono_depth.runs.batch.local_crew import LocalCrew

    return LocalCrew(job)

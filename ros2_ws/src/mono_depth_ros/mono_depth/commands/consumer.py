"""Proof by a consumer: RGB-D odometry and a mesh from this depth, without and with the filter.

`python -m mono_depth.commands.consumer SEQUENCE --out FOLDER` runs the network over a recording
with known poses, gives colour and depth of each mode of the filter to Open3D, and compares:

* the trajectory of Open3D's RGB-D odometry, which knows no pose, with the true one;
* the mesh of the depth with the mesh of the true depth, fused at the true poses (so only depth
  differs) and at the poses of that odometry (what the consumer has), turned and moved onto the
  true path, but not scaled.

Each depth stream is scaled once, by the median over the whole recording, so the absolute scale
does not decide, but a scale that wanders does. All streams get the same images, the same limits
and the same parameters of Open3D.

FOLDER gets consumer.json, a mesh_MODE.ply each and meshes.png. The mode pose gives the filter the
true poses, as odometry of wheels would; none and flow know nothing but the images.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mono_depth.commands.options import (
    BY_TRUTH,
    add_model_options,
    add_scale_option,
    add_sequence_options,
    add_set_option,
    chosen_sequence,
    pipeline_config,
)
from mono_depth.errors import MonoDepthError
from mono_depth.system.closed_pipe import quiet_where_closed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.consumer",
        description=(__doc__ or "").split("\n\n")[0],
    )
    add_sequence_options(parser)
    add_model_options(parser)
    add_scale_option(parser)
    add_set_option(parser)
    parser.add_argument("--temporal", default="none,flow,pose", metavar="MODES")
    parser.add_argument(
        "--max-depth",
        type=float,
        default=0.0,
        metavar="M",
        help="depth that is used (default: what 95 %% of the truth is nearer than)",
    )
    parser.add_argument(
        "--voxel", type=float, default=0.0, metavar="M", help="(default: max-depth / 60)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        _judge(args)
    except MonoDepthError as error:
        sys.stderr.write(f"consumer: {error}\n")
        return 1
    return 0


def _judge(args: argparse.Namespace) -> None:
    from mono_depth.evaluation.consumer.streams import record
    from mono_depth.evaluation.consumer.verdict import judge
    from mono_depth.evaluation.consumer.verdict_table import table, write_report
    from mono_depth.evaluation.evaluate import EvalOptions

    modes = EvalOptions(modes=tuple(args.temporal.split(","))).modes
    args.out.mkdir(parents=True, exist_ok=True)
    streams = record(
        chosen_sequence(args), pipeline_config(args), modes, scale_by_truth=args.scale == BY_TRUTH
    )
    verdicts = judge(streams, args.out, voxel_m=args.voxel, max_depth_m=args.max_depth)
    sys.stdout.write(table(verdicts) + "\n")
    write_report(args.out, args.sequence, verdicts)


if __name__ == "__main__":
    with quiet_where_closed():
        sys.exit(main())

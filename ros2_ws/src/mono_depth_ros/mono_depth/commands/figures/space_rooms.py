"""How good the space report is, on rendered rooms.

`python -m mono_depth.commands.figures.space_rooms --rooms 50` prints the table of
docs/space_report.md for exact depth; with --model, for the depth of a network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mono_depth.commands.options import add_model_options, model_config
from mono_depth.errors import MonoDepthError

if TYPE_CHECKING:
    from mono_depth.data import DepthImage, Frame
    from mono_depth.report.figures import Deviations


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.figures.space_rooms",
        description=(__doc__ or "").split("\n\n")[0],
    )
    parser.add_argument("--rooms", type=int, default=50, metavar="N")
    parser.add_argument("--exact", action="store_true", help="true depth instead of a network's")
    parser.add_argument("--height", action="store_true", help="tell camera height and gravity")
    parser.add_argument("--known", action="store_true", help="tell one length of each room")
    add_model_options(parser)
    args = parser.parse_args(argv)
    try:
        _judge(args)
    except MonoDepthError as error:
        sys.stderr.write(f"space_rooms: {error}\n")
        return 1
    return 0


def _judge(args: argparse.Namespace) -> None:
    from mono_depth.evaluation.space_rooms import space_rooms

    depth_of = _exact if args.exact else _of_network(args)
    table = space_rooms(args.rooms, depth_of, with_height=args.height, with_known_length=args.known)
    sys.stdout.write(table)


def _exact(frame: Frame, truth_m: DepthImage) -> tuple[DepthImage, Deviations]:
    from mono_depth.report.figures import Deviations

    return truth_m, Deviations(scale_rel=0.005, shape_rel=0.01, slant_rel=0.02)


def _of_network(
    args: argparse.Namespace,
) -> Callable[[Frame, DepthImage], tuple[DepthImage, Deviations]]:
    from mono_depth.errors import FrameError
    from mono_depth.pipeline.build import build_pipeline
    from mono_depth.report.views import deviations_of

    pipeline = build_pipeline(model_config(args))

    def depth_of(frame: Frame, truth_m: DepthImage) -> tuple[DepthImage, Deviations]:
        pipeline.reset()
        result = pipeline.process(frame)
        if result.depth_m is None:
            raise FrameError(result.scale.reason)
        return result.depth_m.cpu().numpy(), deviations_of(result.scale)

    return depth_of


if __name__ == "__main__":
    sys.exit(main())

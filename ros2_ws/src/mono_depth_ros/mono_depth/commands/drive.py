"""Let a synthetic robot drive by depth: exact, of the network, and of no depth, beside each other.

A round robot with one camera drives through rendered rooms, offices, corridors and warehouses to
a goal that something stands before. Its scan goes into stand-ins of Nav2's obstacle layer and
collision monitor (mono_depth/evaluation/driving), a planner finds the way, and the scene knows
exactly whether anything is touched: the first touch ends a drive.

exact = the true depth; product = the network with odometry, as the node runs it; blind = 4 m
wherever one looks, which shows that the scenes cannot be passed without seeing.

FOLDER gets drive.md, drive.json and a view from above of the drives of each course, and with
--video what the camera and the map showed on the way.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mono_depth.errors import ConfigError, MonoDepthError

_LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.drive",
        description=(__doc__ or "").split("\n\n")[0],
    )
    parser.add_argument("--kinds", default="", metavar="LIST", help="of places (default: all)")
    parser.add_argument("--seeds", default="0-9", metavar="A-B", help="(default: 0-9)")
    parser.add_argument("--modes", default="", metavar="LIST", help="of depth (default: all)")
    parser.add_argument(
        "--event", default="none", metavar="NAME", help="person, dropout, glass or pit"
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto", help="what runs the network")
    parser.add_argument(
        "--motion", default="auto", choices=("auto", "off"), help="motion.mode (default: auto)"
    )
    parser.add_argument("--without-height", action="store_true", help="height is not told")
    parser.add_argument("--odometry-noise", action="store_true", help="2 %% of way and turn")
    parser.add_argument("--video", action="store_true", help="MP4 of each drive, too; slow")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    args = parser.parse_args(argv)
    if args.video and args.out is None:
        parser.error("--video needs --out")
    try:
        return _run(args)
    except MonoDepthError as error:
        print(f"drive: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    from mono_depth.evaluation.driving.course import KINDS
    from mono_depth.evaluation.driving.table import details, table
    from mono_depth.evaluation.driving.trials import MODES, Trials, draw

    trials = Trials(
        kinds=args.kinds.split(",") if args.kinds else KINDS,
        seeds=_seeds(args.seeds),
        modes=args.modes.split(",") if args.modes else MODES,
        event=args.event,
        model=args.model,
        engine=args.engine,
        motion=args.motion,
        knows_height=not args.without_height,
        has_noise=args.odometry_noise,
    )
    drives = []
    for driven in trials.drives(args.out if args.video else None):
        drives.append(driven)
        _LOG.info("%s", json.dumps(details(driven)))
        if args.out is not None:
            name = driven.course.name
            draw([item for item in drives if item.course.name == name], args.out)
    text = table(drives)
    print(text)
    if args.out is not None:
        (args.out / "drive.md").write_text(text, encoding="utf-8")
        found = json.dumps([details(item) for item in drives], indent=1)
        (args.out / "drive.json").write_text(found, encoding="utf-8")
    return 0


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise ConfigError(f"--seeds {text!r} is not such as 0-9") from None


if __name__ == "__main__":
    sys.exit(main())

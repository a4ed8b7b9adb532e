"""Let a synthetic robot drive by depth: exact, of the network, and of no depth, beside each other.

A round robot with one camera drives through rendered rooms, offices, corridors and warehouses to
a goal that something stands before. Its scan goes into stand-ins of Nav2's obstacle layer and
collision monitor (mono_depth/evaluation/driving), a planner finds the way, and the scene knows
exactly whether anything is touched: the first touch ends a drive.

exact = the true depth; product = the network with odometry, as the node runs it; blind = 4 m
wherever one looks, which shows that the scenes cannot be passed without seeing.

FOLDER gets drive.md, drive.json and a view from above of each drive.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mono_depth.config import PipelineConfig, ScaleConfig, ScanConfig
from mono_depth.errors import ConfigError, MonoDepthError
from mono_depth.evaluation.driving.course import KINDS, Course, make_course
from mono_depth.evaluation.driving.drive import Drive, drive
from mono_depth.evaluation.driving.events import (
    dropout_at_speed,
    person_before,
    stopped_in_time,
)
from mono_depth.evaluation.driving.robot import Body, OdometryNoise
from mono_depth.evaluation.driving.senses import DepthSense, ProductSense, Sense
from mono_depth.evaluation.driving.table import details, table

MODES = ("exact", "product", "blind")
EVENTS = ("none", "person", "dropout")
NOISE = OdometryNoise(distance_rel=0.02, turn_rel=0.02, drift_rad_per_m=0.01)
_HEIGHTS_M = (0.05, 0.45)  # of obstacles to this robot
_LOG = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m mono_depth.commands.drive",
        description=(__doc__ or "").split("\n\n")[0],
    )
    parser.add_argument("--kinds", default=",".join(KINDS), metavar="LIST")
    parser.add_argument("--seeds", default="0-9", metavar="A-B", help="(default: 0-9)")
    parser.add_argument("--modes", default=",".join(MODES), metavar="LIST")
    parser.add_argument("--event", default="none", choices=EVENTS)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--engine", default="auto", help="what runs the network")
    parser.add_argument("--without-height", action="store_true", help="height is not told")
    parser.add_argument("--odometry-noise", action="store_true", help="2 %% of way and turn")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except MonoDepthError as error:
        print(f"drive: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    body = Body()
    senses = [_sense(name, args) for name in _chosen(args.modes, MODES)]
    noise = NOISE if args.odometry_noise else None
    drives: list[Drive] = []
    for course in _courses(args, body):
        for sense in senses:
            driven = _one(course, sense, body, noise, args.event)
            if driven is None:
                continue
            drives.append(driven)
            _LOG.info("%s", json.dumps(details(driven)))
            if args.out is not None:
                _draw(driven, body, args.out)
    text = table(drives)
    print(text)
    if args.out is not None:
        (args.out / "drive.md").write_text(text, encoding="utf-8")
        found = json.dumps([details(item) for item in drives], indent=1)
        (args.out / "drive.json").write_text(found, encoding="utf-8")
    return 0


def _one(
    course: Course, sense: Sense, body: Body, noise: OdometryNoise | None, event: str
) -> Drive | None:
    """Drive a course, with what happens on it."""
    undisturbed = drive(course, sense, body, noise=noise)
    if event == "none":
        return undisturbed
    if event == "person":
        disturbed = person_before(course, undisturbed, body)
        return None if disturbed is None else drive(disturbed, sense, body, noise=noise)
    fault = dropout_at_speed(undisturbed)
    if fault is None:
        return None
    driven = drive(course, sense, body, noise=noise, fault=fault)
    stopped = stopped_in_time(driven, fault, body)
    _LOG.info("depth dropped out at %.1f s: %s", fault.begins_s, "stopped" if stopped else "NOT")
    return driven


def _sense(name: str, args: argparse.Namespace) -> Sense:
    low, high = _HEIGHTS_M
    if name != "product":
        exact = ScanConfig(min_height_m=low, max_height_m=high, tilt_tolerance=0.0, drop_m=0.0)
        return DepthSense(name, exact, is_blind=name == "blind")
    height_m = 0.0 if args.without_height else Body().camera_height_m
    config = PipelineConfig(
        model=args.model,
        device="cpu",
        engine=args.engine,
        scale=ScaleConfig(camera_height_m=height_m),
    )
    scan = ScanConfig(max_height_m=high)
    return ProductSense(name, config, scan, knows_height=not args.without_height)


def _courses(args: argparse.Namespace, body: Body) -> Iterator[Course]:
    first, _, last = args.seeds.partition("-")
    try:
        seeds = range(int(first), int(last or first) + 1)
    except ValueError:
        raise ConfigError(f"--seeds {args.seeds!r} is not such as 0-9") from None
    for kind in _chosen(args.kinds, KINDS):
        for seed in seeds:
            try:
                course = make_course(kind, seed, body)
            except ConfigError as error:
                _LOG.info("left out: %s", error)
                continue
            yield course


def _chosen(names: str, known: Sequence[str]) -> list[str]:
    chosen = names.split(",")
    for name in chosen:
        if name not in known:
            raise ConfigError(f"{name!r} is not one of {', '.join(known)}")
    return chosen


def _draw(driven: Drive, body: Body, folder: Path) -> None:
    import cv2

    from mono_depth.evaluation.driving.top_view import top_view

    folder.mkdir(parents=True, exist_ok=True)
    image = top_view(driven, body)
    name = f"{driven.course.kind}_{driven.course.seed}_{driven.sense}.png"
    cv2.imwrite(str(folder / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    sys.exit(main())

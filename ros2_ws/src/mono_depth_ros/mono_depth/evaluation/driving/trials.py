"""Drives of a synthetic robot by several kinds of depth, and what happens on their way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mono_depth.config import MotionConfig, PipelineConfig, ScaleConfig, ScanConfig
from mono_depth.errors import ConfigError
from mono_depth.evaluation.driving.course import KINDS, Course, make_course
from mono_depth.evaluation.driving.drive import Drive, Fault, Moment, drive
from mono_depth.evaluation.driving.drive_video import DriveVideo
from mono_depth.evaluation.driving.events import (
    dropout_at_speed,
    person_before,
    stopped_in_time,
)
from mono_depth.evaluation.driving.hazards import with_glass_door, with_pit
from mono_depth.evaluation.driving.robot import Body, OdometryNoise
from mono_depth.evaluation.driving.senses import DepthSense, ProductSense, Sense
from mono_depth.evaluation.driving.top_view import top_view

MODES = ("exact", "product", "blind")
EVENTS = ("none", "person", "dropout", "glass", "pit")

_NOISE = OdometryNoise(distance_rel=0.02, turn_rel=0.02, drift_rad_per_m=0.01)
_HEIGHTS_M = (0.05, 0.45)  # of obstacles to this robot
_HAZARDS = {"glass": with_glass_door, "pit": with_pit}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What is driven: every course of `kinds` and `seeds` by every one of `modes`."""

    kinds: Sequence[str] = KINDS
    seeds: Sequence[int] = range(10)
    modes: Sequence[str] = MODES
    event: str = "none"  # one of EVENTS
    model: str = "nano"
    engine: str = "auto"
    motion: str = "auto"  # motion.mode: a robot has odometry
    knows_height: bool = True
    has_noise: bool = False  # of odometry, 2 % of way and turn

    def drives(self, videos: Path | None = None) -> Iterator[Drive]:
        """Drive, and yield each drive when it has ended.

        Args:
            videos: folder for a video of each drive; None = none are made.

        Raises:
            ConfigError: a kind, a mode or an event is unknown.
        """
        _check(self.kinds, KINDS)
        _check(self.modes, MODES)
        _check((self.event,), EVENTS)
        body, noise = Body(), _NOISE if self.has_noise else None
        senses = [self._sense(name, body) for name in self.modes]
        for course in self._courses(body):
            for sense in senses:
                start = _prepared(course, sense, body, noise, self.event)
                if start is None:
                    _LOG.info("left out: %s is never fast in %s", sense.name, course.name)
                    continue
                yield _driven(start, sense, videos)

    def _sense(self, name: str, body: Body) -> Sense:
        low, high = _HEIGHTS_M
        if name != "product":
            exact = ScanConfig(min_height_m=low, max_height_m=high, tilt_tolerance=0.0)
            return DepthSense(name, exact, is_blind=name == "blind")
        height_m = body.camera_height_m if self.knows_height else 0.0
        config = PipelineConfig(
            model=self.model,
            device="cpu",
            engine=self.engine,
            scale=ScaleConfig(camera_height_m=height_m),
            motion=MotionConfig(mode=self.motion),
        )
        scan = ScanConfig(max_height_m=high)
        return ProductSense(name, config, scan, knows_height=self.knows_height)

    def _courses(self, body: Body) -> Iterator[Course]:
        for kind in self.kinds:
            for seed in self.seeds:
                try:
                    course = make_course(kind, seed, body)
                    if self.event in _HAZARDS:
                        course = _HAZARDS[self.event](course, body)
                except ConfigError as error:
                    _LOG.info("left out: %s", error)
                    continue
                yield course


def draw(drives: Sequence[Drive], folder: Path) -> None:
    """Write a view from above of drives of one course, beside or below each other."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [top_view(driven, Body()) for driven in drives]
    height, width = images[0].shape[:2]
    image = np.concatenate(images, axis=0 if width > 2 * height else 1)
    path = folder / f"{drives[0].course.name}.png"
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A course with what happens on it."""

    course: Course
    body: Body
    noise: OdometryNoise | None
    fault: Fault | None = None


def _prepared(
    course: Course, sense: Sense, body: Body, noise: OdometryNoise | None, event: str
) -> _Prepared | None:
    """Find when it shall happen, by a drive on which it does not; None where there is no time."""
    plain = _Prepared(course=course, body=body, noise=noise)
    if event not in ("person", "dropout"):
        return plain
    undisturbed = drive(course, sense, body, noise=noise)
    if event == "person":
        disturbed = person_before(course, undisturbed, body)
        return None if disturbed is None else replace(plain, course=disturbed)
    fault = dropout_at_speed(undisturbed)
    return None if fault is None else replace(plain, fault=fault)


def _driven(start: _Prepared, sense: Sense, videos: Path | None) -> Drive:
    def go(watch: Callable[[Moment], None] | None) -> Drive:
        return drive(
            start.course, sense, start.body, noise=start.noise, fault=start.fault, watch=watch
        )

    if videos is None:
        driven = go(None)
    else:
        videos.mkdir(parents=True, exist_ok=True)
        path = videos / f"{start.course.name}_{sense.name}.mp4"
        with DriveVideo(path, start.body) as video:
            driven = go(video.add)
    if start.fault is not None:
        stopped = stopped_in_time(driven, start.fault, start.body)
        _LOG.info(
            "depth dropped out at %.1f s: %s",
            start.fault.begins_s,
            "it stood in time" if stopped else "IT DID NOT STAND IN TIME",
        )
    return driven


def _check(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{name!r} is not one of {', '.join(known)}")

"""Drives of a synthetic robot by several kinds of depth, and what happens on their way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from mono_depth.config import PipelineConfig, ScaleConfig, ScanConfig
from mono_depth.errors import ConfigError
from mono_depth.evaluation.driving.course import KINDS, Course, make_course
from mono_depth.evaluation.driving.drive import Drive, drive
from mono_depth.evaluation.driving.events import (
    dropout_at_speed,
    person_before,
    stopped_in_time,
)
from mono_depth.evaluation.driving.robot import Body, OdometryNoise
from mono_depth.evaluation.driving.senses import DepthSense, ProductSense, Sense
from mono_depth.evaluation.driving.top_view import top_view

MODES = ("exact", "product", "blind")

_NOISE = OdometryNoise(distance_rel=0.02, turn_rel=0.02, drift_rad_per_m=0.01)
_HEIGHTS_M = (0.05, 0.45)  # of obstacles to this robot
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What is driven: every course of `kinds` and `seeds` by every one of `modes`."""

    kinds: Sequence[str] = KINDS
    seeds: Sequence[int] = range(10)
    modes: Sequence[str] = MODES
    event: str = "none"  # or person, dropout
    model: str = "nano"
    engine: str = "auto"
    knows_height: bool = True
    has_noise: bool = False  # of odometry, 2 % of way and turn

    def drives(self) -> Iterator[Drive]:
        """Drive, and yield each drive when it has ended.

        Raises:
            ConfigError: a kind or a mode is unknown.
        """
        _check(self.kinds, KINDS)
        _check(self.modes, MODES)
        body, noise = Body(), _NOISE if self.has_noise else None
        senses = [self._sense(name, body) for name in self.modes]
        for course in self._courses(body):
            for sense in senses:
                driven = _one(course, sense, body, noise, self.event)
                if driven is not None:
                    yield driven

    def _sense(self, name: str, body: Body) -> Sense:
        low, high = _HEIGHTS_M
        if name != "product":
            exact = ScanConfig(min_height_m=low, max_height_m=high, tilt_tolerance=0.0, drop_m=0.0)
            return DepthSense(name, exact, is_blind=name == "blind")
        height_m = body.camera_height_m if self.knows_height else 0.0
        config = PipelineConfig(
            model=self.model,
            device="cpu",
            engine=self.engine,
            scale=ScaleConfig(camera_height_m=height_m),
        )
        scan = ScanConfig(max_height_m=high)
        return ProductSense(name, config, scan, knows_height=self.knows_height)

    def _courses(self, body: Body) -> Iterator[Course]:
        for kind in self.kinds:
            for seed in self.seeds:
                try:
                    course = make_course(kind, seed, body)
                except ConfigError as error:
                    _LOG.info("left out: %s", error)
                    continue
                yield course


def draw(driven: Drive, folder: Path) -> None:
    """Write a view from above of a drive."""
    folder.mkdir(parents=True, exist_ok=True)
    image = top_view(driven, Body())
    name = f"{driven.course.kind}_{driven.course.seed}_{driven.sense}.png"
    cv2.imwrite(str(folder / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


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


def _check(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{name!r} is not one of {', '.join(known)}")

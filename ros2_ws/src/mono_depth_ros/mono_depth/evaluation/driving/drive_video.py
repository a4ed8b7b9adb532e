"""A video of a drive: what the camera sees beside what the robot knows."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mono_depth.data import RgbImage
from mono_depth.display.video import VideoWriter
from mono_depth.evaluation.driving.drive import STEP_S, Moment
from mono_depth.evaluation.driving.robot import Body
from mono_depth.evaluation.driving.top_view import MapPainter
from mono_depth.synthetic.sensor import SensorEffects, auto_gain

_HEIGHT_PX = 360
_MAP_PX = 480
_PAPER = 255


class DriveVideo:
    """Writes the moments of one drive as MP4, in the time of the drive. Use it in a `with` block.

    Args:
        path: file to write, ending in .mp4.
        body: of the robot.
    """

    def __init__(self, path: Path, body: Body) -> None:
        self._writer, self._body = VideoWriter(path, 1.0 / STEP_S), body
        self._painter: MapPainter | None = None
        self._gain: float | None = None
        self._camera = np.zeros((_HEIGHT_PX, 4 * _HEIGHT_PX // 3, 3), np.uint8)

    def __enter__(self) -> DriveVideo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, moment: Moment) -> None:
        """Append a moment: the camera on the left, the map on the right."""
        if self._painter is None:
            self._painter = MapPainter(moment.course, moment.grid, self._body, 3 * _MAP_PX)
        self._writer.add(np.hstack([self._seen(moment), self._known(moment, self._painter)]))

    def _seen(self, moment: Moment) -> RgbImage:
        if moment.view is not None:
            light = moment.view.image.rgb_linear
            self._gain = auto_gain(light) if self._gain is None else self._gain
            image = SensorEffects().apply(light, np.random.default_rng(0), self._gain)
            width = round(image.shape[1] * _HEIGHT_PX / image.shape[0])
            self._camera = np.asarray(cv2.resize(image, (width, _HEIGHT_PX)), np.uint8)
        image = self._camera if moment.view is not None else self._camera // 4
        image = image.copy()
        last = moment.steps[-1]
        words = last.silence[:56] or f"{last.speed_mps:.1f} m/s {last.stopped_by}"
        font = cv2.FONT_HERSHEY_SIMPLEX
        for width, color in ((3, (0, 0, 0)), (1, (255, 255, 255))):
            cv2.putText(image, words, (8, _HEIGHT_PX - 10), font, 0.45, color, width, cv2.LINE_AA)
        return image

    def _known(self, moment: Moment, painter: MapPainter) -> RgbImage:
        places = np.array([[step.place.x_m, step.place.y_m] for step in moment.steps])
        person = moment.course.person
        image = painter.paint(
            moment.costs,
            places,
            is_hit=moment.is_hit,
            plan_m=moment.plan_m,
            person_m=None if person is None else person.pose(moment.steps[-1].time_s)[0],
        )
        share = min(_HEIGHT_PX / image.shape[0], _MAP_PX / image.shape[1])
        size = round(image.shape[1] * share), round(image.shape[0] * share)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        paper = np.full((_HEIGHT_PX, _MAP_PX, 3), _PAPER, np.uint8)
        top, left = (_HEIGHT_PX - size[1]) // 2, (_MAP_PX - size[0]) // 2
        paper[top : top + size[1], left : left + size[0]] = small
        return paper

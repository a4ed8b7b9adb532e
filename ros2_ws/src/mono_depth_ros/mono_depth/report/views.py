"""Images of a room with the depth that a pipeline finds, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from mono_depth.data import ScaleStatus
from mono_depth.errors import ConfigError, FrameError
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.recordings.frames.source import FrameSource
from mono_depth.recordings.inputs import with_inputs
from mono_depth.report.figures import Deviations
from mono_depth.report.space_report import KnownLength, Pixel, SpaceReport, View, space_report

UNTOLD_SCALE_SIGMA = 0.25  # of metres that a network claims and nobody has rated
# Of the depth of `nano`, on rendered rooms (docs/space_report.md): of one length against another,
# and what is added for a wall that is seen from the side.
SHAPE_SIGMA, SLANT_SIGMA = 0.25, 1.1
_MEASURED_SHAPE_SIGMA, _MEASURED_SLANT_SIGMA = 0.01, 0.02  # of depth that a sensor measured


@dataclass(frozen=True, kw_only=True)
class Views:
    """What a report is made of."""

    views: list[View]
    scale: ScaleStatus  # of the last of them
    is_measured: bool  # the depth is that of a sensor

    def report(
        self, *, known: KnownLength | None = None, measured: Sequence[tuple[Pixel, Pixel]] = ()
    ) -> SpaceReport:
        """Return the report.

        Raises:
            ConfigError: there is no view, or a pixel lies outside of it.
            FrameError: the depth shows hardly any surface.
        """
        return space_report(
            self.views,
            deviations_of(self.scale, is_measured=self.is_measured),
            scale_source=f"{self.scale.source} ({self.scale.state})",
            known=known,
            measured=measured,
        )


def deviations_of(scale: ScaleStatus, *, is_measured: bool = False) -> Deviations:
    """Return how wrong depth may be.

    Args:
        scale: of it.
        is_measured: a depth sensor measured it.
    """
    sigma = scale.sigma_rel
    is_told = math.isfinite(sigma) and sigma > 0.0
    return Deviations(
        scale_rel=sigma if is_told else UNTOLD_SCALE_SIGMA,
        shape_rel=_MEASURED_SHAPE_SIGMA if is_measured else SHAPE_SIGMA,
        slant_rel=_MEASURED_SLANT_SIGMA if is_measured else SLANT_SIGMA,
    )


def views_of(
    source: FrameSource,
    pipeline: DepthPipeline,
    inputs: Collection[str],
    *,
    camera_height_m: float = 0.0,
    every: int = 1,
    frames: int = 0,
    most: int = 12,
) -> Views:
    """Run a pipeline over a source and keep some of its frames, evenly spread.

    Args:
        source: images of one room.
        pipeline: built.
        inputs: of `INPUTS`, that it gets.
        camera_height_m: of frames that do not tell it, 0 = not known.
        every: take every n-th frame.
        frames: at most, 0 = all.
        most: views that are kept.

    Raises:
        ConfigError: no frame gives metres.
    """
    kept: list[View] = []
    step, count, scale, is_measured = 1, 0, None, False
    pipeline.reset()
    reason = "no frame could be read"
    for item in islice(source.frames(), 0, frames * every or None, every):
        try:
            frame = with_inputs(item.load(), inputs)
            if frame.camera_height_m is None and camera_height_m > 0.0:
                frame = replace(frame, camera_height_m=camera_height_m)
            if not source.is_video:
                pipeline.reset()
            result = pipeline.process(frame)
        except FrameError as error:
            reason = str(error)
            continue
        if result.depth_m is None or frame.intrinsics is None:
            reason = result.scale.reason or "the camera is unknown"
            continue
        scale, is_measured = result.scale, result.completed == "sensor_depth"
        index, count = count, count + 1
        if index % step:
            continue
        kept.append(
            View(
                rgb=frame.rgb,
                depth_m=np.array(result.depth_m.cpu().numpy()),
                intrinsics=frame.intrinsics,
                gravity_camera=frame.gravity_camera,
                T_odom_camera=frame.T_odom_camera,
            )
        )
        if len(kept) > most:
            kept, step = kept[::2], 2 * step
    if scale is None:
        raise ConfigError(f"{source.name}: no image gives metres: {reason}")
    return Views(views=kept, scale=scale, is_measured=is_measured)

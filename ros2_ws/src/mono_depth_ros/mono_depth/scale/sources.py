"""Asks one source of scale about one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, MotionPoints, Prediction
from mono_depth.motion.pose_check import DOES_NOT_FIT
from mono_depth.scale import ground_plane, sparse_points
from mono_depth.scale.fit import Fit, Points, Rejection, fit_points
from mono_depth.scale.grid import OutputGrid, points_at
from mono_depth.scale.odometry import BaselineTriangulation
from mono_depth.scale.scale_shift import METRIC_KINDS, Pivot, ScaleShift

_MIN_MOTION_POINTS = 15


@dataclass(frozen=True, kw_only=True)
class ScaleInput:
    """A frame and what the network says about it."""

    prediction: Prediction
    frame: Frame
    intrinsics: Intrinsics
    grid: OutputGrid
    pivot: Pivot
    motion: MotionPoints | None = None  # None = odometry triangulates by itself

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        frame: Frame,
        intrinsics: Intrinsics,
        motion: MotionPoints | None = None,
    ) -> ScaleInput | None:
        """Return the view, None if the network says nothing."""
        grid = OutputGrid.of(prediction, intrinsics)
        pivot = Pivot.of(grid.x)
        if pivot is None:
            return None
        return cls(
            prediction=prediction,
            frame=frame,
            intrinsics=intrinsics,
            grid=grid,
            pivot=pivot,
            motion=motion,
        )


class Sources:
    """The sources of one camera. Odometry remembers where corners were seen first."""

    def __init__(self) -> None:
        self._triangulation = BaselineTriangulation()

    def ask(
        self,
        source: str,
        view: ScaleInput,
        config: ScaleConfig,
        *,
        shape: ScaleShift | None,
        free_slope: bool,
    ) -> Fit | Rejection:
        """Return what a source measures.

        Args:
            source: sparse_points, ground_plane or odometry.
            view: the frame.
            config: limits.
            shape: scale and shift whose slope is kept where the source does not show it.
            free_slope: False = always keep it.
        """
        if source == "ground_plane":
            found: Fit | Points | Rejection = _ground(view, config)
        elif source == "odometry" and view.motion is not None:
            found = _by_motion(view, view.motion)
        elif source == "odometry":
            found = self._triangulation.collect(view.frame, view.intrinsics, view.prediction)
        else:
            found = _sparse(view)
        if isinstance(found, Points):
            found = fit_points(
                found,
                pivot=view.pivot,
                shape=shape,
                min_points=config.min_points,
                free_slope=free_slope,
            )
        return _plausible(found, view, config)


def height_m(frame: Frame, config: ScaleConfig) -> float:
    """Return the camera's height over the ground, 0 = unknown. The parameter wins."""
    return config.camera_height_m or frame.camera_height_m or 0.0


def _sparse(view: ScaleInput) -> Points | Rejection:
    if not sparse_points.has_any(view.frame):
        return Rejection(reason="no sparse points at the stamp of the image", is_doubt=False)
    return sparse_points.collect(view.frame, view.intrinsics, view.prediction)


def _by_motion(view: ScaleInput, motion: MotionPoints) -> Points | Rejection:
    if len(motion) < _MIN_MOTION_POINTS:
        is_doubt = motion.reason == DOES_NOT_FIT
        return Rejection(reason=motion.reason or "too few points", is_doubt=is_doubt)
    columns, rows = motion.pixels.T
    return points_at(
        columns, rows, motion.depth_m, motion.sigma_rel, frame=view.frame, of=view.prediction
    )


def _ground(view: ScaleInput, config: ScaleConfig) -> Fit | Rejection:
    kind, height = view.prediction.kind, height_m(view.frame, config)
    if kind not in METRIC_KINDS:
        reason = f"one plane cannot tell the scale of {kind.value}: use sparse_points"
        return Rejection(reason=reason, is_doubt=False)
    if height <= 0.0:
        reason = "the height of the camera is unknown: set scale.camera_height_m"
        return Rejection(reason=reason, is_doubt=False)
    down = view.frame.gravity_camera
    return ground_plane.measure(view.grid, view.pivot, height_m=height, gravity_camera=down)


def _plausible(found: Fit | Rejection, view: ScaleInput, config: ScaleConfig) -> Fit | Rejection:
    """Refuse a correction that no model of metres needs."""
    if isinstance(found, Rejection) or view.prediction.kind not in METRIC_KINDS:
        return found
    factor = math.exp(math.log(view.pivot.middle) - found.level)
    if 1.0 / config.max_correction <= factor <= config.max_correction:
        return found
    return Rejection(
        reason=f"the scale would be {factor:.3g} times the model's, more than "
        f"scale.max_correction = {config.max_correction:g} allows"
    )

"""Asks one source of scale about one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, Intrinsics, MotionPoints, Prediction
from mono_depth.motion.point_choice import chosen_points
from mono_depth.motion.pose_check import DOES_NOT_FIT
from mono_depth.scale import ground_plane, sparse_points
from mono_depth.scale.climb import Climb
from mono_depth.scale.fit import Fit, Points, Rejection
from mono_depth.scale.grid import MAX_POINTS, OutputGrid, points_at
from mono_depth.scale.odometry import BaselineTriangulation
from mono_depth.scale.scale_shift import METRIC_KINDS, Pivot, ScaleShift
from mono_depth.scale.visible_points import Belief, fit_visible

_MIN_MOTION_POINTS = 15


@dataclass(frozen=True, kw_only=True)
class ScaleInput:
    """A frame and what the network says about it."""

    prediction: Prediction
    frame: Frame
    intrinsics: Intrinsics
    grid: OutputGrid
    image_only: OutputGrid  # the same before hints moved the network
    pivot: Pivot
    motion: MotionPoints | None = None  # None = odometry triangulates by itself

    @property
    def moved(self) -> float:
        """How much hints have put all farther, in log depth."""
        with np.errstate(invalid="ignore"):
            moved = np.log(self.image_only.x / self.grid.x)
        return float(np.nanmedian(moved)) if np.isfinite(moved).any() else 0.0

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
        own = grid
        if prediction.image_only is not None:
            own = OutputGrid.of(replace(prediction, values=prediction.image_only), intrinsics)
        return cls(
            prediction=prediction,
            frame=frame,
            intrinsics=intrinsics,
            grid=grid,
            image_only=own,
            pivot=pivot,
            motion=motion,
        )


class Sources:
    """The sources of one camera. Odometry remembers where corners were seen first."""

    def __init__(self) -> None:
        self._triangulation = BaselineTriangulation()
        self._climb = Climb()

    def ask(
        self,
        source: str,
        view: ScaleInput,
        config: ScaleConfig,
        *,
        shape: ScaleShift | None,
        belief: Belief | None,
        free_slope: bool,
    ) -> Fit | Rejection:
        """Return what a source measures.

        Args:
            source: sparse_points, ground_plane or odometry.
            view: the frame.
            config: limits.
            shape: scale and shift whose slope is kept where the source does not show it.
            belief: the scale so far, None = there is none.
            free_slope: False = always keep it.
        """
        if source == "ground_plane":
            found: Fit | Points | Rejection = _ground(view, config, belief)
            if isinstance(found, Fit) and config.camera_height_m:  # else TF follows it
                found = self._climb.check(
                    found,
                    middle=view.pivot.middle,
                    height_m=config.camera_height_m,
                    T_odom_camera=view.frame.T_odom_camera,
                )
        elif source == "odometry" and view.motion is not None:
            found = _by_motion(view, view.motion)
        elif source == "odometry":
            found = self._triangulation.collect(view.frame, view.intrinsics, view.prediction)
        else:
            found = _sparse(view)
        if isinstance(found, Points):
            found = fit_visible(
                found,
                pivot=view.pivot,
                belief=belief if source == "sparse_points" else None,
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
    some = chosen_points(motion, view.intrinsics, MAX_POINTS)
    columns, rows = motion.pixels[some].T
    depth_m, sigma = motion.depth_m[some], motion.sigma_rel[some]
    return points_at(columns, rows, depth_m, sigma, frame=view.frame, of=view.prediction)


def _ground(view: ScaleInput, config: ScaleConfig, belief: Belief | None) -> Fit | Rejection:
    kind, height = view.prediction.kind, height_m(view.frame, config)
    if kind not in METRIC_KINDS:
        reason = f"one plane cannot tell the scale of {kind.value}: use sparse_points"
        return Rejection(reason=reason, is_doubt=False)
    if height <= 0.0:
        reason = "the height of the camera is unknown: set scale.camera_height_m"
        return Rejection(reason=reason, is_doubt=False)
    down = view.frame.gravity_camera
    # what hints have put on the ground cannot tell where it is
    return ground_plane.measure(
        view.image_only,
        view.pivot,
        height_m=height,
        gravity_camera=down,
        believed=_believed_m(view, belief, height),
        now=None if view.image_only is view.grid else view.grid,
    )


def _believed_m(view: ScaleInput, belief: Belief | None, height: float) -> float | None:
    """Return how far the ground is in metres of the image alone, None = it was not measured."""
    if belief is None or np.isnan(belief.spread):
        return None
    y = belief.law.gain * view.pivot.middle + belief.law.shift
    return height * y / view.pivot.middle / math.exp(view.moved) if y > 0.0 else None


def _plausible(found: Fit | Rejection, view: ScaleInput, config: ScaleConfig) -> Fit | Rejection:
    """Refuse a correction that no model of metres needs."""
    if isinstance(found, Rejection) or view.prediction.kind not in METRIC_KINDS:
        return found
    factor = math.exp(math.log(view.pivot.middle) - found.level + view.moved)
    if 1.0 / config.max_correction <= factor <= config.max_correction:
        return found
    return Rejection(
        reason=f"the scale would be {factor:.3g} times the model's, more than "
        f"scale.max_correction = {config.max_correction:g} allows"
    )

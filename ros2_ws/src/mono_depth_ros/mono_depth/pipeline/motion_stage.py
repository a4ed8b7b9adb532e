"""The stage of the pipeline that makes points from the way the camera goes."""

from __future__ import annotations

import math

import torch

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, Intrinsics, MotionPoints, ScaleStatus
from mono_depth.motion.depth_from_motion import DepthFromMotion
from mono_depth.motion.local_correction import corrected
from mono_depth.scale import sparse_points
from mono_depth.scale.kinds import MEASURED

_CONTRADICTION = 0.1  # of depth, by which points and a measured scale may differ,
_SIGMAS = 3.0  # or these deviations of the scale


class MotionStage:
    """Owns the tracks and landmarks of one camera. Not thread-safe."""

    def __init__(self) -> None:
        self._motion = DepthFromMotion()

    def reset(self) -> None:
        """Forget the past."""
        self._motion.reset()

    def points(self, frame: Frame, config: PipelineConfig) -> MotionPoints | None:
        """Take in a frame and return its points, None where they are not wanted.

        Points and depth that the frame brings go first: with them nothing is followed, unless the
        scale shall come from odometry. A fixed scale belongs to what the network says unguided.
        """
        is_asked = config.scale.source == "odometry"
        if config.motion.mode == "off" or frame.intrinsics is None:
            self.reset()
            return None
        if config.scale.source == "fixed" or (sparse_points.has_any(frame) and not is_asked):
            return None
        return self._motion.update(frame.rgb, frame.intrinsics, frame.stamp_ns, frame.T_odom_camera)


def with_points(
    depth_m: torch.Tensor | None,
    scale: ScaleStatus,
    motion: MotionPoints | None,
    intrinsics: Intrinsics | None,
) -> torch.Tensor | None:
    """Return (h, w) metres that agree with points of the camera's motion, see `corrected`.

    Args:
        depth_m: (h, w) of the network in the metres of `scale`, None = there are none.
        scale: where these come from. What else has measured them may not be contradicted.
        motion: points of the image, None = none were asked for.
        intrinsics: of the image.
    """
    if depth_m is None or motion is None or intrinsics is None:
        return depth_m
    most = math.inf
    if scale.source in MEASURED and scale.source != "odometry":
        most = max(_CONTRADICTION, _SIGMAS * scale.sigma_rel)
    return corrected(depth_m, motion, intrinsics, most_middle=most)

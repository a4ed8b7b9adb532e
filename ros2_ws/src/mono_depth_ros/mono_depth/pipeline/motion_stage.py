"""The stage of the pipeline that makes points from the way the camera goes."""

from __future__ import annotations

import numpy as np

from mono_depth.config import PipelineConfig
from mono_depth.data import DepthImage, Frame, Intrinsics, MotionPoints
from mono_depth.motion.depth_from_motion import DepthFromMotion
from mono_depth.scale import sparse_points


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


def drawn_points(points: MotionPoints, full: Intrinsics, size: tuple[int, int]) -> DepthImage:
    """Return a depth map with the points of an image in it; of two in a pixel the nearer one.

    Args:
        points: of the image.
        full: its camera.
        size: (width, height) of the map.

    Returns:
        (height, width) float32 metres, NaN where no point is.
    """
    width, height = size
    depth_m = np.full((height, width), np.inf, np.float32)
    columns = np.rint((points.pixels[:, 0] + 0.5) * (width / full.width) - 0.5).astype(np.intp)
    rows = np.rint((points.pixels[:, 1] + 0.5) * (height / full.height) - 0.5).astype(np.intp)
    place = rows.clip(0, height - 1), columns.clip(0, width - 1)
    np.minimum.at(depth_m, place, points.depth_m.astype(np.float32))
    return np.where(np.isfinite(depth_m), depth_m, np.float32(np.nan))

"""What a sensor hands to a costmap or to a monitor: rays or points, with their time and place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

_LESS_THAN_MAX_M = 1e-4  # what Nav2 takes off range_max where it believes +Inf


@dataclass(frozen=True, kw_only=True)
class PlanePose:
    """A place on the floor in odom, with a heading counter-clockwise from x."""

    x_m: float
    y_m: float
    yaw_rad: float

    def of(self, points_m: F64) -> F64:
        """Return (n, 2) or (n, 3) points of the body in odom; heights stay as they are."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        turned = np.array(points_m, np.float64)
        turned[:, 0] = self.x_m + c * points_m[:, 0] - s * points_m[:, 1]
        turned[:, 1] = self.y_m + s * points_m[:, 0] + c * points_m[:, 1]
        return turned


@dataclass(frozen=True, kw_only=True)
class LaserReading:
    """A LaserScan, and where its frame was."""

    bearings_rad: F64  # (n,) counter-clockwise from x
    ranges_m: F64  # (n,) NaN, +Inf and -Inf as they come
    range_min_m: float
    range_max_m: float
    stamp_s: float
    height_m: float = 0.0  # of the scan's plane over the floor

    def points(self, *, inf_is_valid: bool = False) -> F64:
        """Return (m, 3) points in the frame of the scan, as Nav2 projects them.

        What is no number, nearer than range_min or as far as range_max is no point. With
        `inf_is_valid` a ray that saw nothing ends a little before range_max: there, too, lies a
        point, as if something stood there.
        """
        ranges = self.ranges_m
        if inf_is_valid:
            ranges = np.where(ranges == np.inf, self.range_max_m - _LESS_THAN_MAX_M, ranges)
        with np.errstate(invalid="ignore"):
            good = (ranges >= self.range_min_m) & (ranges < self.range_max_m)
        r, angle = ranges[good], self.bearings_rad[good]
        return np.stack([r * np.cos(angle), r * np.sin(angle), np.full(len(r), self.height_m)], 1)


@dataclass(frozen=True, kw_only=True)
class CloudReading:
    """A PointCloud2 in a level frame of the robot."""

    points_m: F64  # (n, 3), z = height over the floor; NaN and Inf as they come
    stamp_s: float
    origin_height_m: float = 0.0  # where its rays start

    def points(self) -> F64:
        """Return the (m, 3) points that are numbers."""
        return np.asarray(self.points_m[np.isfinite(self.points_m).all(axis=1)])

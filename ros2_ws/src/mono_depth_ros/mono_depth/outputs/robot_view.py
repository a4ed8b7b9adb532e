"""Scan, obstacles and free space of a depth result, or why there are none."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mono_depth.camera.level import Rotation, level_rotation
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics, PlannerUse
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.ground_level import ground_level
from mono_depth.outputs.level_view import LevelViews
from mono_depth.outputs.obstacle_faults import fault_of
from mono_depth.outputs.obstacle_points import ObstaclePoints, clearing_points, obstacle_points
from mono_depth.outputs.obstacle_view import ObstacleView, obstacle_view
from mono_depth.outputs.scan import Scan, scan_from
from mono_depth.system.threads import on_one_thread

_REMEMBERED = 30  # frames whose ground is remembered
_SETTLED = 10  # frames of one height, after which it may be cleared by
_ALIKE = 0.1  # of the height
_SEEN = 0.7  # of the bearings: so many are known where a message without obstacles is sent

NOTHING_SURE = (
    "no obstacle is seen, and that the way is clear cannot be told: the metres are assumed, or the "
    "view does not reach far enough"
)
NO_GRAVITY = (
    "which way is down is not known: odometry, /tf to odometry.ground_frame or the imu tells"
)


@dataclass(frozen=True, kw_only=True)
class RobotView:
    """What a robot may steer by of one frame. What is not asked for is not computed."""

    seen: ObstacleView
    may_clear: bool  # False: obstacles may be marked, no space be cleared

    @cached_property
    @on_one_thread
    def silence(self) -> str:
        """Why nothing of this frame may be given to a planner, "" = it may."""
        return fault_of(self.seen)

    @cached_property
    @on_one_thread
    def scan(self) -> Scan | None:
        """The scan; None where it would say nothing, which planners take for a free way."""
        scan = self._measured if self.may_clear else self._measured.without_clear()
        return None if bool(scan.ranges_m.isnan().all()) else scan

    @cached_property
    @on_one_thread
    def obstacles(self) -> ObstaclePoints | None:
        """What is in the way; None where nothing is, unless the view was seen and may clear."""
        found = obstacle_points(self.seen, self._measured)
        return found if len(found.points) or self._is_all_seen else None

    @cached_property
    @on_one_thread
    def clearing(self) -> ObstaclePoints | None:
        """What is seen to be free; None where the metres are not sure enough, or nothing is."""
        if not self.may_clear:
            return None
        found = clearing_points(self.seen, self._measured)
        return found if len(found.points) else None

    @cached_property
    def _measured(self) -> Scan:
        return scan_from(self.seen)

    @property
    def _is_all_seen(self) -> bool:
        """Whether that there is no obstacle would be true."""
        return self.may_clear and float((self._measured.free_m > 0.0).float().mean()) >= _SEEN


class RobotViews:
    """Makes the robot views of a stream of results of one camera."""

    def __init__(self) -> None:
        self._views = LevelViews()
        self._grounds: deque[float] = deque(maxlen=_REMEMBERED)

    def reset(self) -> None:
        """Forget earlier frames."""
        self._grounds.clear()

    @on_one_thread
    def of(self, result: DepthResult, config: ScanConfig) -> RobotView | str:
        """Return the robot view of a result, or why there is none."""
        depth_m, intrinsics = result.network_depth_m, result.intrinsics
        if result.planner_use is PlannerUse.NONE or depth_m is None:
            return result.image_problem or result.scale.reason or "there are no metres"
        if intrinsics is None:
            return "the camera is not calibrated"
        R_level_camera = level_rotation(result.gravity_camera)
        if R_level_camera is None:
            is_known = result.gravity_camera is not None
            return "the camera looks straight down or up" if is_known else NO_GRAVITY
        height, width = depth_m.shape
        intrinsics = intrinsics.scaled_to(width, height)
        camera_height_m = result.camera_height_m
        is_ground_sure = camera_height_m is not None
        if camera_height_m is None:
            camera_height_m, is_ground_sure = self._height_m(depth_m, intrinsics, R_level_camera)
        if camera_height_m is None:
            return (
                "the height of the camera is not known, and no ground is in view: set "
                "scale.camera_height_m"
            )
        view = self._views.of(intrinsics, R_level_camera, camera_height_m, config, depth_m.device)
        return RobotView(
            seen=obstacle_view(
                depth_m,
                result.network_confidence,
                view,
                config,
                is_visible=_shrunk(result.is_visible, (height, width)),
            ),
            may_clear=is_ground_sure and result.planner_use is PlannerUse.MARK_AND_CLEAR,
        )

    def _height_m(
        self, depth_m: torch.Tensor, intrinsics: Intrinsics, R_level_camera: Rotation
    ) -> tuple[float | None, bool]:
        """Return the height of the camera over the ground that depth shows, and if it is sure."""
        found = ground_level(depth_m, intrinsics, R_level_camera)
        if found is not None:
            self._grounds.append(found)
        if not self._grounds:
            return None, False
        middle = float(np.median(self._grounds))
        alike = sum(abs(ground - middle) < _ALIKE * middle for ground in self._grounds)
        return middle, alike >= max(_SETTLED, 0.8 * len(self._grounds))


def _shrunk(mask: torch.Tensor | None, size: tuple[int, int]) -> torch.Tensor | None:
    """Return a mask of the image at the size of a map; True where the pixel's middle is."""
    if mask is None or mask.shape == size:
        return mask
    rows = ((torch.arange(size[0], device=mask.device) + 0.5) * (mask.shape[0] / size[0])).long()
    columns = ((torch.arange(size[1], device=mask.device) + 0.5) * (mask.shape[1] / size[1])).long()
    return mask[rows[:, None], columns[None, :]]

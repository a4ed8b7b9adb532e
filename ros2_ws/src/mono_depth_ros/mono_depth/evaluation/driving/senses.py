"""What the robot sees: the scan of exact depth, of the product's depth, or of no depth at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from mono_depth.camera.level import level_rotation
from mono_depth.config import PipelineConfig, ScanConfig
from mono_depth.data import Frame, Intrinsics
from mono_depth.errors import FrameError
from mono_depth.evaluation.driving.readings import CloudReading, LaserReading
from mono_depth.outputs.level_view import LevelViews
from mono_depth.outputs.obstacle_view import obstacle_view
from mono_depth.outputs.robot_view import NOTHING_SURE, RobotView, RobotViews
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.synthetic.arrays import F32, F64
from mono_depth.synthetic.render import Rendered, exact_depth, render
from mono_depth.synthetic.scene import Scene
from mono_depth.synthetic.sensor import SensorEffects, auto_gain

_BLIND_M = 4.0
_MAP_PX = 160, 120  # of depth without a network: a leg of 3 cm is a pixel wide up to 2.4 m


@dataclass(frozen=True, kw_only=True)
class View:
    """One view of the robot's camera and what is known with it. Rendered when first asked for."""

    scene: Scene
    intrinsics: Intrinsics
    T_scene_camera: F64  # (4, 4) where it truly is
    T_odom_camera: F64  # (4, 4) as odometry says it
    camera_height_m: float
    time_s: float

    @cached_property
    def image(self) -> Rendered:
        """What the camera sees, in light."""
        return render(
            self.scene, self.intrinsics, self.T_scene_camera, self.time_s, samples_per_pixel=2
        )

    def depth_m(self, intrinsics: Intrinsics) -> F32:
        """Return (H, W) exact depth for the pixels of `intrinsics`, without an image."""
        return exact_depth(self.scene, intrinsics, self.T_scene_camera, self.time_s)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What marks and what clears, or why there is neither."""

    scan: LaserReading | None = None
    clearing: CloudReading | None = None
    silence: str = ""


class Sense(Protocol):
    """Makes scans of images."""

    name: str

    def see(self, view: View) -> Sight:
        """Return the scan of a view."""

    def reset(self) -> None:
        """Forget earlier views: another drive begins."""


class DepthSense:
    """Scans a depth map that needs no network: the exact one, or the same depth everywhere."""

    def __init__(self, name: str, config: ScanConfig, *, is_blind: bool = False) -> None:
        self.name, self._is_blind = name, is_blind
        # The floor at 4 m would be a pit, and who is blind would never start.
        self._config = replace(config, drop_m=0.0) if is_blind else config
        self._views = LevelViews()

    def reset(self) -> None:
        """Do nothing: each view stands for itself."""

    def see(self, view: View) -> Sight:
        """Return the scan of exact depth, or of depth that is 4 m wherever one looks."""
        intrinsics = view.intrinsics.scaled_to(*_MAP_PX)
        if self._is_blind:
            depth_m = np.full(_MAP_PX[::-1], _BLIND_M, np.float32)
        else:
            depth_m = view.depth_m(intrinsics)
        turn = level_rotation(_gravity(view.T_odom_camera))
        if turn is None:
            return Sight(silence="the camera looks straight down or up")
        level = self._views.of(
            intrinsics, turn, view.camera_height_m, self._config, torch.device("cpu")
        )
        seen = obstacle_view(torch.from_numpy(depth_m), None, level, self._config)
        return _sight(RobotView(seen=seen, may_clear=True), view)


class ProductSense:
    """Scans what the pipeline makes of the image, with odometry, as the node does."""

    def __init__(
        self, name: str, config: PipelineConfig, scan: ScanConfig, *, knows_height: bool
    ) -> None:
        """Load the network.

        Args:
            name: of this sense in tables.
            config: of the pipeline.
            scan: of the scan.
            knows_height: the camera's height over the floor is told, as by TF.
        """
        self.name, self._config, self._scan = name, config, scan
        self._knows_height = knows_height
        self._pipeline: DepthPipeline = build_pipeline(config)
        self._views = RobotViews()
        self._effects = SensorEffects()
        self.reset()

    def reset(self) -> None:
        """Forget the last drive; the first view sets the exposure."""
        self._pipeline.reset()
        self._views.reset()
        self._gain: float | None = None
        self._count = 0

    def see(self, view: View) -> Sight:
        """Return the scan that the node would publish, or why it would be silent."""
        linear = view.image.rgb_linear
        self._gain = auto_gain(linear) if self._gain is None else self._gain
        self._count += 1
        rng = np.random.default_rng([11, self._count])
        frame = Frame(
            rgb=self._effects.apply(linear, rng, self._gain),
            stamp_ns=round(view.time_s * 1e9),
            frame_id="camera_optical_frame",
            intrinsics=view.intrinsics,
            T_odom_camera=view.T_odom_camera,
            gravity_camera=_gravity(view.T_odom_camera),
            camera_height_m=view.camera_height_m if self._knows_height else None,
        )
        try:
            result = self._pipeline.process(frame)
        except FrameError as error:
            return Sight(silence=str(error))
        robot = self._views.of(result, self._scan)
        if isinstance(robot, str):
            return Sight(silence=robot)
        return _sight(robot, view)


def _gravity(T_odom_camera: F64) -> F64:
    return np.asarray(T_odom_camera[:3, :3].T @ np.array([0.0, 0.0, -1.0]))


def _sight(robot: RobotView, view: View) -> Sight:
    """Return what the node would publish of a robot view."""
    if robot.silence:
        return Sight(silence=robot.silence)
    scan, clearing = robot.scan, robot.clearing
    if scan is None:
        return Sight(silence=NOTHING_SURE)
    bearings, steps = scan.bearings, np.arange(scan.bearings.count, dtype=np.float64)
    reading = LaserReading(
        bearings_rad=bearings.first_rad + bearings.step_rad * steps,
        ranges_m=scan.ranges_m.cpu().numpy().astype(np.float64),
        range_min_m=scan.range_min_m,
        range_max_m=scan.range_max_m,
        stamp_s=view.time_s,
        height_m=view.camera_height_m,
    )
    if clearing is None:
        return Sight(scan=reading)
    points = clearing.points.cpu().numpy().astype(np.float64)  # optical frame, and height
    level = points[:, :3] @ robot.seen.view.R_level_camera.T
    level[:, 2] = points[:, 3]
    cloud = CloudReading(points_m=level, stamp_s=view.time_s, origin_height_m=view.camera_height_m)
    return Sight(scan=reading, clearing=cloud)

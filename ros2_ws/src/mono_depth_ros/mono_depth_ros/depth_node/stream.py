"""One active stream: from the image message to the published depth, on one worker thread."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from mono_depth.data import DepthImage, ScaleStatus
from mono_depth.errors import FrameError, MonoDepthError
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.stream.latest_worker import LatestWorker
from mono_depth.stream.stamp_guard import StampGuard
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node.frame_reader import FrameReader
from mono_depth_ros.depth_node.frame_stats import FrameStats
from mono_depth_ros.depth_node.publishers import DepthPublishers, HostResult
from mono_depth_ros.depth_node.scale_topic import ScaleReporter
from mono_depth_ros.depth_node.snapshot_service import SnapshotService
from mono_depth_ros.rclpy_support.throttle import Throttle
from mono_depth_ros.sensors.camera_geometry import CameraGeometry
from mono_depth_ros.sensors.camera_poses import CameraPoses, parse_pose, parse_rotation
from mono_depth_ros.sensors.imu_gravity import ImuGravity
from mono_depth_ros.sensors.optical_frame import OpticalFrame
from mono_depth_ros.sensors.sensor_depth import SensorDepth
from mono_depth_ros.sensors.sparse_points import PointsBuffer
from mono_depth_ros.sensors.tally import Tally

_SKIP_LOG_PERIOD_S = 5.0


class DepthStream:
    """Takes messages on the executor thread; decodes, computes and publishes on its own.

    Args:
        pipeline: finds depth; used by the worker thread only.
        outputs: encodes and publishes.
        snapshots: serves requests for files.
        scale_reporter: tells the state of the metric scale.
        config: returns the parameters of this moment.
        clock: of the node, for latency and age.
        logger: of the node.
        context: of the node; where it is shut down, nothing can be published.
    """

    def __init__(
        self,
        *,
        pipeline: DepthPipeline,
        outputs: DepthPublishers,
        snapshots: SnapshotService,
        scale_reporter: ScaleReporter,
        config: Callable[[], NodeConfig],
        clock: Clock,
        logger: RcutilsLogger,
        context: Context,
    ) -> None:
        self._pipeline, self._outputs, self._snapshots = pipeline, outputs, snapshots
        self._scale_reporter = scale_reporter
        self._config, self._clock, self._logger = config, clock, logger
        self._context = context
        odometry, imu = config().odometry, config().imu
        self.poses = CameraPoses(
            fixed_frame=odometry.fixed_frame,
            camera_in_body=parse_pose(odometry.camera_in_body),
            ground_frame=odometry.ground_frame,
            source=odometry.source,
        )
        camera_in_imu = parse_rotation(imu.camera_in_imu)
        self.gravity = ImuGravity(self.poses.tree, camera_in_imu) if imu.enabled else None
        self._points = PointsBuffer(self.poses)
        self.sensor_depth = SensorDepth()
        self.geometry = CameraGeometry(
            poses=self.poses,
            gravity=self.gravity,
            points=self._points,
            optical_frame=OpticalFrame(self.poses.tree, config().frames.optical_frame),
        )
        self._reader = FrameReader(
            rectify=config().rectify,
            geometry=self.geometry,
            sensor_depth=self.sensor_depth,
        )
        self.inputs = self._all_inputs(imu.enabled)
        self._stamps = StampGuard()
        self._throttle = Throttle(_SKIP_LOG_PERIOD_S)
        self._reset_reason = "activated"
        self.stats = FrameStats()
        self.scale: ScaleStatus | None = None
        self.temporal_mode = self.completed = ""  # of the newest frame
        self.failures_in_a_row = 0
        self.last_failure = ""
        self._worker: LatestWorker[Image | CompressedImage] = LatestWorker(
            self._handle, on_drop=lambda _: self.stats.on_dropped()
        )

    def _all_inputs(self, has_imu: bool) -> dict[str, Tally]:
        imu = Tally("imu", off="" if has_imu else "imu.enabled is off")
        tallies = (
            self._reader.images,
            self._reader.infos,
            self._points.tally,
            self.sensor_depth.tally,
            imu if self.gravity is None else self.gravity.tally,
            *([self.poses.tally] if self.poses.is_wanted else []),
        )
        return {tally.name: tally for tally in tallies}

    def submit(self, msg: Image | CompressedImage) -> None:
        """Hand over the newest image; one that still waits is dropped."""
        self.stats.on_received()
        self._reader.images.hear(0)
        self._worker.submit(msg)

    def set_info(self, info: CameraInfo) -> None:
        """Hand over the newest calibration."""
        self._reader.set_info(info)

    def set_points(self, cloud: PointCloud2) -> None:
        """Hand over the newest metric points."""
        try:
            self._points.on_cloud(cloud)
        except FrameError as error:
            self._points.tally.refuse(f"sparse_points skipped: {error}")
            self._tell(self._points.tally.refusal)

    def reset(self, reason: str) -> None:
        """Forget the past before the next frame."""
        self._reset_reason = reason

    def stop(self) -> None:
        """Finish the frame in work and end the worker."""
        self._worker.stop()

    def _handle(self, msg: Image | CompressedImage) -> None:
        self.stats.on_started()
        try:
            self._process(msg)
            self.failures_in_a_row = 0
        except MonoDepthError as error:
            self._skip(f"frame skipped: {error}", str(error))
        except Exception as error:  # noqa: BLE001 - the node outlives one bad frame
            if not self._context.ok():
                self.stats.on_skipped("ROS was shut down")
                return
            self.failures_in_a_row += 1
            self.last_failure = repr(error)
            self._skip(f"frame failed: {traceback.format_exc()}", repr(error))

    def _process(self, msg: Image | CompressedImage) -> None:
        wanted = self._outputs.wanted()
        if not wanted and not self._snapshots.is_wanted:
            self.stats.on_skipped("", idle=True)
            return
        config = self._config()
        self._check_age(msg, config.max_age_s)
        self.sensor_depth.wait_for(stamp_ns(msg.header), config.sensor_depth)
        start_s = time.perf_counter()
        frame = self._reader.read(msg, config)
        self._tell(self.sensor_depth.report().problem)
        gap = self._stamps.admit(frame.stamp_ns, config.stream)
        self._forget_if_needed(gap or self._reader.reset_reason)
        decode_ms = (time.perf_counter() - start_s) * 1e3

        result = self._pipeline.process(frame)
        host = HostResult(result)
        publish_ms = self._outputs.publish(host, msg.header, config, wanted)
        total_ms = (time.perf_counter() - start_s) * 1e3

        self.scale, self.temporal_mode = result.scale, result.temporal
        self.completed = result.completed
        self._scale_reporter.report(result.scale)
        if result.temporal_reset:
            self.stats.on_reset(result.temporal_reset)
        if not publish_ms and not self._snapshots.is_wanted:
            reason = result.scale.reason or f"{self._pipeline.model.name} completes no depth"
            raise FrameError(f"nothing to publish on {', '.join(wanted)}: {reason}")
        depth_m = host.depth_m if "depth/image" in wanted else None
        latency_ms = (self._clock.now().nanoseconds - frame.stamp_ns) * 1e-6
        self.stats.on_published(
            latency_ms=latency_ms,
            stage_ms={
                "decode": decode_ms,
                **result.stage_ms,
                **publish_ms,
                "beyond_inference": total_ms - result.stage_ms["infer"],
                "total": total_ms,
                "latency_beyond_inference": latency_ms - result.stage_ms["infer"],
            },
            nan_ratio=None if depth_m is None else _nan_ratio(depth_m),
        )
        if self._snapshots.is_wanted:
            root = Path(config.snapshot_dir or Path.home() / ".ros" / "mono_depth")
            self._snapshots.serve(result, root)

    def _check_age(self, msg: Image | CompressedImage, max_age_s: float) -> None:
        age_s = (self._clock.now().nanoseconds - stamp_ns(msg.header)) * 1e-9
        if 0.0 < max_age_s < age_s:
            raise FrameError(f"the image is {age_s:.3f} s old, max_age_s is {max_age_s}")

    def _forget_if_needed(self, stream_reason: str) -> None:
        reason = self._reset_reason or stream_reason
        if reason:
            self._reset_reason = ""
            self._pipeline.reset()
            self._outputs.reset()
            self.stats.on_reset(reason)

    def _skip(self, log_line: str, reason: str) -> None:
        self.stats.on_skipped(reason)
        if self._throttle.is_due(reason):
            self._logger.warning(log_line)

    def _tell(self, problem: str) -> None:
        if problem and self._throttle.is_due(problem):
            self._logger.warning(problem)


def _nan_ratio(depth_m: DepthImage) -> float:
    return np.count_nonzero(np.isnan(depth_m)) / depth_m.size

"""One active stream: from the image message to the published depth, on one worker thread."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from mono_depth.data import DepthImage, Frame, MotionPoints, ScaleStatus
from mono_depth.errors import FrameError, MonoDepthError
from mono_depth.messages.frame_names import frame_name
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.scale.tracker import ScaleLostError
from mono_depth.stream.back_off import BackOff
from mono_depth.stream.clock_watch import ClockChange
from mono_depth.stream.latest_worker import LatestWorker
from mono_depth.stream.stamp_guard import StampGuard
from mono_depth.system.gpu_errors import is_gpu_lost
from mono_depth_ros.codec.stamps import stamp_ns
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node.frame_reader import FrameReader
from mono_depth_ros.depth_node.frame_stats import FrameStats
from mono_depth_ros.depth_node.image_clock import ImageClock
from mono_depth_ros.depth_node.publishers import DepthPublishers, HostResult, steers_a_robot
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


@dataclass(frozen=True, kw_only=True)
class _Arrival:
    """An image, and what its stamp said when it was received."""

    msg: Image | CompressedImage
    breaks: int  # of the stream so far
    reason: str  # of the newest of them


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
        on_gpu_lost: told when this process cannot use the GPU any more.
        image_topic: its name may say that images are rectified.
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
        on_gpu_lost: Callable[[Exception], None],
        image_topic: str,
    ) -> None:
        self._pipeline, self._outputs, self._snapshots = pipeline, outputs, snapshots
        self._scale_reporter = scale_reporter
        self._config, self._clock, self._logger = config, clock, logger
        self._context, self._on_gpu_lost = context, on_gpu_lost
        self._next: DepthPipeline | None = None  # takes over with the next frame
        self._release: Callable[[DepthPipeline], None] = DepthPipeline.close
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
            image_topic=image_topic,
            geometry=self.geometry,
            sensor_depth=self.sensor_depth,
        )
        self.inputs = self._all_inputs(imu.enabled)
        self._stamps = StampGuard()
        self._throttle, self._once = Throttle(_SKIP_LOG_PERIOD_S), Throttle(math.inf)
        self._breaks, self._break_reason = 0, ""
        self._breaks_seen, self._last_ns = 0, 0  # of the newest frame
        self._skipped_since = False  # a frame was skipped since then
        self.image_clock = ImageClock(clock)
        self._reset_reason = "activated"
        self.stats = FrameStats()
        self.scale: ScaleStatus | None = None
        self.motion: MotionPoints | None = None  # of the newest frame
        self.temporal_mode = self.temporal_doubt = self.completed = ""  # of the newest frame
        self._image_problem = ""
        self.robot_silence = ""  # why scan or obstacles are missing, "" = they are not, or unwanted
        self.sky_share = 0.0  # of the newest frame
        self._back_off = BackOff()
        self._last_failure = ""
        self._worker: LatestWorker[_Arrival] = LatestWorker(
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

    @property
    def image_doubt(self) -> str:
        """Why the depth may be wrong although the images can be read, "" = no reason is seen."""
        return self._image_problem or self._reader.doubt

    @property
    def unended_jpegs(self) -> int:
        """Images that were whole but for the marker of their end."""
        return self._reader.unended_jpegs

    def submit(self, msg: Image | CompressedImage) -> None:
        """Hand over the newest image; one that still waits is dropped."""
        self.stats.on_received()
        self._reader.images.hear(0)
        try:
            at_ns = stamp_ns(msg.header)
            reason = self._stamps.admit(at_ns, self._config().stream)
        except FrameError as error:
            self._reader.images.refuse(f"frame skipped: {error}")
            self.stats.on_refused(str(error))
            self._tell(f"frame skipped: {error}; {self._stamps.refusals()}")
            return
        if self._stamps.change is not None:
            self._follow(self._stamps.change)
        if reason:
            self._breaks, self._break_reason = self._breaks + 1, reason
        self._worker.submit(_Arrival(msg=msg, breaks=self._breaks, reason=self._break_reason))

    def set_info(self, info: CameraInfo, received_s: float) -> None:
        """Hand over the newest calibration, and when it came, of the monotonic clock."""
        self._reader.set_info(info, received_s)

    def set_points(self, cloud: PointCloud2) -> None:
        """Hand over the newest metric points."""
        self._points.on_cloud(cloud)

    def on_clock_jump(self, change: ClockChange) -> None:
        """Forget what is of before a jump of the ROS clock; images that follow are of the new."""
        self._stamps.forget()
        self._follow(change)
        self.reset(f"the ROS clock jumped back by {(change.from_ns - change.to_ns) * 1e-9:.3f} s")

    def _follow(self, change: ClockChange) -> None:
        self.poses.follow(change)
        self._points.follow(change)
        self.sensor_depth.follow(change)
        if self.gravity is not None:
            self.gravity.follow(change)

    def reset(self, reason: str) -> None:
        """Forget the past before the next frame."""
        self._reset_reason = reason

    @property
    def problem(self) -> str:
        """Why frames are left out for now, "" = they are not."""
        if not self._back_off.pause_s:
            return ""
        return (
            f"paused for {self._back_off.pause_s:g} s after {self._back_off.failures} failed "
            f"frames in a row, then tried again: {self._last_failure}"
        )

    def replace_pipeline(
        self, pipeline: DepthPipeline, release: Callable[[DepthPipeline], None]
    ) -> None:
        """Let another pipeline find depth from the next frame on; the old one is released."""
        self._release = release
        unused, self._next = self._next, pipeline
        if unused is not None:
            release(unused)

    def stop(self) -> None:
        """Finish the frame in work and end the worker."""
        self._worker.stop()
        self._take_next()

    def _take_next(self) -> None:
        pipeline, self._next = self._next, None
        if pipeline is None:
            return
        old, self._pipeline = self._pipeline, pipeline
        self._back_off.on_success()  # what failed has gone
        self._outputs.reset()
        self.stats.on_reset(f"model {pipeline.model.name} took over")
        self._release(old)

    def _handle(self, arrival: _Arrival) -> None:
        if self._next is not None:
            self._take_next()
        self.stats.on_started()
        if self._back_off.is_paused:
            self._skip(f"frame skipped: {self.problem}", self.problem)
            return
        try:
            self._process(arrival)
        except MonoDepthError as error:
            if isinstance(error, ScaleLostError):
                self._tell_scale(error.status)
            self._skip(f"frame skipped: {error}", str(error))
            if is_gpu_lost(error):
                self._on_gpu_lost(error)
        except Exception as error:  # noqa: BLE001 - the node outlives one bad frame
            if not self._context.ok():
                self.stats.on_skipped("ROS was shut down")
                return
            self._skip(f"frame failed: {traceback.format_exc()}", repr(error))
            if is_gpu_lost(error):
                self._on_gpu_lost(error)
            self._last_failure = repr(error)
            if self._back_off.on_failure():
                self.reset("failed frames")
                self._logger.error(self.problem)

    def _process(self, arrival: _Arrival) -> None:
        msg, wanted = arrival.msg, self._outputs.wanted()
        if not wanted and not self._snapshots.is_wanted:
            self._skipped_since, self.robot_silence = True, ""
            self.stats.on_skipped("", idle=True)
            return
        config = self._config()
        self._check_age(msg, config.max_age_s)
        self._wait_for_inputs(msg.header, config)
        start_s = time.perf_counter()
        frame = self._reader.read(msg, config)
        depth_report, points = self.sensor_depth.report(), self._points.tally
        for problem in (depth_report.problem, points.reason if points.received else ""):
            self._tell(problem)
        for doubt in (depth_report.doubt, self._reader.doubt):
            if doubt and self._once.is_due(doubt):
                self._logger.warning(doubt)
        frame = self._joined(frame, arrival, config)
        decode_ms = (time.perf_counter() - start_s) * 1e3

        with self._pipeline.turn():
            result = self._pipeline.process(frame)
            host = HostResult(result)
            publish_ms = self._published(host, msg.header, config, wanted)
        total_ms = (time.perf_counter() - start_s) * 1e3
        self.robot_silence = self._outputs.silence if steers_a_robot(wanted) else ""

        self._tell_scale(result.scale)
        self.temporal_mode, self.completed = result.temporal, result.completed
        self.temporal_doubt, self._image_problem = result.temporal_doubt, result.image_problem
        self.sky_share = result.sky_share
        infer_ms = result.stage_ms.get("infer", 0.0)
        self.motion = result.motion
        if result.temporal_reset:
            self.stats.on_reset(result.temporal_reset)
        if not publish_ms and not self._snapshots.is_wanted:
            reason = f"{self._pipeline.model.name} completes no depth"
            reason = reason if result.scale.is_metric else result.scale.reason
            reason = self.robot_silence or reason
            raise FrameError(f"nothing to publish on {', '.join(wanted)}: {reason}")
        depth_m = host.depth_m if "depth/image" in wanted else None
        latency_ms = self.image_clock.latency_s(frame.stamp_ns) * 1e3
        self._tell(self.image_clock.problem)
        self.stats.on_published(
            latency_ms=latency_ms,
            stage_ms={
                "decode": decode_ms,
                **result.stage_ms,
                **publish_ms,
                "beyond_inference": total_ms - infer_ms,
                "total": total_ms,
                "latency_beyond_inference": latency_ms - infer_ms,
            },
            nan_ratio=None if depth_m is None else _nan_ratio(depth_m),
        )
        if self._snapshots.is_wanted:
            root = Path(config.snapshot_dir or Path.home() / ".ros" / "mono_depth")
            self._snapshots.serve(result, root)
        if self._back_off.failures and self._back_off.on_success():
            self._logger.info("depth is found again after failed frames")

    def _tell_scale(self, scale: ScaleStatus) -> None:
        self.scale = scale
        self._scale_reporter.report(scale)
        if scale.state in ("assumed", "held") and self._once.is_due(scale.reason):
            self._logger.info(f"scale {scale.state}: {scale.reason}")

    def _published(
        self, host: HostResult, header: Header, config: NodeConfig, wanted: list[str]
    ) -> dict[str, float]:
        """Publish a frame, whose maps are made when they are asked for."""
        try:
            return self._outputs.publish(host, header, config, wanted)
        except Exception as error:
            if self._pipeline.give_way(error):
                raise FrameError(self._pipeline.memory_problem) from error
            raise

    def _check_age(self, msg: Image | CompressedImage, max_age_s: float) -> None:
        age_s = (self._clock.now().nanoseconds - stamp_ns(msg.header)) * 1e-9
        if 0.0 < max_age_s < age_s:
            raise FrameError(f"the image is {age_s:.3f} s old, max_age_s is {max_age_s}")

    def _wait_for_inputs(self, header: Header, config: NodeConfig) -> None:
        """Give odometry and depth of the image's stamp, which come after it, a moment to come."""
        at_ns = stamp_ns(header)
        self.geometry.wait_for(at_ns, frame_name(header.frame_id), config.odometry.max_wait_s)
        self.sensor_depth.wait_for(at_ns, config.sensor_depth)

    def _joined(self, frame: Frame, arrival: _Arrival, config: NodeConfig) -> Frame:
        """Return the frame as one that follows the last, which is forgotten where it does not.

        Images that were dropped while the network was busy are no gap; those that were received
        but skipped are one.
        """
        last_ns, reason, longest_gap_s = self._last_ns, "", None
        other_camera = self._reader.take_reset_reason()
        if arrival.breaks != self._breaks_seen:
            reason = arrival.reason
        elif last_ns and self._skipped_since:
            step_s = (frame.stamp_ns - last_ns) * 1e-9
            reason = f"no frame for {step_s:.3f} s" if step_s > config.stream.reset_gap_s else ""
        elif last_ns:
            longest_gap_s = self._stamps.longest_step_s(last_ns, frame.stamp_ns)
        self._breaks_seen, self._last_ns = arrival.breaks, frame.stamp_ns
        self._skipped_since = False
        self._forget_if_needed(reason or other_camera)
        return replace(frame, longest_gap_s=longest_gap_s)

    def _forget_if_needed(self, stream_reason: str) -> None:
        reason = self._reset_reason or stream_reason
        if reason:
            self._reset_reason = ""
            self._pipeline.reset()
            self._outputs.reset()
            self.stats.on_reset(reason)

    def _skip(self, log_line: str, reason: str) -> None:
        self._skipped_since = True
        if steers_a_robot(self._outputs.wanted()):
            self.robot_silence = reason
        self.stats.on_skipped(reason)
        if self._throttle.is_due(reason):
            self._logger.warning(log_line)

    def _tell(self, problem: str) -> None:
        if problem and self._throttle.is_due(problem):
            self._logger.warning(problem)


def _nan_ratio(depth_m: DepthImage) -> float:
    return np.count_nonzero(np.isnan(depth_m)) / depth_m.size

"""Depth from one camera as a ROS 2 lifecycle node. Wiring only: `mono_depth` computes.

One image takes four hops on two threads: `submit` puts it into the worker's one-slot mailbox
(newest wins); there `FrameReader.read` decodes it, `DepthPipeline.process` finds its depth and
`DepthPublishers.publish` encodes and publishes what has subscribers.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from mono_depth.errors import ConfigError
from mono_depth.pipeline.build import build_pipeline, warm_up
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.system.unused_memory import give_back_freed, share_arenas
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node.diagnostics import ModelFacts, NodeState, statuses
from mono_depth_ros.depth_node.frame_stats import FrameStats, StatsReport
from mono_depth_ros.depth_node.image_clock import NO_CLOCK
from mono_depth_ros.depth_node.input_watch import InputWatch
from mono_depth_ros.depth_node.model_swap import Loading, ModelSwap, model_values, release
from mono_depth_ros.depth_node.publishers import DepthPublishers
from mono_depth_ros.depth_node.scale_keeper import ScaleKeeper
from mono_depth_ros.depth_node.scale_topic import ScaleReporter, full_name
from mono_depth_ros.depth_node.snapshot_service import SnapshotService
from mono_depth_ros.depth_node.stream import DepthStream
from mono_depth_ros.depth_node.subscriptions import subscribe_all, watch_inputs
from mono_depth_ros.depth_node.watchdog import Watchdog
from mono_depth_ros.exit_codes import ExitCode, end_process
from mono_depth_ros.rclpy_support.clock_jumps import clock_jumps
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.latched_input import LatchedInput
from mono_depth_ros.rclpy_support.lifecycle_requests import refuse_unfit_requests
from mono_depth_ros.rclpy_support.log_handler import LogBridge
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.run_nodes import spin_guarded, until_interrupted
from mono_depth_ros.rclpy_support.transitions import logged

_SUPERVISION_PERIOD_S = 0.5
_MEMORY_PERIOD_S = 30.0


class DepthNode(GuardedNode, LifecycleNode):
    """Subscribes to one camera and publishes its depth."""

    @destroyed_on_error
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("mono_depth", **kwargs)
        refuse_unfit_requests(self)
        self._bridge = LogBridge(self)
        self._pipeline: DepthPipeline | None = None
        self._outputs: DepthPublishers | None = None
        self._stream: DepthStream | None = None
        self._stats = FrameStats()  # of the stream now active, or the last one
        self._problem, self._skipped_before, self._troubles_before = "", 0, 0
        self._swap, self._not_taken = ModelSwap(), ""
        self._watchdog: Watchdog | None = None
        self._info: CameraInfo | None = None
        self._info_received_s: float | None = None
        self._latched_info = LatchedInput(self, CameraInfo, "camera_info", self._on_info)
        self._inputs: list[Any] = []
        self._clock_jumps: Any = None
        self._watch: InputWatch | None = None
        self._services_offered: list[Any] = []
        self._snapshots = SnapshotService(self)
        self._scale_keeper = ScaleKeeper(self.get_logger().warning)
        self._params = NodeParameters(
            self,
            NodeConfig(),
            is_fixed=lambda: self._pipeline is not None,
            may_reload=lambda: self._stream is not None,
            on_change=self._reconfigure,
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Not on the node's clock: a paused simulation must not silence the supervision.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(
            self.config.diagnostics.period_s, self._publish_diagnostics, clock=steady
        )
        self.create_timer(_SUPERVISION_PERIOD_S, self._supervise, clock=steady)
        self.create_timer(_MEMORY_PERIOD_S, give_back_freed, clock=steady)

    @property
    def config(self) -> NodeConfig:
        """The parameters of this moment."""
        return self._params.config

    @property
    def stats(self) -> StatsReport:
        """The counters of the active stream, or of the last one."""
        return self._stats.report()

    def autostart(self) -> None:
        """Configure and activate. On failure the node waits, to be configured again."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def destroy_node(self) -> None:
        """Stop the worker and free everything, in whatever state."""
        self._stop_stream()
        self._release()
        self._swap.close()
        self._bridge.close()
        # rclpy leaves it, and with it the node lives on in the graph and keeps its log topic.
        self._state_machine.destroy_when_not_in_use()
        super().destroy_node()

    def report_problem(self, problem: str) -> None:
        """Log an error and show it in the diagnostics until a transition succeeds."""
        self._problem = problem
        self.get_logger().error(problem)

    # Lifecycle: what configure makes, cleanup frees; what activate makes, deactivate frees.

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, run it once, create publishers and services."""
        self._built_from = self.config
        pipeline = build_pipeline(self.config, is_live=True)
        warm_up_ms = warm_up(pipeline)
        self._pipeline, self._outputs = pipeline, DepthPublishers(self)
        self._scale_reporter = ScaleReporter(self)
        self._services_offered = [
            self.create_service(Trigger, "~/reset", self._on_reset),
            self.create_service(
                Trigger,
                "~/snapshot",
                self._snapshots.on_request,
                callback_group=self._snapshots.callback_group,
            ),
        ]
        self._problem = self._not_taken = ""
        self._tell_model(pipeline, warm_up_ms)
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker, then subscribe."""
        if self._pipeline is None or self._outputs is None:
            return TransitionCallbackReturn.ERROR
        result = super().on_activate(state)
        self._stream = stream = DepthStream(
            pipeline=self._pipeline,
            outputs=self._outputs,
            snapshots=self._snapshots,
            scale_reporter=self._scale_reporter,
            config=lambda: self.config,
            clock=self.get_clock(),
            logger=self.get_logger(),
            context=self.context,
            on_gpu_lost=self._on_gpu_lost,
            image_topic=self.resolve_topic_name("image"),
        )
        self._watchdog = Watchdog(
            busy_s=stream.stats.busy_s,
            limit_s=lambda: self.config.watchdog.limit_s,
            on_hung=self._on_hung,
        )
        self._stats, self._skipped_before, self._problem = stream.stats, 0, ""
        self._snapshots.open()
        if self._info is not None and self._info_received_s is not None:  # it may come once only
            stream.set_info(self._info, self._info_received_s)
        self._inputs = subscribe_all(self, stream, self.config, self._on_info)
        self._watch = watch_inputs(self, stream, self._inputs)
        self._clock_jumps = clock_jumps(self.get_clock(), stream.on_clock_jump)
        return result

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, let the worker finish its frame, silence the publishers."""
        self._stop_stream()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model, the publishers and the services."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from whatever state."""
        self._stop_stream()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, so that the node can be configured again."""
        self._stop_stream()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _stop_stream(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs, self._watch = [], None
        self._latched_info.close()
        if self._clock_jumps is not None:
            self._clock_jumps.unregister()
            self._clock_jumps = None
        if self._stream is not None:
            if self._swap.is_under_way:
                self._keep_model(f"{self.config.model} not taken: the node was deactivated")
            self._stream.stop()
            self._stream = None
            self._scale_keeper.finish(self._kept_pipeline())
        if self._watchdog is not None:  # it also watches the last frame
            self._watchdog.stop()
            self._watchdog = None
        self._snapshots.close()

    def _release(self) -> None:
        for service in self._services_offered:
            self.destroy_service(service)
        self._services_offered = []
        if self._outputs is not None:
            self._outputs.destroy(self)
            self._scale_reporter.destroy()
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = self._outputs = None

    # Inputs and services, on the executor thread.

    def _on_info(self, info: CameraInfo) -> None:
        received_s = time.monotonic()
        self._info, self._info_received_s = info, received_s
        if self._stream is not None:
            self._stream.set_info(info, received_s)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._stream is None:
            response.message = "the node is not active"
            return response
        self._stream.reset("reset service")
        response.success, response.message = True, "the past is forgotten with the next frame"
        return response

    def _reconfigure(self, config: NodeConfig) -> None:
        self._diagnostics_timer.timer_period_ns = round(config.diagnostics.period_s * 1e9)
        self._diagnostics_timer.reset()
        if self._pipeline is not None:
            self._pipeline.reconfigure(config)
        if self._stream is not None:
            if model_values(config) != model_values(self._built_from):
                self._swap.request(config)
            else:
                self._swap.cancel()

    # Another model, while the node is active.

    def _on_loaded(self, loaded: Loading) -> None:
        stream, pipeline = self._stream, loaded.pipeline
        if stream is None or pipeline is None:
            self._keep_model(f"{loaded.config.model} not taken: {loaded.problem}")
            return
        pipeline.reconfigure(self.config)  # what has changed meanwhile
        stream.replace_pipeline(pipeline, release)
        self._pipeline, self._built_from, self._not_taken = pipeline, loaded.config, ""
        self._tell_model(pipeline, loaded.warm_up_ms)

    def _keep_model(self, reason: str) -> None:
        """Go on with the model that runs, and let the parameters say so."""
        self._swap.cancel()
        running = model_values(self._built_from)
        self.set_parameters([Parameter(name, value=value) for name, value in running.items()])
        name = "the model before" if self._pipeline is None else self._pipeline.model.name
        self._not_taken = f"{reason}; {name} goes on"
        self.get_logger().error(self._not_taken)

    def _tell_model(self, pipeline: DepthPipeline, frame_ms: float) -> None:
        model = pipeline.model
        self.get_logger().info(
            f"model {model.name} ({model.kind.value}) on {model.device}, {frame_ms:.0f} ms a frame"
        )

    # Supervision.

    def _supervise(self) -> None:
        self._snapshots.expire()
        loaded = self._swap.take()
        if loaded is not None:
            self._on_loaded(loaded)
        if self._stream is not None and self._info is None:
            self._latched_info.look()
        self._scale_keeper.follow(self._kept_pipeline())

    def _kept_pipeline(self) -> DepthPipeline | None:
        """Return the pipeline whose scale is to be kept."""
        return self._pipeline if self.config.scale.keep else None

    def _on_hung(self, busy_s: float) -> None:
        problem = f"a frame is in work for {busy_s:.1f} s, watchdog.limit_s is"
        self._end(ExitCode.HUNG, f"{problem} {self.config.watchdog.limit_s:g}")

    def _on_gpu_lost(self, error: Exception) -> None:
        self._end(ExitCode.GPU_LOST, f"this process cannot use the GPU any more: {error!r}")

    def _end(self, code: ExitCode, problem: str) -> None:
        """End the process; called on the thread that found out why, whatever others do."""
        with contextlib.suppress(Exception):
            self.report_problem(f"{problem}; the process ends with status {code.value}")
            self._publish_diagnostics()
        end_process(code)

    def _clock_problem(self) -> str:
        if self._stream is None:
            return ""
        image_clock = self._stream.image_clock
        return NO_CLOCK if image_clock.is_missing else image_clock.problem

    def _publish_diagnostics(self) -> None:
        pipeline = self._pipeline
        age_s = self._info_received_s and time.monotonic() - self._info_received_s
        state = NodeState(
            lifecycle=self._state_machine.current_state[1],
            problem=self._problem or ("" if self._stream is None else self._stream.problem),
            image_topic=self.resolve_topic_name("image"),
            camera_info_age_s=age_s,
            model=None if pipeline is None else ModelFacts.of(pipeline),
            scale=None if self._stream is None else self._stream.scale,
            temporal_mode="" if self._stream is None else self._stream.temporal_mode,
            sky_share=0.0 if self._stream is None else self._stream.sky_share,
            temporal_doubt="" if self._stream is None else self._stream.temporal_doubt,
            motion=None if self._stream is None else self._stream.motion,
            completed="" if self._stream is None else self._stream.completed,
            image_doubt="" if self._stream is None else self._stream.image_doubt,
            unended_jpegs=0 if self._stream is None else self._stream.unended_jpegs,
            robot_silence="" if self._stream is None else self._stream.robot_silence,
            clock_problem=self._clock_problem(),
            pose_problem="" if self._stream is None else self._stream.poses.problem,
            sensor_depth=None if self._stream is None else self._stream.sensor_depth.report(),
            inputs=() if self._stream is None or self._watch is None else self._watch.reports(),
            frame_problem="" if self._stream is None else self._stream.geometry.problem,
            gravity=None if self._stream is None else self._stream.gravity,
            stats=self.stats,
            skipped_before=self._skipped_before,
            nan_ratio_warn=self.config.diagnostics.nan_ratio_warn,
            watchdog_limit_s=self.config.watchdog.limit_s,
            callbacks=self.guard.report(),
            callbacks_before=self._troubles_before,
            loading=self._swap.wanted,
            not_taken=self._not_taken,
        )
        self._troubles_before = state.callbacks.total
        self._skipped_before = state.stats.skipped - state.stats.idle
        message = DiagnosticArray(status=statuses(full_name(self), state))
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(args: list[str] | None = None, *, node_type: type[DepthNode] = DepthNode) -> None:
    """Run the node until it is interrupted."""
    node: Any = None
    share_arenas()
    try:
        with until_interrupted() as interrupted:
            rclpy.init(args=args)
            node = node_type()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            if node.config.autostart:
                node.autostart()
            spin_guarded(executor, node.guard, interrupted.is_set)
    except ConfigError as error:
        raise SystemExit(f"mono_depth: {error}") from error
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

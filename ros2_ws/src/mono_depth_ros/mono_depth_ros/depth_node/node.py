"""Depth from one camera as a ROS 2 lifecycle node. Wiring only: `mono_depth` computes.

One image takes four hops on two threads: `submit` puts it into the worker's one-slot mailbox
(newest wins); there `FrameReader.read` decodes it, `DepthPipeline.process` finds its depth and
`DepthPublishers.publish` encodes and publishes what has subscribers.
"""

from __future__ import annotations

import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from mono_depth.errors import ConfigError
from mono_depth.pipeline.build import build_pipeline, warm_up
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node.diagnostics import ModelFacts, NodeState, statuses
from mono_depth_ros.depth_node.frame_stats import FrameStats, StatsReport
from mono_depth_ros.depth_node.input_watch import InputWatch
from mono_depth_ros.depth_node.publishers import DepthPublishers
from mono_depth_ros.depth_node.scale_topic import ScaleReporter, full_name
from mono_depth_ros.depth_node.snapshot_service import SnapshotService
from mono_depth_ros.depth_node.stream import DepthStream
from mono_depth_ros.depth_node.subscriptions import subscribe_all, watch_inputs
from mono_depth_ros.rclpy_support.log_handler import LogBridge
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.run_nodes import until_interrupted
from mono_depth_ros.rclpy_support.transitions import logged

_MAX_FAILURES = 5  # unexpected errors in a row after which the node deactivates itself
_SUPERVISION_PERIOD_S = 0.5


class DepthNode(LifecycleNode):
    """Subscribes to one camera and publishes its depth."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("mono_depth", **kwargs)
        self._bridge = LogBridge(self)
        self._pipeline: DepthPipeline | None = None
        self._outputs: DepthPublishers | None = None
        self._stream: DepthStream | None = None
        self._stats = FrameStats()  # of the stream now active, or the last one
        self._problem, self._skipped_before = "", 0
        self._info_received_s: float | None = None
        self._inputs: list[Any] = []
        self._watch: InputWatch | None = None
        self._services_offered: list[Any] = []
        self._params = NodeParameters(
            self,
            NodeConfig(),
            is_fixed=lambda: self._pipeline is not None,
            on_change=self._reconfigure,
        )
        self._snapshots = SnapshotService(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Not on the node's clock: a paused simulation must not silence the supervision.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(
            self.config.diagnostics.period_s, self._publish_diagnostics, clock=steady
        )
        self.create_timer(_SUPERVISION_PERIOD_S, self._supervise, clock=steady)

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
        self._problem = ""
        model = pipeline.model
        self.get_logger().info(
            f"model {model.name} ({model.kind.value}) on {model.device}, "
            f"{warm_up_ms:.0f} ms a frame"
        )
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
        )
        self._stats, self._skipped_before, self._problem = stream.stats, 0, ""
        self._snapshots.open()
        self._inputs = subscribe_all(self, stream, self.config, self._on_info)
        self._watch = watch_inputs(self, stream, self._inputs)
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
        if self._stream is not None:
            self._stream.stop()
            self._stream = None
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
        self._info_received_s = time.monotonic()
        if self._stream is not None:
            self._stream.set_info(info)

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

    # Supervision.

    def _supervise(self) -> None:
        self._snapshots.expire()
        stream = self._stream
        if stream is not None and stream.failures_in_a_row >= _MAX_FAILURES:
            self.trigger_deactivate()
            self.report_problem(
                f"deactivated after {_MAX_FAILURES} failed frames in a row: {stream.last_failure}"
            )

    def _publish_diagnostics(self) -> None:
        pipeline = self._pipeline
        age_s = self._info_received_s and time.monotonic() - self._info_received_s
        state = NodeState(
            lifecycle=self._state_machine.current_state[1],
            problem=self._problem,
            image_topic=self.resolve_topic_name("image"),
            camera_info_age_s=age_s,
            model=None if pipeline is None else ModelFacts.of(pipeline),
            scale=None if self._stream is None else self._stream.scale,
            temporal_mode="" if self._stream is None else self._stream.temporal_mode,
            completed="" if self._stream is None else self._stream.completed,
            pose_problem="" if self._stream is None else self._stream.poses.problem,
            sensor_depth=None if self._stream is None else self._stream.sensor_depth.report(),
            inputs=() if self._stream is None or self._watch is None else self._watch.reports(),
            frame_problem="" if self._stream is None else self._stream.geometry.problem,
            gravity=None if self._stream is None else self._stream.gravity,
            stats=self.stats,
            skipped_before=self._skipped_before,
            nan_ratio_warn=self.config.diagnostics.nan_ratio_warn,
        )
        self._skipped_before = state.stats.skipped - state.stats.idle
        message = DiagnosticArray(status=statuses(full_name(self), state))
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(args: list[str] | None = None, *, node_type: type[DepthNode] = DepthNode) -> None:
    """Run the node until it is interrupted."""
    node: Any = None
    try:
        with until_interrupted():
            rclpy.init(args=args)
            node = node_type()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            if node.config.autostart:
                node.autostart()
            executor.spin()
    except ConfigError as error:
        raise SystemExit(f"mono_depth: {error}") from error
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

"""The node's state as diagnostic_msgs, for robot_monitor, Nav2 and fleet tools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mono_depth.data import MotionPoints, ScaleStatus
from mono_depth.engines.engine_report import EngineReport
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth_ros.depth_node.frame_stats import StatsReport
from mono_depth_ros.depth_node.image_clock import NO_CLOCK
from mono_depth_ros.depth_node.input_watch import InputReport, values_of, warnings_of
from mono_depth_ros.depth_node.scale_topic import scale_values
from mono_depth_ros.rclpy_support.guarded import GuardReport
from mono_depth_ros.sensors.imu_gravity import ImuGravity
from mono_depth_ros.sensors.sensor_depth import SensorDepthReport

_SILENCE_S = 2.0  # without an image for this long the stream counts as dead
_STALL_FACTOR = 10.0  # a frame in work for this many median times, and _STALL_MIN_S, is stuck
_STALL_MIN_S = 5.0
_SLOW_S = 0.5  # a network that takes longer for a frame is slow, if most images are dropped


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is told about the model in use."""

    name: str
    kind: str
    device: str
    sha256: str
    engines: tuple[EngineReport, ...] = ()  # of each of its networks
    memory_problem: str = ""  # what was given up for lack of memory

    @classmethod
    def of(cls, pipeline: DepthPipeline) -> ModelFacts:
        """Return the facts of the model that a pipeline runs."""
        model = pipeline.model
        return cls(
            name=model.name,
            kind=model.kind.value,
            device=str(model.device),
            sha256=model.weights_sha256,
            engines=tuple(pipeline.engine_reports()),
            memory_problem=pipeline.memory_problem,
        )


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """Everything a diagnostic message is made from."""

    lifecycle: str  # label of the lifecycle state: "active", "inactive", ...
    problem: str  # last failure of a transition or of the worker, "" = none
    image_topic: str
    camera_info_age_s: float | None  # None = none received
    model: ModelFacts | None
    scale: ScaleStatus | None  # None until a frame went through
    temporal_mode: str = ""  # of the newest frame: "pose", "flow", "static", "none"
    sky_share: float = 0.0  # of the newest frame
    temporal_doubt: str = ""  # why odometry was not used for it, "" = it was, or there is none
    motion: MotionPoints | None = None  # of the newest frame, None = not asked for
    completed: str = ""  # what was completed in it: "sensor_depth", "sparse_points", "guess"
    image_doubt: str = ""  # why depth may be wrong although images can be read, "" = no reason
    unended_jpegs: int = 0  # images that were whole but for the marker of their end
    robot_silence: str = ""  # why scan or obstacles are not published, "" = they are, or unwanted
    clock_problem: str = ""  # why the latency is unknown, "" = it is known
    pose_problem: str = ""  # why the camera's pose is unknown, "" = it is known
    gravity: ImuGravity | None = None  # None = no IMU is used
    sensor_depth: SensorDepthReport | None = None  # None until the node is active
    inputs: Sequence[InputReport] = ()  # of the active stream
    frame_problem: str = ""  # why what is known of the camera's place is not used
    stats: StatsReport
    skipped_before: int  # usable frames skipped up to the message before
    nan_ratio_warn: float
    watchdog_limit_s: float = 0.0  # 0 = a frame may take any time
    callbacks: GuardReport = field(default_factory=GuardReport)  # what callbacks did not take
    callbacks_before: int = 0  # their errors up to the message before
    loading: str = ""  # a model that will take over
    not_taken: str = ""  # why another model did not


def statuses(node_name: str, state: NodeState) -> list[DiagnosticStatus]:
    """Return the statuses `<node>: stream` and `<node>: model`."""
    level, message = _judge(state)
    return [
        _status(f"{node_name}: stream", level, message, _stream_values(state)),
        _status(f"{node_name}: model", *_judge_model(state), _model_values(state)),
    ]


def _judge(state: NodeState) -> tuple[bytes, str]:
    """Return the level and the message: what is worst, then the inputs that are not used."""
    level, message = _judge_stream(state)
    is_quiet = state.stats.silent_s > _SILENCE_S or state.lifecycle != "active"
    if level == DiagnosticStatus.ERROR or is_quiet:
        return level, message
    said = dict.fromkeys([state.frame_problem, state.temporal_doubt, *warnings_of(state.inputs)])
    voices = [voice for voice in said if voice and voice not in message]
    if not voices:
        return level, message
    if level == DiagnosticStatus.OK:
        return DiagnosticStatus.WARN, "; ".join(voices)
    return level, "; ".join([message, *voices])


def _judge_stream(state: NodeState) -> tuple[bytes, str]:
    stats = state.stats
    if state.problem:
        return DiagnosticStatus.ERROR, state.problem
    if state.lifecycle != "active":
        return DiagnosticStatus.OK, state.lifecycle
    median_ms = stats.stage_p50_ms.get("infer", math.nan)
    stall_s = max(_STALL_MIN_S, 0.0 if math.isnan(median_ms) else _STALL_FACTOR * median_ms * 1e-3)
    if stats.busy_s > stall_s:
        limit = f"; at {state.watchdog_limit_s:g} s the process ends"
        text = f"a frame is in work for {stats.busy_s:.1f} s"
        return DiagnosticStatus.ERROR, text + (limit if state.watchdog_limit_s else "")
    troubles = state.callbacks.total - state.callbacks_before
    if troubles > 0:
        text = f"{troubles} messages or requests not taken, the last: {state.callbacks.newest}"
        return DiagnosticStatus.WARN, text
    if state.clock_problem == NO_CLOCK:
        return DiagnosticStatus.WARN, NO_CLOCK
    if stats.silent_s > _SILENCE_S:
        age = f"no image on {state.image_topic} for {stats.silent_s:.0f} s"
        why = _reason_of(state, "image") or f"see `ros2 topic info -v {state.image_topic}`"
        return DiagnosticStatus.WARN, f"{age}; {why}"
    if state.robot_silence:
        return DiagnosticStatus.ERROR, f"no scan and no obstacles: {state.robot_silence}"
    skipped = stats.skipped - stats.idle - state.skipped_before
    if skipped > 0:
        return DiagnosticStatus.WARN, f"{skipped} frames skipped, the last: {stats.last_skip}"
    if state.gravity is not None and state.gravity.problem and stats.published:
        return DiagnosticStatus.WARN, state.gravity.problem
    if state.sensor_depth is not None and state.sensor_depth.problem:
        return DiagnosticStatus.WARN, state.sensor_depth.problem
    if state.image_doubt:
        return DiagnosticStatus.WARN, state.image_doubt
    if stats.nan_ratio > state.nan_ratio_warn:
        return DiagnosticStatus.WARN, f"{100 * stats.nan_ratio:.0f} % of the pixels have no depth"
    if state.scale is not None and not state.scale.is_metric:
        reason, why = state.scale.reason, _reason_of(state, "camera_info")
        if why and "camera_info" in reason:
            reason = f"{reason} ({why})"
        return DiagnosticStatus.WARN, f"no metric depth: {reason}"
    if state.scale is not None and state.scale.conflict:
        return DiagnosticStatus.WARN, f"the scale is in doubt: {state.scale.conflict}"
    if state.scale is not None and state.scale.state not in ("valid", "assumed"):
        return DiagnosticStatus.WARN, f"scale {state.scale.state}: {state.scale.reason}"
    if median_ms * 1e-3 > _SLOW_S and stats.dropped > stats.published and stats.input_fps:
        return DiagnosticStatus.WARN, (
            f"the network takes {median_ms * 1e-3:.1f} s a frame, images come every "
            f"{1.0 / stats.input_fps:.1g} s: choose a smaller model or input_size"
        )
    if stats.received and stats.received == stats.idle:
        return DiagnosticStatus.OK, "idle: nothing subscribes to an output"
    if state.scale is not None and state.scale.state == "assumed":
        # How the node was set up, not a fault that came: a warning that never goes would hide
        # those that do. What a planner needs to know is in `planner_use`.
        return DiagnosticStatus.OK, f"running, scale assumed: {state.scale.reason}"
    return DiagnosticStatus.OK, "running"


def _reason_of(state: NodeState, name: str) -> str:
    return next((report.reason for report in state.inputs if report.name == name), "")


def _judge_model(state: NodeState) -> tuple[bytes, str]:
    if state.model is None:
        return DiagnosticStatus.OK, "no model loaded"
    model = state.model
    if model.memory_problem:
        return DiagnosticStatus.WARN, model.memory_problem
    if state.not_taken:
        return DiagnosticStatus.WARN, state.not_taken
    refused = [reason for report in model.engines for reason in report.refused]
    if refused:
        return DiagnosticStatus.WARN, f"not taken: {refused[0]}"
    plans = ", ".join(str(report.plan) for report in model.engines)
    return DiagnosticStatus.OK, f"{model.name} on {model.device}, {plans}".removesuffix(", ")


def _stream_values(state: NodeState) -> dict[str, object]:
    stats = state.stats
    age_s = state.camera_info_age_s
    scale = state.scale
    values: dict[str, object] = {
        "lifecycle": state.lifecycle,
        "input_fps": f"{stats.input_fps:.2f}",
        "output_fps": f"{stats.output_fps:.2f}",
        "latency_p50_ms": f"{stats.latency_p50_ms:.2f}",
        "latency_p99_ms": f"{stats.latency_p99_ms:.2f}",
        "received": stats.received,
        "published": stats.published,
        "dropped": stats.dropped,
        "skipped": stats.skipped,
        "skipped_idle": stats.idle,
        "last_skip": stats.last_skip,
        "filter_resets": stats.resets,
        "last_reset": stats.last_reset,
        "nan_ratio": f"{stats.nan_ratio:.4f}",
        "camera_info_age_s": "none received" if age_s is None else f"{age_s:.2f}",
        **({} if scale is None else scale_values(scale)),
        **_gravity_values(state.gravity),
        **_sensor_depth_values(state.sensor_depth),
        **values_of(state.inputs),
        "temporal_mode": state.temporal_mode,
        "temporal_doubt": state.temporal_doubt,
        "sky_share": f"{state.sky_share:.2f}",
        **_motion_values(state.motion),
        "completed": state.completed,
        "image_doubt": state.image_doubt,
        **({"jpegs_without_end": state.unended_jpegs} if state.unended_jpegs else {}),
        "robot_silence": state.robot_silence,
        "clock_problem": state.clock_problem,
        "pose_problem": state.pose_problem,
        "frame_problem": state.frame_problem,
        "last_error": state.problem,
        **_callback_values(state.callbacks),
    }
    return values | _stage_values(stats.stage_p50_ms, stats.stage_p99_ms)


def _motion_values(motion: MotionPoints | None) -> dict[str, object]:
    if motion is None:
        return {"motion": ""}
    if not len(motion):
        return {"motion": motion.reason}
    return {
        "motion": f"{len(motion)} points",
        "motion_landmarks": int((motion.age_s > 0.0).sum()),
        "motion_sigma_rel": f"{np.median(motion.sigma_rel):.3f}",
        "motion_refused": f"{motion.refused:.2f}",
        "motion_parallax_px": f"{motion.parallax_px:.1f}",
    }


def _gravity_values(gravity: ImuGravity | None) -> dict[str, object]:
    if gravity is None:
        return {}
    return {"gravity_source": gravity.source, "gravity_problem": gravity.problem}


def _sensor_depth_values(report: SensorDepthReport | None) -> dict[str, object]:
    if report is None or not report.received:
        return {}
    return {f"sensor_depth_{name}": value for name, value in asdict(report).items()}


def _callback_values(report: GuardReport) -> dict[str, object]:
    values: dict[str, object] = {}
    for fate, counts in (("skipped", report.skipped), ("failed", report.failed)):
        for name, count in counts.items():
            values[f"{name.strip('/').replace('/', '_')}_{fate}"] = count
    return values


def _stage_values(p50_ms: Mapping[str, float], p99_ms: Mapping[str, float]) -> dict[str, object]:
    values: dict[str, object] = {}
    for stage in p50_ms:
        values[f"{stage}_p50_ms"] = f"{p50_ms[stage]:.2f}"
        values[f"{stage}_p99_ms"] = f"{p99_ms[stage]:.2f}"
    return values


def _model_values(state: NodeState) -> dict[str, object]:
    model = state.model
    if model is None:
        return {}
    return {
        "model": model.name,
        "kind": model.kind,
        "device": model.device,
        "model_sha256": model.sha256,
        "memory_problem": model.memory_problem,
        "loading": state.loading,
        "not_taken": state.not_taken,
    } | {
        key if report.model == model.name else f"{key} of {report.model}": value
        for report in model.engines
        for key, value in report.summary().items()
    }


def _status(
    name: str, level: bytes, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id="none", values=pairs
    )

"""Malformed messages on every input, between requests to every service: the node lives."""

from __future__ import annotations

import ctypes
import gc
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, PointCloud2
from std_srvs.srv import Trigger

from malformed_messages import Malformer
from mono_depth.config import flatten, params
from mono_depth_ros.config import NodeConfig

pytestmark = pytest.mark.ros

TABLE = params(NodeConfig())
# Not changed: what would end the process on purpose, write elsewhere, or only take time.
KEPT = {"watchdog.limit_s", "snapshot_dir", "sensor_depth.max_wait_s", "diagnostics.period_s"}
FINAL = {"unconfigured_shutdown", "inactive_shutdown", "active_shutdown"}  # there is no way back
TRANSITIONS = {
    name.removeprefix("TRANSITION_").lower(): getattr(Transition, name)
    for name in dir(Transition)
    if name.startswith("TRANSITION_")
}
GREY = np.full((6, 8, 3), 100, np.uint8)
GREY[:, 4:] = 175
AT_ONCE = 20  # messages between two looks at the node
REQUEST_EVERY = 10  # messages


class Fuzzer:
    """Sends to all inputs and services of a node at the test bench, and looks how it fares."""

    def __init__(self, bench, seed: int) -> None:
        self._bench, self._make = bench, Malformer(seed)
        depth = CompressedImage if bench.node.config.image_transport == "compressed" else Image
        topics = {
            "camera_info": CameraInfo,
            "odom": Odometry,
            "sparse_points": PointCloud2,
            "sensor_depth": depth,
            "imu": Imu,
        }
        self._outputs = {
            name: bench.peer.create_publisher(kind, self._topic(name), 10)
            for name, kind in topics.items()
        }
        self._outputs["image"] = bench.images
        for output in self._outputs.values():
            bench.ros.wait_until(output.get_subscription_count, what=output.topic_name)
        services = {
            "change_state": ChangeState,
            "get_state": GetState,
            "reset": Trigger,
            "snapshot": Trigger,
            "set_parameters": SetParameters,
            "set_parameters_atomically": SetParametersAtomically,
            "get_parameters": GetParameters,
            "describe_parameters": DescribeParameters,
        }
        self._clients = {
            name: bench.peer.create_client(kind, f"/mono_depth/{name}")
            for name, kind in services.items()
        }
        self._answers: deque = deque()
        self.defaults = {
            name: bench.node.get_parameter(name).value
            for name, param in TABLE.items()
            if param.live
        }

    def _topic(self, name: str) -> str:
        return self._bench.node.resolve_topic_name(name)

    def send(self) -> None:
        """Send one message to one input; of /tf, whose message has no wheel, call the callback."""
        name = self._make.choice([*self._outputs, "image", "tf"])
        if name == "tf":
            self._transforms()
            return
        is_compressed = self._bench.node.config.image_transport == "compressed"
        kinds = {"image": "compressed", "sensor_depth": "compressed_depth"} if is_compressed else {}
        self._outputs[name].publish(self._make.message(kinds.get(name, name)))

    def _transforms(self) -> None:
        node = self._bench.node
        stream = node._stream
        if stream is not None:
            transforms = [self._make.message("transform") for _ in range(3)]
            is_static = self._make.choice((True, False))
            take = node.guard.wrap(
                "/tf", lambda: stream.poses.on_transforms(transforms, static=is_static)
            )
            take()

    def ask(self) -> None:
        """Send one request to one service, and go on."""
        name = self._make.choice(list(self._clients))
        client = self._clients[name]
        request = client.srv_type.Request()
        if name == "change_state":
            request.transition = self._transition()
        elif name.startswith("set_parameters"):
            request.parameters = [self._parameter() for _ in range(self._make.choice((0, 1, 3)))]
        elif name.endswith("_parameters"):
            request.names = [self._make.choice([*TABLE, "", "no.such"]) for _ in range(2)]
        self._answers.append((name, client.call_async(request)))

    def _transition(self) -> Transition:
        name = self._make.choice([name for name in TRANSITIONS if name not in FINAL])
        ways = [
            Transition(id=TRANSITIONS[name]),
            Transition(label=name),
            Transition(id=self._make.choice((8, 9, 10, 77, 255))),
            Transition(label=self._make.choice(("", "\n", "x" * 5000, "activate "))),
        ]
        return self._make.choice(ways)

    def _parameter(self) -> ParameterMessage:
        names = [name for name in TABLE if name not in KEPT and not TABLE[name].reloads]
        name = self._make.choice([*names, "", "no.such", "scale", "use_sim_time\0"])
        message = ParameterMessage(name=name)
        value = message.value
        value.type = self._make.choice((0, 1, 2, 3, 3, 4, 4, 5, 7, 9, 255))
        value.integer_value = self._make.value("int64", 0)
        value.double_value = self._make.value("double", 0.0)
        value.string_value = self._make.choice(("", "auto", "none", "32FC1", "x" * 5000))
        value.double_array_value = [1.0]
        return message

    def look(self) -> None:
        """Wait for all answers, and check that nothing went wrong that nobody named."""
        bench = self._bench
        while self._answers:
            name, answer = self._answers.popleft()
            bench.ros.wait_until(lambda answer=answer: self._is_there(answer), what=name)
            assert answer.result() is not None
        traces = [line.msg for line in bench.logs if "Traceback" in line.msg]
        assert traces == []
        assert bench.node.guard.report().failed == {}
        bench.logs.clear()
        del bench.diagnostics[:-3]
        for heard in bench.heard.values():
            heard.clear()

    def _is_there(self, answer: Any) -> bool:
        if not answer.done():
            self.send()  # a snapshot needs an image
        return bool(answer.done())

    def restore(self) -> None:
        """Bring the node back: active, with the parameters that it started with."""
        now = self._call("get_state", GetState.Request()).current_state.label
        steps = {"unconfigured": ("configure", "activate"), "inactive": ("activate",)}
        for step in steps.get(now, ()):
            request = ChangeState.Request(transition=Transition(id=TRANSITIONS[step]))
            assert self._call("change_state", request).success
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in self.defaults.items()
        ]
        assert self._call("set_parameters_atomically", request).result.reason == ""
        for output in self._outputs.values():
            self._bench.ros.wait_until(output.get_subscription_count, what=output.topic_name)

    def _call(self, service: str, request: Any) -> Any:
        answer = self._clients[service].call_async(request)
        self._bench.ros.wait_until(answer.done, what=f"answer of {service}")
        return answer.result()


def memory_mb() -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def fuzz(bench, count: int, seed: int, *, looks_at_memory: bool = False) -> list[float]:
    """Send `count` messages; return the memory in use after each tenth of them [MB]."""
    bench.listen("depth/image", "relative/image", "points")
    fuzzer = Fuzzer(bench, seed)
    used_mb = []
    for number in range(1, count + 1):
        fuzzer.send()
        if number % REQUEST_EVERY == 0:
            fuzzer.ask()
        if number % AT_ONCE == 0:
            fuzzer.look()
            fuzzer.restore()
        if looks_at_memory and number % (count // 10) == 0:
            used_mb.append(memory_mb())
    fuzzer.look()
    stats = bench.settle()
    assert stats.received == stats.published + stats.dropped + stats.skipped
    return used_mb


def assert_works(bench) -> None:
    """Check that good messages give good depth, at once and as a stream of its own."""
    if bench.node.config.image_transport == "compressed":
        return  # as of the raw images, but for the decoder, which keeps nothing
    for is_new, topic in ((False, "relative/image"), (True, "depth/image")):
        if is_new:
            assert bench.change_state("deactivate")
            assert bench.change_state("activate")
        bench.wait_for_inputs()
        bench.calibrate()
        good = bench.image(GREY, step_s=1000.0)  # later than any image before
        before = bench.node.stats.published
        stats = bench.process(good)
        assert stats.published == before + 1, stats.last_skip
        values = np.frombuffer(bench.output(topic, good).data, np.float32)
        assert np.isfinite(values).any()
    assert values[0] == pytest.approx(4.0)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_a_few_hundred_malformed_messages_and_requests_leave_a_node_that_works(
    depth_bench, tmp_path, transport
):
    bench = depth_bench(**fuzzed(transport, tmp_path))

    fuzz(bench, 200, seed=14)

    assert_works(bench)


@pytest.mark.acceptance
@pytest.mark.parametrize(("transport", "seed"), [("raw", 1), ("compressed", 2)])
def test_twenty_thousand_malformed_messages_and_requests_leave_memory_flat(
    depth_bench, tmp_path, transport, seed
):
    bench = depth_bench(**fuzzed(transport, tmp_path))

    used_mb = fuzz(bench, 10_000, seed=seed, looks_at_memory=True)

    assert_works(bench)
    growth_mb = np.median(used_mb[-3:]) - np.median(used_mb[2:5])
    assert growth_mb < 5.0, used_mb


def fuzzed(transport: str, folder: Path) -> dict:
    """Return parameters with which every input is heard."""
    depth = "/depth/compressedDepth" if transport == "compressed" else "/depth"
    return {
        "cli": ["-r", f"sensor_depth:={depth}"],
        "image_transport": transport,
        "imu.enabled": True,
        "snapshot_dir": str(folder),
        "temporal.mode": "auto",
        "sensor_depth.max_wait_s": 0.0,
    }


def test_parameters_that_are_not_fuzzed_exist():
    assert flatten(NodeConfig()).keys() >= KEPT

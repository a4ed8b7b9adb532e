"""Real rclpy on a real middleware, in a ROS domain that belongs to the test alone.

With the pip wheels of rclpy, Python restarts itself once at start-up, before pytest runs, to
set its library path; nothing needs to be set by hand. A process started by a test gets
`ros.env`, which already carries that path, so it does not restart.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from mono_depth_ros.processes.domain import free_domain, local_environment

try:
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState
    from rcl_interfaces.msg import Log
    from rcl_interfaces.srv import SetParametersAtomically
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.parameter import Parameter
    from rclpy.qos import QoSDurabilityPolicy, QoSProfile
    from rclpy.time import Time
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from std_srvs.srv import Trigger

    from mono_depth_ros.depth_node.frame_stats import StatsReport
except ImportError:  # the library and its tests do without ROS
    collect_ignore_glob = ["*test_*.py"]

    def pytest_report_header() -> str:
        """Say why the tests of the node are missing."""
        return "tests/node: not collected, rclpy is not installed"


_PACKAGE = Path(__file__).resolve().parents[2]


class Ros:
    """A ROS context whose executor spins in a thread."""

    def __init__(self, domain_id: int, log_dir: Path) -> None:
        self.domain_id = domain_id
        self.env = {
            **os.environ,
            **local_environment(domain_id),
            "PYTHONPATH": os.pathsep.join([str(_PACKAGE), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self._log_dir = log_dir
        self._nodes: list[Node] = []
        self._processes: list[tuple[subprocess.Popen[str], IO[str]]] = []
        self._thread = threading.Thread(target=self.executor.spin, name="ros", daemon=True)
        self._thread.start()

    def node(self, name: str, **options: Any) -> Node:
        """Create a node that the executor spins."""
        return self.add(Node(name, context=self.context, **options))

    def add(self, node: Any) -> Any:
        """Spin a node that was made with `context=ros.context`; it is destroyed at the end."""
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def destroy(self, destroy: Callable[[Any], object], item: Any) -> None:
        """Destroy what the executor waits for, on its thread, which a lost handle would end."""
        task = self.executor.create_task(destroy, item)
        self.wait_until(task.done, what="destroyed")

    def run(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start `python arguments...` in this domain; it is interrupted at the end."""
        log = (self._log_dir / f"process_{len(self._processes)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**self.env, **env},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append((process, log))
        return process

    def output(self, process: subprocess.Popen[str]) -> str:
        """Return what a process of `run` has printed so far."""
        log = next(log for started, log in self._processes if started is process)
        return Path(log.name).read_text()

    def wait_until(
        self, predicate: Callable[[], object], timeout_s: float = 20.0, *, what: str = "condition"
    ) -> None:
        """Return once `predicate()` is true; fail the test after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not predicate():
            if time.monotonic() > deadline:
                tails = [self.output(process)[-2000:] for process, _ in self._processes]
                printed = "\n".join(tail for tail in tails if tail)
                pytest.fail(f"{what} did not become true in {timeout_s} s\n{printed}")
            time.sleep(0.01)

    def close(self) -> None:
        for process, _ in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process, log in self._processes:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
        self.executor.shutdown()
        self._thread.join(5.0)
        for node in self._nodes:
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@contextmanager
def _running_ros(log_dir: Path) -> Iterator[Ros]:
    with free_domain() as domain_id, pytest.MonkeyPatch.context() as environment:
        for name, value in local_environment(domain_id).items():
            environment.setenv(name, value)
        running = Ros(domain_id, log_dir)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
def ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ros]:
    """ROS in a domain of its own: `.context`, `.node(name)`, `.wait_until(...)`, `.env`."""
    with _running_ros(tmp_path_factory.mktemp("ros")) as running:
        yield running


@pytest.fixture(scope="module")
def shared_ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ros]:
    """As `ros`, one for all tests of a module."""
    with _running_ros(tmp_path_factory.mktemp("ros")) as running:
        yield running


class DepthBench:
    """The depth node, a camera in front of it and ears on what it says.

    Args:
        ros: where it runs.
        models: registry of the models.
        active: configure and activate as the executable does.
        cli: further `--ros-args`.
        parameters: of the node; a name may have its dots.
    """

    def __init__(
        self,
        ros: Ros,
        models: Path,
        *,
        active: bool = True,
        cli: Sequence[str] = (),
        **parameters: Any,
    ) -> None:
        from mono_depth_ros.depth_node.node import DepthNode

        self.ros = ros
        self.peer = ros.node("peer")
        self.logs: list[Log] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.heard: dict[str, list[Any]] = {}
        self.calibration: dict[str, Any] = {}  # of the last camera_info
        self._stamp_ns = 1_000_000_000_000
        self._received = 0
        chosen = {
            "model": "tiny_metric",
            "registry": str(models),
            "threads": 1,
            "device": "cpu",
            "diagnostics.period_s": 0.1,
            "temporal.mode": "none",
            "scale.keep": False,  # a test begins as a new robot does
            **parameters,
        }
        if chosen["model"] == "tiny_slow":  # OpenVINO loops for ever for a count < 0
            chosen.setdefault("engine", "onnxruntime")
        self.node = DepthNode(
            context=ros.context,
            cli_args=["--ros-args", *cli] if cli else None,
            parameter_overrides=[Parameter(name, value=value) for name, value in chosen.items()],
        )
        compressed = self.node.config.image_transport == "compressed"
        self.images = self.peer.create_publisher(
            CompressedImage if compressed else Image, "image", 5
        )
        self._infos = self.peer.create_publisher(CameraInfo, "camera_info", 5)
        # Lines logged before the subscription is there come too.
        history = QoSProfile(depth=1000, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        self.peer.create_subscription(Log, "/rosout", self._on_log, history)
        self.peer.create_subscription(
            DiagnosticArray, "/diagnostics", self.diagnostics.append, 1000
        )
        if active:
            self.node.autostart()
        ros.add(self.node)
        if active:
            self.wait_for_inputs()

    def _on_log(self, message: Log) -> None:
        if message.name == "mono_depth":
            self.logs.append(message)

    def wait_for_inputs(self) -> None:
        """Return once the node hears the camera."""
        for publisher in (self.images, self._infos):
            self.ros.wait_until(publisher.get_subscription_count, what=publisher.topic_name)
        self._received = self.node.stats.received

    def listen(self, *topics: str, qos: Any = 10) -> None:
        """Subscribe to outputs, such as "depth/image"."""
        from mono_depth_ros.depth_node.publishers import TOPICS

        for topic in topics:
            name = f"/mono_depth/{topic}"
            self.heard[topic] = []
            self.peer.create_subscription(TOPICS[topic], name, self.heard[topic].append, qos)
            publisher = next(p for p in self.node.publishers if p.topic_name == name)
            self.ros.wait_until(publisher.get_subscription_count, what=f"subscriber of {name}")

    def forget(self, topic: str) -> None:
        """Unsubscribe from an output."""
        name = f"/mono_depth/{topic}"
        ear = next(item for item in self.peer.subscriptions if item.topic_name == name)
        self.ros.destroy(self.peer.destroy_subscription, ear)
        del self.heard[topic]

    def calibrate(self, width: int = 8, height: int = 6, **changes: Any) -> CameraInfo:
        """Send a calibration, f = 10 px and the axis in the middle, and wait until it is there."""
        info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
        info.header.frame_id = "camera"
        cx, cy = (width - 1) / 2, (height - 1) / 2
        info.k = [10.0, 0.0, cx, 0.0, 10.0, cy, 0.0, 0.0, 1.0]
        info.p = [10.0, 0.0, cx, 0.0, 0.0, 10.0, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        for name, value in changes.items():
            setattr(info, name, value)
        self.calibration = {"width": width, "height": height, **changes}
        self._infos.publish(info)
        sent_s = time.monotonic()
        self.ros.wait_until(
            lambda: self._info_age_s() < time.monotonic() - sent_s, what="calibration"
        )
        return info

    def _info_age_s(self) -> float:
        age = self.stream_values().get("camera_info_age_s", "none received")
        return float("inf") if age == "none received" else float(age)

    def image(self, rgb: Any, *, step_s: float = 0.1, **changes: Any) -> Image:
        """Make an rgb8 message of (H, W, 3) uint8, stamped `step_s` after the one before."""
        self._stamp_ns += round(step_s * 1e9)
        message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8")
        message.step = 3 * rgb.shape[1]
        message.data.frombytes(rgb.tobytes())
        message.header.frame_id = "camera"
        message.header.stamp = Time(nanoseconds=self._stamp_ns).to_msg()
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def send(self, message: Any) -> None:
        """Publish an image and wait until the node has it."""
        self.images.publish(message)
        self._received += 1
        self.ros.wait_until(lambda: self.node.stats.received >= self._received, what="received")
        assert self.node.stats.received == self._received

    def settle(self) -> StatsReport:
        """Wait until every image received is accounted for."""

        def is_settled() -> bool:
            stats = self.node.stats
            return stats.received == stats.published + stats.dropped + stats.skipped

        self.ros.wait_until(is_settled, what="every image published, dropped or skipped")
        return self.node.stats

    def process(self, message: Any) -> StatsReport:
        """Send an image and wait until the node is done with it."""
        self.send(message)
        return self.settle()

    def output(self, topic: str, message: Any) -> Any:
        """Return the output for an image that was sent."""
        stamp = message.header.stamp

        def found() -> list[Any]:
            return [heard for heard in self.heard[topic] if heard.header.stamp == stamp]

        self.ros.wait_until(found, what=f"{topic} of {stamp}")
        (only,) = found()
        return only

    def stream_values(self) -> dict[str, str]:
        """Return the newest values of the status `mono_depth: stream`."""
        for message in reversed(self.diagnostics):
            for status in message.status:
                if status.name == "mono_depth: stream":
                    return {value.key: value.value for value in status.values}
        return {}

    def wait_for_status(self, level: bytes, text: str, *, since: int | None = None) -> Any:
        """Return the status `mono_depth: stream` once it has a level and says a text."""
        seen = len(self.diagnostics) if since is None else since

        def found() -> list[Any]:
            return [
                status
                for message in self.diagnostics[seen:]
                for status in message.status
                if status.name == "mono_depth: stream"
                and status.level == level
                and text in status.message
            ]

        self.ros.wait_until(found, what=f"diagnostics that say {text!r}")
        return found()[0]

    def log_lines(self, text: str) -> list[str]:
        """Return the log lines of the node that say `text`."""
        return [message.msg for message in self.logs if text in message.msg]

    def wait_for_log(self, text: str) -> str:
        """Return the first log line of the node that says `text`."""
        self.ros.wait_until(lambda: self.log_lines(text), what=f"a log line that says {text!r}")
        return self.log_lines(text)[0]

    def wait_for_cause(self, cause: str) -> str:
        """Return the first log line of a cause; lines that differ in numbers only share one."""

        def found() -> list[str]:
            lines = [message.msg for message in self.logs]
            return [line for line in lines if _numberless(cause) in _numberless(line)]

        self.ros.wait_until(found, what=f"a log line that says {cause!r}")
        return found()[0]

    def call(self, service: str, kind: type, request: Any, *, timeout_s: float = 20.0) -> Any:
        """Return the answer of a service of the node."""
        client = self.peer.create_client(kind, f"/mono_depth/{service}")
        self.ros.wait_until(client.service_is_ready, what=service)
        future = client.call_async(request)
        self.ros.wait_until(future.done, timeout_s, what=f"answer of {service}")
        self.peer.destroy_client(client)
        return future.result()

    def trigger(self, service: str) -> Any:
        """Call `reset` or `snapshot`."""
        return self.call(service, Trigger, Trigger.Request())

    def change_state(self, transition: str, *, timeout_s: float = 20.0) -> bool:
        """Ask for "configure", "activate", ..., as a lifecycle manager does."""
        request = ChangeState.Request()
        request.transition.id = getattr(Transition, f"TRANSITION_{transition.upper()}")
        answer = self.call("change_state", ChangeState, request, timeout_s=timeout_s)
        return bool(answer.success)

    def state(self) -> str:
        """Return the lifecycle state by the service `get_state`."""
        return str(self.call("get_state", GetState, GetState.Request()).current_state.label)

    def set_parameters(self, **changes: Any) -> str:
        """Set parameters at once, as `ros2 param` does. Returns why not, "" = done."""
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in changes.items()
        ]
        kind = SetParametersAtomically
        result = self.call("set_parameters_atomically", kind, request).result
        assert result.successful == (result.reason == "")
        return str(result.reason)


def _numberless(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "#", text)


@pytest.fixture
def depth_bench(ros: Ros, tiny_models: Path) -> Callable[..., DepthBench]:
    """Start a depth node at a test bench: `depth_bench(active=True, cli=[], **parameters)`."""
    return partial(DepthBench, ros, tiny_models)


@pytest.fixture(scope="module")
def shared_depth_bench(shared_ros: Ros, tiny_models: Path) -> Callable[..., DepthBench]:
    """As `depth_bench`, for a node that all tests of a module share."""
    return partial(DepthBench, shared_ros, tiny_models)

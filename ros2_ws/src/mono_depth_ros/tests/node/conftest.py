"""Real rclpy on a real middleware, in a ROS domain that belongs to the test alone.

With the pip wheels of rclpy, Python restarts itself once at start-up, before pytest runs, to
set its library path; nothing needs to be set by hand. A process started by a test gets
`ros.env`, which already carries that path, so it does not restart.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from mono_depth_ros.domain import free_domain, local_environment

try:
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
except ImportError:  # the library and its tests do without ROS
    collect_ignore_glob = ["test_*.py"]

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


@pytest.fixture
def ros(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ros]:
    """ROS in a domain of its own: `.context`, `.node(name)`, `.wait_until(...)`, `.env`."""
    with free_domain() as domain_id:
        for name, value in local_environment(domain_id).items():
            monkeypatch.setenv(name, value)
        running = Ros(domain_id, tmp_path_factory.mktemp("ros"))
        yield running
        running.close()

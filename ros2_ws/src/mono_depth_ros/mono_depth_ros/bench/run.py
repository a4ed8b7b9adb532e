"""One measurement of the depth node over real ROS, from the first image to the last output."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from tqdm import tqdm

from mono_depth.bench.pipeline_bench import summaries
from mono_depth.errors import MonoDepthError
from mono_depth.system.machine import cpu_seconds, resident_mib
from mono_depth.system.resources import share_dir
from mono_depth_ros.bench.sink import BenchSink
from mono_depth_ros.processes.children import Child, Children
from mono_depth_ros.processes.domain import free_domain, local_environment

START_S = 120.0  # a large network on a small board takes this long to load
SETTLE_S = 10.0
_SAMPLE_S = 0.25
_BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} s"


class BenchError(MonoDepthError):
    """A process of the measurement failed."""


@dataclass(frozen=True, kw_only=True)
class NodeRun:
    """What one measurement does."""

    source: Sequence[str]  # Python arguments of the process that sends images and then ends
    node: Sequence[str]  # Python arguments of the process of the depth node
    outputs: Sequence[str]  # topics under /mono_depth that are subscribed to
    expected_s: float  # for the progress bar
    is_reliable: bool = False  # of the subscriptions; the node's publishers always are
    large_messages: bool = True  # use the shipped profile of Fast DDS
    show_progress: bool = True


def ros_arguments(parameters: Mapping[str, object]) -> list[str]:
    """Return the arguments that give a node its parameters."""
    # Quoted: YAML takes a bare `off` for false.
    pairs = [f"{name}:={json.dumps(value, default=str)}" for name, value in parameters.items()]
    return ["--ros-args"] + [part for pair in pairs for part in ("-p", pair)]


def measure(run: NodeRun, log_folder: Path) -> dict[str, Any]:
    """Run source and node, each in its process, until the node has finished its work.

    The source prints `{"sent": number}` in its last line.

    Returns:
        Model, counters, times and memory, ready for JSON.

    Raises:
        BenchError: a process ended early, or the node does not become active.
    """
    with ExitStack() as stack:
        environment = stack.enter_context(ros_environment(large_messages=run.large_messages))
        rclpy.init()
        stack.callback(rclpy.try_shutdown)
        sink = stack.enter_context(spinning(BenchSink(run.outputs, is_reliable=run.is_reliable)))
        children = stack.enter_context(Children())

        def start(name: str, arguments: Sequence[str]) -> Child:
            log = log_folder / f"{name}.log"
            return children.add(Child(name, list(arguments), env=environment, log=log))

        node = start("node", run.node)
        wait_until(lambda: sink.is_connected, START_S, node, sink, "the node is not active")
        time.sleep(0.5)  # for its publishers to learn of every subscription
        source = start("source", run.source)
        memory_mib, cpu_cores = _watch(run, source, node, sink)
        if source.wait(5.0) != 0:
            raise failed(source)
        wait_until(
            lambda: is_settled(sink), SETTLE_S, node, sink, "the node does not finish its work"
        )
        time.sleep(0.2)  # what was published last is still under way
        sent = json.loads(source.last_lines[-1])["sent"]
        return _figures(sink, sent, memory_mib, cpu_cores)


def _watch(run: NodeRun, source: Child, node: Child, sink: BenchSink) -> tuple[list[float], float]:
    """Wait for the source; return the node's memory over time [MiB] and the cores it used.

    Both from the first output on: before, the node has nothing to do.
    """
    pid = node.process.pid
    memory_mib: list[float] = []
    began_s, cpu_before_s = time.monotonic(), cpu_seconds(pid)
    with tqdm(
        total=run.expected_s, unit="s", disable=not run.show_progress, bar_format=_BAR
    ) as bar:
        while source.is_running:
            if not node.is_running:
                raise failed(node)
            time.sleep(_SAMPLE_S)
            if not any(sink.stamps_ns.values()):
                began_s, cpu_before_s = time.monotonic(), cpu_seconds(pid)
                continue
            memory_mib.append(resident_mib(pid))
            bar.n = min(time.monotonic() - began_s, run.expected_s)
            bar.refresh()
    memory_mib.append(resident_mib(pid))
    cores = (cpu_seconds(pid) - cpu_before_s) / max(time.monotonic() - began_s, _SAMPLE_S)
    return memory_mib, cores


def _figures(
    sink: BenchSink, sent: int, memory_mib: list[float], cpu_cores: float
) -> dict[str, Any]:
    said = sink.diagnostics
    counts = {name: sink.count(name) for name in ("received", "published", "dropped", "skipped")}
    lost = {name: counts["published"] - len(sink.stamps_ns[name]) for name in sink.stamps_ns}
    stages = {
        key.removesuffix("_p50_ms"): {
            "p50": sink.value_ms(key),
            "p99": sink.value_ms(key.replace("_p50_ms", "_p99_ms")),
        }
        for key in said
        if key.endswith("_p50_ms")
    }
    model = {"name": "model", "kind": "kind", "device": "device", "sha256": "model_sha256"}
    third = len(memory_mib) // 3 or 1
    return {
        "model": {name: said.get(key, "") for name, key in model.items()},
        "scale": said.get("scale_source", ""),
        "counts": {
            "sent": sent,
            **counts,
            "lost_before_node": sent - counts["received"],
            "lost_after_node": lost,
        },
        "last_skip": said.get("last_skip", ""),
        "latency_ms": stages.pop("latency", {}),  # stamp to the last output published
        "arrival_ms": summaries(sink.arrivals_ms),  # stamp to arrival in the other process
        "stages_ms": stages,
        "cpu_cores_used": round(cpu_cores, 2),
        "memory": {
            "rss_first_third_mib": round(max(memory_mib[:third]), 1),
            "rss_last_third_mib": round(max(memory_mib[-third:]), 1),
        },
    }


def is_settled(sink: BenchSink) -> bool:
    """Tell whether the node has accounted for every image that it received."""
    done = sink.count("published") + sink.count("dropped") + sink.count("skipped")
    return sink.count("received") == done > 0


@contextmanager
def ros_environment(*, large_messages: bool) -> Iterator[dict[str, str]]:
    """Put this process, and what it starts, into a ROS domain of its own."""
    with free_domain() as domain:
        package = str(Path(__file__).resolve().parents[2])
        paths = filter(None, (package, os.environ.get("PYTHONPATH", "")))
        changes = {**local_environment(domain), "PYTHONPATH": os.pathsep.join(paths)}
        if large_messages:
            profile = str(share_dir() / "config" / "fastdds_large_messages.xml")
            changes["FASTRTPS_DEFAULT_PROFILES_FILE"] = profile  # up to Jazzy
            changes["FASTDDS_DEFAULT_PROFILES_FILE"] = profile
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield dict(os.environ)
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


@contextmanager
def spinning(sink: BenchSink) -> Iterator[BenchSink]:
    """Spin a node in a thread of its own."""
    executor = SingleThreadedExecutor()
    executor.add_node(sink)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        executor.shutdown()
        thread.join(5.0)
        sink.destroy_node()


def wait_until(
    predicate: Callable[[], bool], timeout_s: float, node: Child, sink: BenchSink, what: str
) -> None:
    """Wait for a condition.

    Raises:
        BenchError: the node ended, or time is over; `what` says of what.
    """
    deadline_s = time.monotonic() + timeout_s
    while not predicate():
        if not node.is_running:
            raise failed(node)
        if sink.problem:
            raise BenchError(f"{what}: {sink.problem}")
        if time.monotonic() > deadline_s:
            raise BenchError(f"{what} after {timeout_s:g} s\n" + "\n".join(node.last_lines))
        time.sleep(0.02)


def failed(child: Child) -> BenchError:
    """Return the error of a process that ended, with the last that it said."""
    status, lines = child.process.poll(), "\n".join(child.last_lines)
    return BenchError(f"the {child.name} ended with status {status}:\n{lines}")

"""A long run of the depth node with a fault every minute: does it lose, leak or slow down?

`python -m mono_depth_ros.bench.soak --minutes 60 --json FILE` runs the synthetic camera at 30 Hz
into the node and makes faults in turn: the clock jumps back and forth, odometry goes, the camera
restarts, points go, a parameter changes, the model is swapped. It fails (exit status 1) if a frame
is not accounted for, memory grows, the tail of the latency rises, or a change is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from tqdm import tqdm

from mono_depth.commands.options import machine_line, write_report
from mono_depth.errors import MonoDepthError
from mono_depth.system.machine import hardware, resident_mib, versions
from mono_depth.system.resources import share_dir
from mono_depth_ros.bench.faults import JUMP_S, NODE_FAULTS, FaultSchedule, FaultTime
from mono_depth_ros.bench.run import (
    SETTLE_S,
    START_S,
    failed,
    is_settled,
    ros_arguments,
    ros_environment,
    spinning,
    wait_until,
)
from mono_depth_ros.bench.sink import BenchSink
from mono_depth_ros.processes.children import Child, Children

_OUTPUTS = ("depth/image", "points")
_RATE_HZ = 30.0
_RENDER_S = 600.0  # until the camera has rendered what it plays
_SAMPLE_S = 1.0
_WARM_UP = 1.0 / 6.0  # share of the run after which memory must not grow: ten minutes of an hour
_MAX_GROWTH_MIB = 5.0
_MAX_TAIL_RATIO = 1.25  # of the p99 of latency, last third by second third
_OTHER_MODEL = "nano_again"
# Of the body that the synthetic camera's odometry is about.
_CAMERA_IN_BODY = "0 0 0 -1.5707963 0 -1.5707963"


@dataclass
class SoakRecord:
    """What was seen of a run."""

    memory_mib: list[tuple[float, float]] = field(default_factory=list)  # time [s], resident
    faults: list[FaultTime] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # changes that the node did not take


def soak(minutes: float, period_s: float, log_folder: Path) -> dict[str, Any]:
    """Run camera and node for some minutes with a fault every `period_s`.

    Returns:
        Counters, memory and latency over time, ready for JSON.

    Raises:
        BenchError: a process ended early, or the node does not become active.
    """
    seconds, schedule = 60.0 * minutes, FaultSchedule(period_s=period_s)
    with ExitStack() as stack:
        environment = stack.enter_context(ros_environment(large_messages=True))
        rclpy.init()
        stack.callback(rclpy.try_shutdown)
        sink = stack.enter_context(spinning(BenchSink(_OUTPUTS)))
        children = stack.enter_context(Children())

        def start(name: str, arguments: list[str]) -> Child:
            log = log_folder / f"{name}.log"
            return children.add(Child(name, arguments, env=environment, log=log))

        node = start("node", ["-m", "mono_depth_ros.depth_node.node", *_node_arguments(log_folder)])
        wait_until(lambda: sink.is_connected, START_S, node, sink, "the node is not active")
        camera = start("camera", _camera_arguments(seconds, period_s))
        silent = "nothing is published"
        wait_until(lambda: sink.count("published") > 0, _RENDER_S, node, sink, silent)
        record = _watch(seconds, schedule, node, camera, sink)
        if camera.wait(10.0) != 0:
            raise failed(camera)
        wait_until(lambda: is_settled(sink), SETTLE_S, node, sink, "the node does not finish")
        time.sleep(0.5)
        sent = json.loads(camera.last_lines[-1])["sent"]
        return _figures(sink, sent, seconds, record)


def _node_arguments(folder: Path) -> list[str]:
    return ros_arguments(
        {
            "registry": str(_registry(folder)),
            "model": "nano",
            "odometry.camera_in_body": _CAMERA_IN_BODY,
            "diagnostics.period_s": 0.5,
        }
    )


def _registry(folder: Path) -> Path:
    """Write a registry that has the built-in network under another name, to swap it with."""
    shipped = share_dir() / "models"
    content = yaml.safe_load((shipped / "registry.yaml").read_text(encoding="utf-8"))
    entry = dict(content["models"]["nano"])
    entry["weights"] = {**entry["weights"], "file": str(shipped / entry["weights"]["file"])}
    del entry["auto_rank"]
    file = folder / "registry.yaml"
    file.write_text(yaml.safe_dump({"models": {_OTHER_MODEL: entry}}), encoding="utf-8")
    return file


def _camera_arguments(seconds: float, period_s: float) -> list[str]:
    camera = {"rate_hz": _RATE_HZ, "duration_s": 4.0, "min_subscribers": 1}
    return [
        *("-m", "mono_depth_ros.bench.faulty_camera"),
        *("--seconds", str(seconds), "--period", str(period_s)),
        *ros_arguments(camera),
    ]


def _watch(
    seconds: float, schedule: FaultSchedule, node: Child, camera: Child, sink: BenchSink
) -> SoakRecord:
    """Sample the node's memory and change it as the schedule says, until the camera ends."""
    record, pid, began_s = SoakRecord(), node.process.pid, time.monotonic()
    with tqdm(total=seconds, unit="s", bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s") as bar:
        while camera.is_running:
            if not node.is_running:
                raise failed(node)
            time_s = time.monotonic() - began_s
            record.memory_mib.append((time_s, resident_mib(pid)))
            for fault in schedule.begun(min(time_s, seconds))[len(record.faults) :]:
                record.faults.append(fault)
                if fault.fault in NODE_FAULTS:
                    record.refused += _change(sink, fault.fault, len(record.faults))
            bar.n = min(time_s, seconds)
            bar.set_postfix_str(f"{record.memory_mib[-1][1]:.0f} MiB")
            time.sleep(_SAMPLE_S)
    return record


def _change(sink: BenchSink, fault: str, number: int) -> list[str]:
    """Change a parameter of the node, there and back again in turn; return why it was refused."""
    is_first = (number // 6) % 2 == 0
    if fault == "model swap":
        parameter = Parameter("model", value=_OTHER_MODEL if is_first else "nano")
    else:
        parameter = Parameter("temporal.memory_frames", value=10 if is_first else 20)
    client = sink.create_client(SetParametersAtomically, "/mono_depth/set_parameters_atomically")
    try:
        request = SetParametersAtomically.Request(parameters=[parameter.to_parameter_msg()])
        future, deadline_s = client.call_async(request), time.monotonic() + 10.0
        while not future.done():
            if time.monotonic() > deadline_s:
                return [f"{parameter.name}: no answer"]
            time.sleep(0.05)
        answer = future.result().result
        return [] if answer.successful else [f"{parameter.name}: {answer.reason}"]
    finally:
        sink.destroy_client(client)


def _figures(sink: BenchSink, sent: int, seconds: float, record: SoakRecord) -> dict[str, Any]:
    counts = {name: sink.count(name) for name in ("received", "published", "dropped", "skipped")}
    times_s, latency_ms = _latencies(sink)
    memory_mib = np.array(record.memory_mib)
    warm = memory_mib[memory_mib[:, 0] >= _WARM_UP * seconds]
    tenth = max(1, len(warm) // 10)
    return {
        "seconds": seconds,
        "model": sink.diagnostics.get("model", ""),
        "counts": {"sent": sent, **counts},
        "last_skip": sink.diagnostics.get("last_skip", ""),
        "resets": sink.count("filter_resets"),
        "faults": [item._asdict() for item in record.faults],
        "refused": record.refused,
        "memory": {
            "rss_warm_mib": round(float(np.median(warm[:tenth, 1])), 1),
            "rss_end_mib": round(float(np.median(warm[-tenth:, 1])), 1),
            "rss_most_mib": round(float(memory_mib[:, 1].max()), 1),
        },
        "minutes": [
            {
                "minute": minute,
                "frames": int(of_minute.sum()),
                "latency_p50_ms": _percentile(latency_ms[of_minute], 50),
                "latency_p99_ms": _percentile(latency_ms[of_minute], 99),
                "rss_mib": _percentile(memory_mib[memory_mib[:, 0] // 60.0 == minute, 1], 50),
            }
            for minute in range(int(np.ceil(seconds / 60.0)))
            for of_minute in [(times_s >= 60.0 * minute) & (times_s < 60.0 * (minute + 1))]
        ],
        "latency_p99_ms_thirds": [
            _percentile(latency_ms[(times_s >= low * seconds) & (times_s < high * seconds)], 99)
            for low, high in ((0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.1))
        ],
    }


def _latencies(sink: BenchSink) -> tuple[np.ndarray, np.ndarray]:
    """Return when depth arrived since the first [s], and how long after its image was taken [ms].

    While the clock is set back, stamps are `JUMP_S` too early.
    """
    stamps_ms = 1e-6 * np.array(sink.stamps_ns["depth/image"])
    apart_ms = np.array(sink.arrivals_ms["depth/image"])
    arrived_ms = stamps_ms + apart_ms
    latency_ms = np.where(apart_ms > 0.9e3 * JUMP_S, apart_ms - 1e3 * JUMP_S, apart_ms)
    return 1e-3 * (arrived_ms - arrived_ms[0]), latency_ms


def _percentile(values: np.ndarray, percent: float) -> float:
    return round(float(np.percentile(values, percent)), 2) if values.size else float("nan")


def complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the figures of a soak."""
    found = [f"refused {reason}" for reason in figures["refused"]]
    counts = figures["counts"]
    accounted = counts["published"] + counts["dropped"] + counts["skipped"]
    if counts["received"] != accounted:
        found.append(f"received {counts['received']}, but accounted for {accounted}")
    memory = figures["memory"]
    growth_mib = memory["rss_end_mib"] - memory["rss_warm_mib"]
    if growth_mib > _MAX_GROWTH_MIB:
        found.append(f"memory grew by {growth_mib:.1f} MiB, expected {_MAX_GROWTH_MIB:g} at most")
    _, middle_ms, last_ms = figures["latency_p99_ms_thirds"]
    if not last_ms <= _MAX_TAIL_RATIO * middle_ms:
        found.append(f"p99 of latency rose from {middle_ms:.1f} to {last_ms:.1f} ms")
    silent = [item["minute"] for item in figures["minutes"] if not item["frames"]]
    if silent:
        found.append(f"no depth in minutes {', '.join(map(str, silent))}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the depth node for long, with a fault every minute."""
    parser = argparse.ArgumentParser(prog="mono_depth_ros.bench.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--period", type=float, default=60.0, help="between two faults [s]")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the figures go")
    args = parser.parse_args(argv)
    machine = hardware()
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = soak(args.minutes, args.period, Path(folder))
        except MonoDepthError as error:
            sys.stderr.write(f"soak: {error}\n")
            return 1
    report = {
        "command": "mono_depth_ros.bench.soak",
        "hardware": machine,
        "versions": versions(),
        **figures,
        "complaints": complaints(figures),
    }
    write_report(report, args.json, _table(report))
    return 1 if report["complaints"] else 0


def _table(report: Mapping[str, Any]) -> str:
    counts, memory = report["counts"], report["memory"]
    lines = [
        f"minute {item['minute']:2d}: {item['frames']} frames, latency p50 "
        f"{item['latency_p50_ms']:.1f} ms, p99 {item['latency_p99_ms']:.1f} ms, "
        f"{item['rss_mib']:.0f} MiB"
        for item in report["minutes"]
    ]
    return "\n".join(
        [
            machine_line(report),
            *lines,
            f"sent {counts['sent']}, received {counts['received']} = published "
            f"{counts['published']} + dropped {counts['dropped']} + skipped {counts['skipped']}",
            f"memory {memory['rss_warm_mib']:.1f} MiB warm, {memory['rss_end_mib']:.1f} at the end",
            *(report["complaints"] or ["nothing to complain of"]),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

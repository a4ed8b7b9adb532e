"""Measures the depth node over real ROS: source process -> node process -> this process."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rclpy

from mono_depth.bench.pipeline_bench import stage_table
from mono_depth.commands.options import (
    add_model_options,
    add_run_options,
    machine_line,
    write_report,
)
from mono_depth.errors import MonoDepthError
from mono_depth.system.machine import hardware, versions
from mono_depth_ros.bench.run import NodeRun, measure, ros_arguments
from mono_depth_ros.depth_node.publishers import TOPICS

FRESHNESS_RATE_HZ = 60.0
FRESHNESS_INFERENCE_MS = 200.0


def node_arguments(args: argparse.Namespace) -> list[str]:
    """Return the ROS arguments of the depth node for the options of the command line."""
    values = {
        "model": args.model,
        "registry": str(Path(args.registry).resolve()) if args.registry else "",
        "weights_dir": args.weights_dir,
        "device": args.device,
        "engine": args.engine,
        "precision": args.precision,
        "threads": args.threads,
        "input_size": args.input_size,
        "allow_noncommercial": args.allow_noncommercial,
        "diagnostics.period_s": 0.25,
    }
    return ros_arguments(values) + [part for pair in args.param for part in ("-p", pair)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the depth node over ROS: times, latency, losses, memory."""
    parser = argparse.ArgumentParser(prog="mono_depth_ros.bench", description=main.__doc__)
    add_model_options(parser)
    add_run_options(parser)
    parser.add_argument("--rate", type=float, default=30.0, help="of the camera [Hz]")
    parser.add_argument(
        "--outputs",
        default="depth/image,depth/camera_info",
        help="topics to subscribe to, `all` that every model gives, or some of " + ",".join(TOPICS),
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME:=VALUE", help="of the node"
    )
    parser.add_argument("--reliable", action="store_true", help="subscribe reliably")
    parser.add_argument(
        "--no-dds-profile", action="store_true", help="without the profile for large messages"
    )
    parser.add_argument(
        "--freshness",
        type=float,
        metavar="SECONDS",
        help=f"instead: a camera of {FRESHNESS_RATE_HZ:g} Hz into a network made to take "
        f"{FRESHNESS_INFERENCE_MS:g} ms, for so long; fails if frames get old or lost",
    )
    args = parser.parse_args(argv)
    every_model_gives = (
        name for name in TOPICS if not name.startswith(("completion/", "landmarks"))
    )
    outputs = tuple(every_model_gives if args.outputs == "all" else args.outputs.split(","))
    unknown = set(outputs) - set(TOPICS)
    if unknown:
        parser.error(
            f"no output {', '.join(sorted(unknown))}, expected some of {', '.join(TOPICS)}"
        )
    machine = hardware()
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = measure(_run_of(args, outputs), Path(folder))
        except MonoDepthError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
    report = {
        "command": "mono_depth_ros.bench",
        "hardware": machine,
        "versions": {**versions(), **_ros_versions()},
        "image_size": None if args.images else list(args.size),
        "camera_hz": FRESHNESS_RATE_HZ if args.freshness else args.rate,
        "outputs": list(outputs),
        **figures,
    }
    complaints = freshness_complaints(figures) if args.freshness else []
    report["complaints"] = complaints
    write_report(report, args.json, _table(report))
    return 1 if complaints else 0


def freshness_complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the figures of a slow network behind a fast camera."""
    counts = figures["counts"]
    if not counts["published"]:
        return [f"nothing was published; last skip: {figures['last_skip'] or 'none'}"]
    inference_ms = figures["stages_ms"]["infer"]["p50"]
    limit_ms = 1.5 * inference_ms + 20.0
    latency_ms = figures["latency_ms"]["p99"]
    complaints = []
    if not latency_ms < limit_ms:
        complaints.append(f"p99 of latency is {latency_ms:.0f} ms, expected below {limit_ms:.0f}")
    accounted = counts["published"] + counts["dropped"] + counts["skipped"]
    if counts["received"] != accounted:
        complaints.append(f"received {counts['received']}, but accounted for {accounted}")
    memory = figures["memory"]
    growth_mib = memory["rss_last_third_mib"] - memory["rss_first_third_mib"]
    if growth_mib > 0.02 * memory["rss_first_third_mib"]:
        complaints.append(f"memory grew by {growth_mib:.0f} MiB")
    return complaints


def _run_of(args: argparse.Namespace, outputs: tuple[str, ...]) -> NodeRun:
    seconds = args.freshness or args.seconds
    source = ["-m", "mono_depth_ros.bench.source", "--seconds", str(seconds)]
    source += ["--rate", str(FRESHNESS_RATE_HZ if args.freshness else args.rate)]
    source += ["--size", "x".join(map(str, args.size))]
    if args.images:
        source += ["--images", str(args.images)]
    module = ["-m", "mono_depth_ros.depth_node.node"]
    if args.freshness:
        module = [
            "-m",
            "mono_depth_ros.bench.slow_node",
            "--inference-ms",
            str(FRESHNESS_INFERENCE_MS),
        ]
    return NodeRun(
        source=source,
        node=[*module, *node_arguments(args)],
        outputs=outputs,
        expected_s=seconds,
        is_reliable=args.reliable,
        large_messages=not args.no_dds_profile,
    )


def _ros_versions() -> dict[str, str | None]:
    return {
        "ros_distro": os.environ.get("ROS_DISTRO"),
        "rmw": rclpy.get_rmw_implementation_identifier(),
    }


def _table(report: Mapping[str, Any]) -> str:
    counts = report["counts"]
    lost = ", ".join(f"{name} {count}" for name, count in counts["lost_after_node"].items())
    stages = {
        **report["stages_ms"],
        "latency (stamp to published)": report["latency_ms"],
        **{f"{name} (stamp to arrival)": value for name, value in report["arrival_ms"].items()},
    }
    return "\n".join(
        [
            machine_line(report),
            f"{report['model']['name']} on {report['model']['device']}, camera "
            f"{report['camera_hz']:g} Hz",
            stage_table(stages),
            f"sent {counts['sent']}, received {counts['received']}, published "
            f"{counts['published']}, dropped {counts['dropped']}, skipped {counts['skipped']}",
            f"lost after the node: {lost}",
            f"{report['cpu_cores_used']:g} cores, memory "
            f"{report['memory']['rss_first_third_mib']:.0f} to "
            f"{report['memory']['rss_last_third_mib']:.0f} MiB",
            *report["complaints"],
        ]
    )

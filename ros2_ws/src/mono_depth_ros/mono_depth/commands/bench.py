"""The command `mono-depth bench`: how fast the pipeline is on this machine."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mono_depth.commands.options import (
    add_model_options,
    add_run_options,
    image_size,
    machine_line,
    model_config,
    save_report,
    write_report,
)
from mono_depth.errors import ConfigError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_command(commands: Subparsers) -> None:
    """Add `bench`."""
    text = "time of each stage, frame rate and memory; JSON with the hardware in it"
    bench = commands.add_parser(
        "bench",
        help=text,
        description=f"{text}. Without ROS: `python -m mono_depth_ros.bench` measures the node.",
    )
    bench.set_defaults(handler=_bench)
    add_model_options(bench)
    add_run_options(bench)
    kinds = bench.add_subparsers(title="or", metavar="WHAT", required=False)
    _add_models(kinds)


def _add_models(kinds: Subparsers) -> None:
    text = "the networks of the registry: parameters, multiply-adds, time of each engine, memory"
    models = kinds.add_parser("models", help=text, description=text)
    models.set_defaults(handler=_bench_models)
    models.add_argument("names", metavar="NAME", nargs="*", help="entries (default: all)")
    models.add_argument("--json", default="-", metavar="FILE", help="where the figures go")
    models.add_argument(
        "--resume", action="store_true", help="keep what FILE has and measure only what it lacks"
    )
    models.add_argument("--size", type=image_size, default=(640, 480), metavar="WxH")
    models.add_argument(
        "--sizes", default="", metavar="N,N", help="short sides of the input (default: its own)"
    )
    models.add_argument(
        "--engines", default="", metavar="E/P,E/P", help="such as torch/fp32,openvino/bf16"
    )
    models.add_argument(
        "--weights",
        default="real",
        choices=("real", "random"),
        help="real = where they are installed, else random, which changes no time",
    )
    models.add_argument("--seconds", type=float, default=10.0, help="for all engines of a network")
    models.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    models.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = one for each core")
    models.add_argument("--registry", type=Path, help="file of further registry entries")
    models.add_argument("--weights-dir", type=Path, help="folder of weights")


def _bench(args: argparse.Namespace) -> int:
    from mono_depth.bench.pipeline_bench import run_bench, stage_table
    from mono_depth.bench.soft_noise import soft_noise
    from mono_depth.recordings.images import load_images

    config = model_config(args)
    images = load_images(args.images) if args.images else soft_noise(*args.size)
    report = run_bench(config, images, seconds=args.seconds)
    report = {"command": "mono-depth bench", **report}
    model, (width, height) = report["model"], report["image_size"]
    table = "\n".join(
        (
            machine_line(report),
            f"{model['name']} at {model['network_size'][0]}x{model['network_size'][1]} on "
            f"{model['device']}, images {width}x{height}",
            *(f"{item['model']}: {item['engine_why']}" for item in report["engines"]),
            stage_table(report["stages_ms"]),
            f"{report['frames_per_second']:g} frames/s, {report['cpu_cores_used']:g} cores, "
            f"{report['memory']['rss_after_mib']:.0f} MiB",
        )
    )
    write_report(report, args.json, table)
    return 0


def _bench_models(args: argparse.Namespace) -> int:
    from mono_depth.bench.network_bench import (
        CPU_PLANS,
        GPU_PLANS,
        Task,
        bench_models,
        models_table,
        read_plan,
    )

    named = [item for item in args.engines.split(",") if item]
    usual = CPU_PLANS if args.device == "cpu" else GPU_PLANS
    task = Task(
        image_size=args.size,
        plans=tuple(map(read_plan, named)) or usual,
        device=args.device,
        threads=args.threads,
        weights=args.weights,
        seconds=args.seconds,
        registry=args.registry,
        weights_folder=args.weights_dir,
    )
    sides = [int(item) for item in args.sizes.split(",") if item]
    report = bench_models(
        args.names,
        task,
        sides=sides,
        earlier=_earlier(args.json) if args.resume else None,
        keep=(lambda _: None) if args.json == "-" else partial(save_report, target=args.json),
    )
    write_report(report, args.json, f"{machine_line(report)}\n{models_table(report)}")
    return 0


def _earlier(target: str) -> dict[str, Any] | None:
    if target == "-":
        raise ConfigError("--resume goes on with the file of --json: name it")
    file = Path(target)
    if not file.exists():
        return None
    try:
        report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {error}") from error
    return report

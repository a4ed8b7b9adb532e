"""The command `mono-depth bench`: how fast the pipeline is on this machine."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mono_depth.bench import load_images, run_bench, soft_noise, stage_table
from mono_depth.config import PipelineConfig, declared
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


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the network and where it runs."""
    parser.add_argument("--model", default="auto", help="entry of the registry (default: auto)")
    parser.add_argument("--registry", default="", help="file of further registry entries")
    parser.add_argument("--weights-dir", default="", help="folder of weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    for name in ("engine", "precision"):
        param = declared(PipelineConfig)[name]
        choices = ", ".join(param.choices)
        parser.add_argument(f"--{name}", default="auto", choices=param.choices, help=choices)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = one for each core")
    parser.add_argument(
        "--input-size", type=int, default=0, help="short side of the input [pixels]"
    )
    parser.add_argument(
        "--allow-noncommercial", action="store_true", help="accept weights with such a licence"
    )


def model_config(args: argparse.Namespace) -> PipelineConfig:
    """Return the configuration that the options of `add_model_options` ask for."""
    return PipelineConfig(
        model=args.model,
        registry=args.registry,
        weights_dir=args.weights_dir,
        device=args.device,
        engine=args.engine,
        precision=args.precision,
        threads=args.threads,
        input_size=args.input_size,
        allow_noncommercial=args.allow_noncommercial,
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what is measured and where the figures go."""
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="pictures to use (default: soft noise)"
    )
    parser.add_argument(
        "--size", type=image_size, default=(640, 480), metavar="WxH", help="of the soft noise"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the measurement")
    parser.add_argument(
        "--json", default="-", metavar="FILE", help="where the figures go (default: stdout)"
    )


def image_size(text: str) -> tuple[int, int]:
    """Read "640x480"."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x480")
    return int(match[1]), int(match[2])


def write_report(report: Mapping[str, Any], target: str, table: str) -> None:
    """Write the figures to a file or stdout, and a table for people to stderr."""
    sys.stderr.write(table + "\n")
    if target == "-":
        sys.stdout.write(_json(report))
    else:
        _save(report, target)


def _save(report: Mapping[str, Any], target: str) -> None:
    Path(target).write_text(_json(report), encoding="utf-8")


def _json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=2) + "\n"


def machine_line(report: Mapping[str, Any]) -> str:
    """Return one line about the machine of a report."""
    machine = report["hardware"]
    return (
        f"{machine['cpu']}, {machine['cores_usable']} cores, {machine['ram_gib']:g} GiB, "
        f"GPU {machine['gpu'] or 'none'}, load {machine['load_average_1min']:g}"
    )


def _bench(args: argparse.Namespace) -> int:
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
    from mono_depth.bench_models import (
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
        keep=(lambda _: None) if args.json == "-" else partial(_save, target=args.json),
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

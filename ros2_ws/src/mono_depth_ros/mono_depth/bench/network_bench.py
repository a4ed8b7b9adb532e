"""Measures the networks of the registry: size, arithmetic, time and memory, engine by engine.

Each network runs in a process of its own, so that its memory is its own. Its engines take turns,
call by call, so that whatever else the machine does meets them all alike.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from mono_depth.bench.soft_noise import soft_noise
from mono_depth.data import Intrinsics
from mono_depth.engines import choice
from mono_depth.engines.cache import EngineCache
from mono_depth.engines.capture import Capture
from mono_depth.engines.protocol import (
    BuildContext,
    Network,
    Plan,
    last_line,
)
from mono_depth.engines.settings import ENGINES, PRECISIONS
from mono_depth.errors import ConfigError, MonoDepthError
from mono_depth.models.family_table import FAMILIES
from mono_depth.models.loading import load_model
from mono_depth.models.protocol import LoadedModel
from mono_depth.models.random_model import random_model
from mono_depth.models.store.registry import ModelEntry, read_registry, with_short_side
from mono_depth.system.gpu_turns import wait_for_stream
from mono_depth.system.machine import device_name, hardware, versions
from mono_depth.system.resources import weights_dir
from mono_depth.system.threads import usable_cores

REFERENCE = Plan(engine="torch", precision="fp32")
CPU_PLANS = (
    REFERENCE,
    Plan(engine="torch", precision="bf16"),
    Plan(engine="onnxruntime", precision="fp32"),
    Plan(engine="openvino", precision="fp32"),
    Plan(engine="openvino", precision="bf16"),
)
GPU_PLANS = (
    REFERENCE,
    Plan(engine="torch", precision="bf16"),
    Plan(engine="torch", precision="fp16"),
    Plan(engine="onnxruntime", precision="fp16"),
)
_LEAST_CALLS = 3


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is measured, of every model."""

    image_size: tuple[int, int] = (640, 480)  # of the camera's image
    plans: tuple[Plan, ...] = CPU_PLANS
    device: str = "cpu"
    threads: int = 0  # 0 = one for each core
    weights: str = "real"  # where they are here, else random; or random
    seconds: float = 10.0  # for all engines of a network together, after three calls each
    registry: Path | None = None
    weights_folder: Path | None = None


def bench_models(
    names: Sequence[str],
    task: Task,
    *,
    sides: Sequence[int] = (),
    earlier: Mapping[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda report: None,
) -> dict[str, Any]:
    """Measure models, each network once.

    Args:
        names: registry entries, none = all that need no file of the user's.
        task: what is measured.
        sides: short sides of the network's input, none = the model's own.
        earlier: a report to go on with: what it has stays, and is not measured again unless it
            lacks an engine that is asked for now.
        keep: called with the report so far, after each model.

    Returns:
        Hardware, versions and a list `models`, ready for JSON. An entry whose network and input
        are those of an earlier one has `same_as` and that one's figures. After Ctrl-C the models
        up to there.

    Raises:
        ConfigError: `earlier` is of another machine, other versions or another task.
        ModelError: a name is unknown.
    """
    entries = read_registry(task.registry)
    chosen = [entries[name] for name in names] or list(entries.values())
    report = {
        "command": "mono-depth bench models",
        "hardware": hardware(),
        "versions": versions(),
        "device": task.device,
        "threads": task.threads or usable_cores(),
        "image_size": list(task.image_size),
    }
    results = {} if earlier is None else _kept(report, earlier)
    complete = {key for key, model in results.items() if _has(model, task.plans)}
    measured = {
        (*_network_of(entries[name]), side): results[name, side]
        for name, side in complete
        if name in entries and "same_as" not in results[name, side]
    }
    pairs = [(entry, side) for entry in chosen for side in (sides or (0,))]
    for entry, side in tqdm(pairs, desc="models", unit="model", file=sys.stderr):
        if (entry.name, side) in complete:
            continue
        kind = (*_network_of(entry), side)
        known = measured.get(kind)
        if known is None:
            try:
                known = measured[kind] = _in_own_process(entry.name, side, task)
            except KeyboardInterrupt:
                break
        else:
            known = {**known, "name": entry.name, "same_as": known["name"]}
        results[entry.name, side] = known
        complete.add((entry.name, side))
        keep({**report, "models": list(results.values())})
    return {**report, "models": list(results.values())}


def _kept(
    report: dict[str, Any], earlier: Mapping[str, Any]
) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the models of `earlier`, by name and short side; take over its hardware."""
    head = {**earlier, "cpu": earlier.get("hardware", {}).get("cpu")}
    now = {**report, "cpu": report["hardware"]["cpu"]}
    for part in ("cpu", "device", "threads", "image_size", "versions"):
        if head.get(part) != now[part]:
            raise ConfigError(
                f"the earlier report has {part} {head.get(part)}, this run {now[part]}: "
                "figures of one report must be comparable, write to another file"
            )
    report["hardware"] = earlier["hardware"]
    return {(model["name"], model.get("short_side", 0)): model for model in earlier["models"]}


def _has(model: Mapping[str, Any], plans: Sequence[Plan]) -> bool:
    """Tell whether all of `plans` were tried with a model."""
    tried = {(item["engine"], item["precision"]) for item in model.get("engines", ())}
    return all((plan.engine, plan.precision) in tried for plan in plans)


def _network_of(entry: ModelEntry) -> tuple[object, ...]:
    """Return what the arithmetic of an entry depends on: versions of weights do not change it."""
    code = FAMILIES.get(entry.family, entry.family)
    spec = entry.input
    size = None if spec is None else (spec.width, spec.height, spec.rule, spec.multiple_of)
    variant = entry.variant or entry.name
    return code, variant, size, entry.average_mirrored


def _in_own_process(name: str, side: int, task: Task) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(measure, name, side, task).result()
        except MonoDepthError as error:
            return {"name": name, **_side(side), "problem": str(error)}


def _side(side: int) -> dict[str, int]:
    return {"short_side": side} if side else {}


def measure(name: str, side: int, task: Task) -> dict[str, Any]:
    """Measure one model in this process.

    Args:
        name: registry entry.
        side: short side of the network's input, 0 = its own.
        task: what is measured.
    """
    device, threads = torch.device(task.device), task.threads or usable_cores()
    torch.set_num_threads(threads)
    entry = with_short_side(read_registry(task.registry)[name], side)
    folder = (task.weights_folder or weights_dir()).expanduser()
    found = entry.find_weights(folder) if task.weights == "real" else None
    before_mib = _peak_mib()
    model = _model(entry, task, side) if found else random_model(entry, device)
    rgb = soft_noise(*task.image_size, count=1)[0]
    capture = Capture(model, entry)
    network = capture.network(capture.arguments(rgb, Intrinsics.assumed_for(rgb)))
    parameters = _parameters(network)
    with tempfile.TemporaryDirectory() as scratch:
        context = BuildContext(
            device=device,
            device_name=device_name(device),
            threads=threads,
            store=EngineCache(folder / "engines" if found else Path(scratch)),
        )
        macs = _multiply_adds(network)
        engines, memory = _measured(network, task, context, before_mib)
    return {
        "name": name,
        **_side(side),
        "weights": "real" if found else "random",
        "parameters_m": None if parameters is None else round(parameters / 1e6, 1),
        "gmacs": None if macs is None else round(macs / 1e9, 2),
        "weights_mb": round((found[1].stat().st_size if found else 4 * (parameters or 0)) / 1e6, 1),
        "network_input": network.shapes,
        "calls_per_frame": 2 if entry.average_mirrored else 1,
        "engines": engines,
        **memory,
    }


def _model(entry: ModelEntry, task: Task, side: int) -> LoadedModel:
    return load_model(
        entry.name,
        device=task.device,
        registry=task.registry,
        weights_folder=task.weights_folder,
        allow_noncommercial=True,  # nothing comes of it but times
        input_size=side or None,
    )


def _measured(
    network: Network, task: Task, context: BuildContext, before_mib: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    calls, failed = {}, []
    memory: dict[str, Any] = {}
    with torch.inference_mode():
        for plan in task.plans:
            try:
                choice.check(plan, context.device)
                if plan == REFERENCE and network.net is not None:
                    call: Any = network.module
                else:
                    call = choice.build(network, plan, context).call
                call(*network.inputs)  # the first call is slower
            except Exception as error:  # noqa: BLE001 - one plan's memory or compiler, not all
                failed.append({**_named(plan), "problem": last_line(error)})
                continue
            calls[plan] = call
            if plan == REFERENCE:
                memory["torch_memory_mib"] = _memory_mib(context.device, before_mib)
        times_ms = _in_turn(calls, network, task.seconds, context.device)
    memory["all_engines_memory_mib"] = _memory_mib(context.device, before_mib)
    return [{**_named(plan), **_spread(times_ms[plan])} for plan in calls] + failed, memory


def _in_turn(
    calls: Mapping[Plan, Any], network: Network, seconds: float, device: torch.device
) -> dict[Plan, list[float]]:
    times_ms: dict[Plan, list[float]] = {plan: [] for plan in calls}
    began_s = time.perf_counter()
    rounds = 0
    while rounds < _LEAST_CALLS or time.perf_counter() - began_s < seconds:
        for plan, call in calls.items():
            start_s = time.perf_counter()
            call(*network.inputs)
            wait_for_stream(device)
            times_ms[plan].append((time.perf_counter() - start_s) * 1e3)
        rounds += 1
    return times_ms


def _named(plan: Plan) -> dict[str, Any]:
    return {"engine": plan.engine, "precision": plan.precision}


def _spread(times_ms: Sequence[float]) -> dict[str, Any]:
    low, middle, high = np.percentile(times_ms, (10.0, 50.0, 90.0))
    return {
        "ms": round(float(middle), 2),
        "ms_p10": round(float(low), 2),
        "ms_p90": round(float(high), 2),
        "calls": len(times_ms),
    }


def _parameters(network: Network) -> int | None:
    if network.net is None:
        return None
    return sum(tensor.numel() for tensor in network.net.parameters())


def _multiply_adds(network: Network) -> int | None:
    """Count the multiply-adds of convolutions, matrix products and attention."""
    net = network.net
    if net is None:
        return None
    try:
        return _count(net, network.arguments, "meta")  # takes no time
    except RuntimeError:  # the network looks at values to choose what it computes
        return _count(net, network.arguments, None)


def _count(net: torch.nn.Module, arguments: tuple[object, ...], device: str | None) -> int:
    tensors = {
        name: tensor.to(device) if device else tensor
        for name, tensor in (*net.named_parameters(), *net.named_buffers())
    }
    given = tuple(
        item.to(device) if device and isinstance(item, torch.Tensor) else item for item in arguments
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.func.functional_call(net, tensors, given)
    return int(counter.get_total_flops()) // 2


def _peak_mib() -> float:
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 1024.0


def _memory_mib(device: torch.device, before_mib: float) -> int:
    """Return the largest memory so far: of the GPU, or what the process took since `before`."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    return round(_peak_mib() - before_mib)


def read_plan(text: str) -> Plan:
    """Read "openvino/bf16".

    Raises:
        ConfigError: it is not of that form.
    """
    engine, _, precision = text.partition("/")
    if engine not in ENGINES or precision not in PRECISIONS:
        raise ConfigError(f"{text!r} is not ENGINE/PRECISION, such as openvino/bf16 or torch/fp32")
    return Plan(engine=engine, precision=precision)


def models_table(report: Mapping[str, Any]) -> str:
    """Return lines for people: a model each, with the time of every engine [ms]."""
    plans = list(
        dict.fromkeys(
            f"{item['engine']} {item['precision']}"
            for model in report["models"]
            for item in model.get("engines", ())
        )
    )
    lines = [["model", "input", "M param.", "GMAC", *plans]]
    for model in report["models"]:
        if "problem" in model:
            lines.append([model["name"], model["problem"]])
            continue
        times = {
            f"{item['engine']} {item['precision']}": item.get("ms") for item in model["engines"]
        }
        shape = model["network_input"].split(",")[0].split("x")
        cells = [model["name"], "x".join(reversed(shape[2:]))]
        cells += [str(model["parameters_m"]), str(model["gmacs"])]
        lines.append([*cells, *("-" if times.get(p) is None else f"{times[p]:.1f}" for p in plans)])
    width = [max(len(line[i]) for line in lines if i < len(line)) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width[i]) for i, cell in enumerate(line)).rstrip() for line in lines
    )

#!/usr/bin/env python3
"""Proves the CUDA path, or refutes it, on a machine with a GPU: one command, 8 minutes at most.

    python3 tools/gpu_accept.py --out FOLDER                # all steps
    python3 tools/gpu_accept.py --out FOLDER --only parity  # one step, or several: parity,faults
    python3 tools/gpu_accept.py --out FOLDER --device cpu   # the same code without a GPU: no proof
    python3 tools/gpu_accept.py --out FOLDER --train 8      # instead: train nano for 8 minutes

It needs what the library needs (torch, OpenCV, NumPy, safetensors, PyYAML, tqdm), pytest for its
last step, no ROS and no network. Networks but `nano` have random weights: their speed is that of
the trained ones. Each step is a process with a time limit; FOLDER/gpu.json is written anew after
each, and FOLDER/STEP.log holds what it said. Exit code 0: no step failed.

`--train` leaves FOLDER/nano.safetensors; what comes after `--` goes to the training command
(`--encoder FILE`, `--real FOLDER`, `--pool FOLDER`). It goes on where such a run was stopped.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[1]
_PACKAGE = _REPOSITORY / "ros2_ws" / "src" / "mono_depth_ros"
sys.path.insert(0, str(_PACKAGE))

# Step and its limit [s]; first what would refute the path, then figures.
_LIMITS_S = {
    "environment": 40,
    "parity": 100,
    "faults": 80,
    "frames": 70,
    "engines": 120,
    "ceilings": 20,
    "tests": 50,
}
_ALL_S = 475
_SCENE = "synthetic:office/robot/1/640x480"
_LARGEST_ERROR = 5e-3  # relative, median over the image, of a device against the CPU
_JUDGE = "python3 -m mono_depth.commands.figures.nano_table"
_BEYOND_NETWORK_MS = 3.0  # the aim for what a frame costs beside its network

Result = dict[str, Any]


def main() -> int:
    """Run the steps; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try the script")
    parser.add_argument("--only", default=",".join(_LIMITS_S), help="steps, with commas between")
    parser.add_argument("--train", type=float, metavar="MINUTES", help="train nano, prove nothing")
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    own = list(itertools.takewhile(lambda word: word != "--", sys.argv[1:]))
    args = parser.parse_args(own)
    if args.step:
        (args.out / f"{args.step}.json").write_text(json.dumps(_STEPS[args.step](args.device)))
        return 0
    if args.train is not None:
        return _train(args.train, args.device, args.out, sys.argv[len(own) + 2 :])
    unknown = set(args.only.split(",")) - set(_LIMITS_S)
    if unknown:
        parser.error(f"no step {', '.join(sorted(unknown))}; there are {', '.join(_LIMITS_S)}")
    args.out.mkdir(parents=True, exist_ok=True)
    report: Result = {"device": args.device, "steps": {}}
    began_s = time.monotonic()
    for step, limit_s in _LIMITS_S.items():
        if step not in args.only.split(","):
            continue
        left_s = _ALL_S - (time.monotonic() - began_s)
        report["steps"][step] = _apart(step, args.device, args.out, min(limit_s, left_s))
        (args.out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
    failed = [name for name, found in report["steps"].items() if found["verdict"] == "failed"]
    _say(f"failed: {', '.join(failed)}" if failed else "no step failed")
    return bool(failed)


def _train(minutes: float, device: str, out: Path, options: list[str]) -> int:
    """Train the built-in network by its usual command; leave its weights."""
    out.mkdir(parents=True, exist_ok=True)
    weights, began_s = out / "nano.safetensors", time.monotonic()
    renderers = max(1, (os.cpu_count() or 2) - 2)  # they, not the GPU, are what training waits for
    command = [
        *(sys.executable, "-m", "mono_depth.commands.train", "--out", str(weights)),
        *("--device", device, "--minutes", str(minutes), "--renderers", str(renderers)),
        *options,  # of two values the last counts
    ]
    environment = os.environ | {"PYTHONPATH": str(_PACKAGE)}
    code = subprocess.run(command, env=environment, check=False).returncode
    report: Result = {
        "device": device,
        "command": command[1:],
        "exit_code": code,
        "seconds": round(time.monotonic() - began_s, 1),
        "weights": weights.name if weights.exists() else None,
        "judge": f"{_JUDGE} --data DIR --weights {weights}",
    }
    (out / "train.json").write_text(json.dumps(report, indent=1) + "\n")
    _say(f"judge it: {report['judge']}" if code == 0 else f"training failed with {code}")
    return int(code != 0)


def _apart(step: str, device: str, out: Path, limit_s: float) -> Result:
    """Run one step in a process of its own."""
    if limit_s < 5.0:
        return {"verdict": "failed", "problem": "no time was left"}
    result, began_s = out / f"{step}.json", time.monotonic()
    result.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--step", step, "--device", device, "--out", str(out)]
    with (out / f"{step}.log").open("w") as log:
        try:
            code = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, timeout=limit_s, check=False
            ).returncode
            problem = f"exit code {code}"
        except subprocess.TimeoutExpired:
            problem = f"not done after {limit_s:.0f} s"
    found: Result = {"verdict": "failed", "problem": problem}
    if result.exists():
        found = json.loads(result.read_text())
    else:
        found["log"] = (out / f"{step}.log").read_text()[-1500:]
    found["seconds"] = round(time.monotonic() - began_s, 1)
    _say(f"{step:12} {found['seconds']:6.1f} s  {found['verdict']}")
    return found


def environment(device: str) -> Result:
    """Tell what the machine has."""
    import importlib.util
    import shutil

    import torch

    from mono_depth.engines import choice, gpu_libraries
    from mono_depth.system.machine import device_name, hardware, versions

    names = ("triton", "onnxruntime", "onnx", "tensorrt", "rclpy")
    found: Result = {
        "verdict": "ok",
        "hardware": hardware(),
        "versions": versions() | {"cuda": torch.version.cuda},
        "device_name": device_name(torch.device(device)),
        "packages": {name: importlib.util.find_spec(name) is not None for name in names},
        "compiler": shutil.which("gcc"),
        "plans": [str(plan) for plan in choice.plans("auto", "auto", torch.device(device))],
    }
    if found["packages"]["onnxruntime"] and device != "cpu":
        found["why_no_cuda_in_onnxruntime"] = gpu_libraries.why_no_cuda()
        found["why_no_tensorrt"] = gpu_libraries.why_no_tensorrt()
    return found


def ceilings(device: str) -> Result:
    """Measure what no program beats: copies, launches, multiplications."""
    import torch

    where, found = torch.device(device), {"verdict": "measured"}
    cloud, one = torch.zeros(480, 640, 4, device=where), torch.zeros(1, device=where)
    found["cloud_down_ms"] = _median_ms(cloud.cpu, where)
    thousand_ms = _median_ms(lambda: [one.add_(1.0) for _ in range(1000)], where)
    found["launch_us"] = thousand_ms
    if where.type == "cuda":
        pinned = cloud.cpu().pin_memory()
        image = torch.zeros(480, 640, 3, dtype=torch.uint8)
        found["cloud_down_pinned_ms"] = _median_ms(lambda: pinned.copy_(cloud), where)
        found["image_up_ms"] = _median_ms(lambda: image.to(where), where)
        found["image_up_pinned_ms"] = _median_ms(
            lambda: image.pin_memory().to(where, non_blocking=True), where
        )
        square = torch.randn(8192, 8192, device=where, dtype=torch.float16)
        found["fp16_tflops"] = 2 * 8192**3 / _median_ms(lambda: square @ square, where) / 1e9
    return found


# model, short side of its input (0 = its own), what frames bring, and what else is configured
_PARITY = (
    ("nano", 0, "", {"temporal.mode": "none"}),
    ("nano", 0, "", {}),
    ("nano", 0, "pose", {}),
    ("nano", 0, "pose points ground mask", {}),
    ("nano", 0, "pose depth", {}),
    ("nano", 0, "pose", {"refine.mode": "guided"}),
    ("depth_anything_v2_small", 252, "", {}),
    ("depth_anything_v2_small", 252, "pose points", {}),
    ("midas_v21_small", 0, "", {}),
    ("moge2_small", 252, "pose", {}),
)


def parity(device: str) -> Result:
    """Compare the whole pipeline on the device with the CPU."""
    rows = []
    for name, side, brings, values in _PARITY:
        row: Result = {"model": name, "brings": brings, **values}
        try:
            frames = _frames(4, brings)
            there, here = (_maps(name, side, where, frames, values) for where in (device, "cpu"))
            row["errors"] = {key: _error(there[key], here[key]) for key in here}
            worst = max(error["median"] for error in row["errors"].values())
            row["ok"] = worst < _LARGEST_ERROR
        except Exception as error:  # noqa: BLE001 - the other rows count as well
            row |= {"ok": False, "problem": repr(error)[:500]}
        rows.append(row)
    return {"verdict": _verdict(row["ok"] for row in rows), "rows": rows}


def faults(device: str) -> Result:
    """Capture beside the stream; and let memory run out in a frame."""
    import cv2
    import numpy as np
    import torch

    from mono_depth.config import PipelineConfig
    from mono_depth.pipeline.build import build_pipeline

    config = PipelineConfig(model="nano", device=device, engine="torch")
    pipeline, frames = build_pipeline(config, is_live=True), _frames(6, "pose")
    small = [
        replace(
            frame,
            rgb=np.ascontiguousarray(cv2.resize(frame.rgb, (640, 360))),
            intrinsics=frame.intrinsics.scaled_to(640, 360),
            sparse_points_m=None,
        )
        for frame in frames
    ]
    failed: list[str] = []
    count, began_s = 0, time.monotonic()
    while time.monotonic() - began_s < 40.0:
        is_building = any(report.is_building for report in pipeline.engine_reports())
        if count >= 60 and not is_building:
            break
        try:
            frame = replace(small[count % len(small)], stamp_ns=(count + 1) * 33_000_000)
            pipeline.process(frame).relative.cpu()
        except Exception as error:  # noqa: BLE001 - counted
            failed.append(repr(error)[:300])
        count += 1
    reports = [report.summary() for report in pipeline.engine_reports()]
    # An engine may be refused for its accuracy; not for a capture that a frame broke.
    refused = [report for report in reports if "captur" in str(report["engine_refused"]).lower()]
    found: Result = {"frames": count, "failed": failed[:3], "failures": len(failed)}
    found |= {"engines": reports, "verdict": _verdict([not failed, not refused])}
    if torch.device(device).type == "cuda":
        found["out_of_memory"] = _after_out_of_memory(pipeline, frames)
        on_cpu = [name == "cpu" for name in found["out_of_memory"]["devices"]]
        found["verdict"] = _verdict([not failed, not refused, *on_cpu])
    pipeline.close()
    return found


def _after_out_of_memory(pipeline: Any, frames: list[Any]) -> Result:  # noqa: ANN401
    """Let the model run out of memory once; return where the frames from then on are found."""
    import torch

    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory, says the acceptance test")

    pipeline.model.infer = pipeline.model.infer_guided = full
    devices = []
    for number, frame in enumerate(frames):
        try:
            result = pipeline.process(replace(frame, stamp_ns=10**12 + number * 33_000_000))
            devices.append(str(result.relative.device))
        except Exception as error:  # noqa: BLE001 - told in place of a device
            devices.append(repr(error)[:300])
    return {"devices": devices, "told": pipeline.memory_problem}


def engines(device: str) -> Result:
    """Build each format of each network: how long it takes, what it deviates by, how fast it is."""
    from mono_depth.bench.network_bench import REFERENCE, Task, measure
    from mono_depth.engines.protocol import Plan

    plans = [REFERENCE]
    if device != "cpu":
        plans += [Plan(engine="torch", precision=name) for name in ("fp16", "bf16")]
        plans.append(Plan(engine="onnxruntime", precision="fp16"))
    task = Task(plans=tuple(plans), seconds=1.0, threads=0, device=device)
    sizes = {"nano": 0, "depth_anything_v2_small": 518, "midas_v21_small": 0}
    if device != "cpu":
        sizes |= {"moge2_small": 0, "depth_anything_v2_large": 518}
    rows = []
    for name, side in sizes.items():
        try:
            rows.append(measure(name, side, task))
        except Exception as error:  # noqa: BLE001 - the other rows count as well
            rows.append({"name": name, "problem": repr(error)[:500]})
    return {"verdict": _verdict("problem" not in row for row in rows), "rows": rows}


def frames(device: str) -> Result:
    """Time frames from an image on the host to depth and coloured cloud on the host."""
    import numpy as np

    rows = []
    for brings in ("pose", "pose points ground"):
        pipeline, builder = _live_nano(device), _cloud_builder()
        seen, spent_ms = _frames(6, brings), {}
        for number in range(120 if device != "cpu" else 8):
            frame = replace(seen[number % 6], stamp_ns=(number + 1) * 33_000_000)
            start_s = time.perf_counter()
            result = pipeline.process(frame)
            result.depth_m.cpu()
            builder(result).cpu()
            total_ms = (time.perf_counter() - start_s) * 1e3
            if number < 4:
                continue
            stages_ms = dict(result.stage_ms)
            beyond = {"total": total_ms, "beyond_network": total_ms - stages_ms["infer"]}
            for stage, value_ms in {**stages_ms, **beyond}.items():
                spent_ms.setdefault(stage, []).append(value_ms)
        row: Result = {"model": "nano", "brings": brings}
        for stage, values_ms in spent_ms.items():
            low, high = np.percentile(values_ms, (50, 99))
            row[stage] = {"p50_ms": round(float(low), 3), "p99_ms": round(float(high), 3)}
        row["engines"] = [report.summary() for report in pipeline.engine_reports()]
        if device != "cpu":
            row |= _kernels(lambda: pipeline.process(replace(seen[0], stamp_ns=10**12)))  # noqa: B023
        pipeline.close()
        rows.append(row)
    return {"verdict": "measured", "aim_beyond_network_ms": _BEYOND_NETWORK_MS, "rows": rows}


def _kernels(run: Callable[[], Any]) -> Result:
    """Return how many kernels a frame launches, and how long the GPU is busy with them."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run().relative.cpu()
    on_gpu = [
        event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    busy_us = sum(event.device_time for event in on_gpu)
    return {"kernels": len(on_gpu), "gpu_busy_ms": round(busy_us / 1e3, 3)}


def tests(device: str) -> Result:
    """Run the tests that need a GPU."""
    if device == "cpu":
        return {"verdict": "measured", "skipped": "they need a GPU"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/library"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_PACKAGE)
    good = run.returncode == 0 and " passed" in run.stdout
    return {"verdict": _verdict([good]), "said": run.stdout[-1500:]}


def _frames(count: int, brings: str) -> list[Any]:
    """Return frames of a robot in a rendered office, with what `brings` names and no more."""
    import numpy as np

    from mono_depth.recordings.open import open_sequence

    sequence, found = open_sequence(_SCENE), []
    for index in range(count):
        sample = sequence[index]
        frame, depth_m = sample.as_camera_frame(), sample.depth_m
        camera = frame.intrinsics
        rows, columns = (places.ravel()[::1531] for places in np.mgrid[:480, :640])
        z = depth_m[rows, columns]
        ray_x, ray_y = (columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy
        points_m = np.stack((ray_x * z, ray_y * z, z), 1)[np.isfinite(z)].astype(np.float32)
        is_visible = np.ones((480, 640), np.bool_)
        is_visible[:16] = False
        given: Result = {
            "T_odom_camera": frame.T_odom_camera if "pose" in brings else None,
            "sparse_points_m": points_m if "points" in brings else None,
            "sensor_depth_m": depth_m if "depth" in brings else None,
            "is_visible": is_visible if "mask" in brings else None,
            "gravity_camera": np.array([0.0, 1.0, 0.0]) if "ground" in brings else None,
            "camera_height_m": 0.4 if "ground" in brings else None,
        }
        found.append(replace(frame, **given))
    return found


def _maps(name: str, side: int, device: str, seen: list[Any], values: Result) -> Result:
    """Return what is published of the last frame, in the memory of the CPU."""
    import torch

    from mono_depth.config import PipelineConfig, updated
    from mono_depth.models.loading import load_model
    from mono_depth.models.random_model import random_model
    from mono_depth.models.store.registry import read_registry, with_short_side
    from mono_depth.pipeline.pipeline import DepthPipeline
    from mono_depth.system.true_fp32 import use_true_fp32

    use_true_fp32()
    if name == "nano":
        model = load_model(name, device=device)
    else:
        entry = with_short_side(read_registry(None)[name], side or None)
        model = random_model(entry, torch.device(device))
    wide = {"device": device, "min_depth_m": 1e-3, "max_depth_m": 1e3}
    pipeline = DepthPipeline(model, updated(PipelineConfig(), wide | values))
    builder = _cloud_builder()
    for frame in seen:
        result = pipeline.process(frame)
    found = {"relative": result.relative, "confidence": result.confidence}
    if result.depth_m is not None:
        found |= {"depth_m": result.depth_m, "cloud": builder(result)[..., :3]}
    return {key: item.cpu().float().clone() for key, item in found.items()}


def _error(there: Any, here: Any) -> Result:  # noqa: ANN401
    known = here.isfinite() & there.isfinite()
    relative = ((there - here).abs() / here.abs().clamp(min=1e-3))[known].flatten()[::7]
    unlike = (here.isfinite() != there.isfinite()).float().mean()
    low, high = (float(relative.quantile(share)) for share in (0.5, 0.99))
    return {"median": low, "p99": high, "share_known_on_one_only": float(unlike)}


def _live_nano(device: str) -> Any:  # noqa: ANN401
    from mono_depth.config import PipelineConfig
    from mono_depth.pipeline.build import build_pipeline

    return build_pipeline(PipelineConfig(model="nano", device=device), is_live=True)


def _cloud_builder() -> Callable[[Any], Any]:
    from mono_depth.config import CloudConfig
    from mono_depth.outputs.point_cloud import CloudBuilder

    builder = CloudBuilder()

    def build(result: Any) -> Any:  # noqa: ANN401
        return builder.build(
            result.depth_m, result.intrinsics, CloudConfig(), result.rgb_tensor
        ).points

    return build


def _median_ms(run: Callable[[], Any], device: Any) -> float:  # noqa: ANN401
    from mono_depth.system.gpu_turns import wait_for_stream

    times_ms = []
    for _ in range(23):
        wait_for_stream(device)
        start_s = time.perf_counter()
        run()
        wait_for_stream(device)
        times_ms.append((time.perf_counter() - start_s) * 1e3)
    return round(median(times_ms[3:]), 4)


def _verdict(checks: Any) -> str:  # noqa: ANN401
    return "ok" if all(checks) else "failed"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_STEPS: dict[str, Callable[[str], Result]] = {
    "environment": environment,
    "parity": parity,
    "faults": faults,
    "frames": frames,
    "engines": engines,
    "ceilings": ceilings,
    "tests": tests,
}

if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    raise SystemExit(main())

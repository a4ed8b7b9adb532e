"""Measures the pipeline without ROS: one frame after the other, as fast as they go."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mono_depth.config import CloudConfig, PipelineConfig
from mono_depth.data import Frame, Intrinsics, RgbImage
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.point_cloud import CloudBuilder
from mono_depth.pipeline.build import build_pipeline, warm_up
from mono_depth.system.machine import cpu_seconds, hardware, resident_mib, versions

_IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_WARM_UP_FRAMES = 5
_FRAME_PERIOD_NS = 33_333_333


def run_bench(
    config: PipelineConfig, images: Sequence[RgbImage], *, seconds: float
) -> dict[str, Any]:
    """Run the pipeline and a coloured cloud over `images` again and again.

    Returns:
        Model, sizes, times of each stage, frame rate, memory, hardware and versions, ready for
        JSON. `beyond_inference` is everything but the network and what prepares its input.
    """
    pipeline = build_pipeline(config)
    warm_up(pipeline)
    camera, cloud_builder = (
        Intrinsics.assumed_for(images[0]),
        CloudBuilder(),
    )
    stages_ms: dict[str, list[float]] = {}
    machine, rss_before_mib = hardware(), resident_mib()
    is_cuda = pipeline.model.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(pipeline.model.device)
    for index in range(_WARM_UP_FRAMES):
        _run_once(pipeline.process(_frame(images, index, camera)), cloud_builder)
    cpu_before_s, began_s = cpu_seconds(), time.perf_counter()
    index, spent_s = 0, 0.0
    with tqdm(total=seconds, unit="s", bar_format=_BAR) as bar:
        while spent_s < seconds:
            start_s = time.perf_counter()
            result = pipeline.process(_frame(images, index, camera))
            outputs_ms = _run_once(result, cloud_builder)
            spent_ms = {**result.stage_ms, **outputs_ms}
            spent_ms["total"] = (time.perf_counter() - start_s) * 1e3
            spent_ms["beyond_inference"] = spent_ms["total"] - spent_ms["infer"]
            for stage, value_ms in spent_ms.items():
                stages_ms.setdefault(stage, []).append(value_ms)
            index += 1
            spent_s = time.perf_counter() - began_s
            bar.update(min(spent_s, seconds) - bar.n)
    height, width = images[0].shape[:2]
    return {
        "hardware": machine,
        "versions": versions(),
        "model": {
            "name": pipeline.model.name,
            "kind": pipeline.model.kind.value,
            "device": str(pipeline.model.device),
            "sha256": pipeline.model.weights_sha256,
            "network_size": list(reversed(result.network_relative.shape)),
        },
        "engines": [
            {"model": report.model} | report.summary() for report in pipeline.engine_reports()
        ],
        "image_size": [width, height],
        "threads": config.threads or None,
        "frames": index,
        "frames_per_second": round(index / spent_s, 2),
        "stages_ms": summaries(stages_ms),
        "cpu_cores_used": round((cpu_seconds() - cpu_before_s) / spent_s, 2),
        "memory": {
            "rss_before_mib": round(rss_before_mib, 1),
            "rss_after_mib": round(resident_mib(), 1),
            "gpu_peak_mib": _peak_mib(pipeline.model.device) if is_cuda else None,
        },
    }


def _peak_mib(device: torch.device) -> int:
    return round(torch.cuda.max_memory_allocated(device) / 2**20)


def summaries(stages_ms: Mapping[str, Iterable[float]]) -> dict[str, dict[str, float]]:
    """Return median and 99th percentile of each stage [ms]."""
    return {stage: summary(values_ms) for stage, values_ms in stages_ms.items()}


def summary(values_ms: Iterable[float]) -> dict[str, float]:
    """Return `{"p50": ..., "p99": ...}`; NaN without values."""
    known = np.fromiter(values_ms, np.float64)
    if not known.size:
        return {"p50": float("nan"), "p99": float("nan")}
    p50, p99 = np.percentile(known, (50.0, 99.0))
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def stage_table(stages_ms: Mapping[str, Mapping[str, float]]) -> str:
    """Return lines for people: stage, median, 99th percentile."""
    width = max(map(len, stages_ms), default=0)
    lines = [f"{'':{width}}  {'p50 ms':>8}  {'p99 ms':>8}"]
    lines += [
        f"{stage:{width}}  {value['p50']:8.2f}  {value['p99']:8.2f}"
        for stage, value in stages_ms.items()
    ]
    return "\n".join(lines)


_BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} s"


def _frame(images: Sequence[RgbImage], index: int, camera: Intrinsics) -> Frame:
    return Frame(
        rgb=images[index % len(images)],
        stamp_ns=(index + 1) * _FRAME_PERIOD_NS,
        frame_id="camera",
        intrinsics=camera,
    )


def _run_once(result: DepthResult, cloud_builder: CloudBuilder) -> dict[str, float]:
    """Make what robots use of a result, in the memory of the CPU; return the times [ms]."""
    spent_ms: dict[str, float] = {}
    start_s = time.perf_counter()
    if result.depth_m is None or result.intrinsics is None:
        result.relative.cpu()
        return {"relative": (time.perf_counter() - start_s) * 1e3}
    result.depth_m.cpu()
    middle_s = time.perf_counter()
    spent_ms["depth"] = (middle_s - start_s) * 1e3
    cloud = cloud_builder.build(result.depth_m, result.intrinsics, CloudConfig(), result.rgb_tensor)
    cloud.points.cpu()
    spent_ms["cloud"] = (time.perf_counter() - middle_s) * 1e3
    return spent_ms

"""How long networks take."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

_ROUNDS = 5
_RACE_S = 2.0  # a slow network is timed in fewer rounds


def timed(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the time of one run [ms], on a GPU that of its stream, and its result."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            result = run()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)), result
    before_s = time.perf_counter()
    result = run()
    return (time.perf_counter() - before_s) * 1e3, result


def race(*runs: Callable[[], object], device: torch.device) -> list[float]:
    """Return the median times [ms] of things done in turn, so that all meet the same load."""
    start_s = time.perf_counter()
    times_ms: list[list[float]] = [[] for _ in runs]
    while len(times_ms[0]) < _ROUNDS and time.perf_counter() - start_s < _RACE_S:
        for run, times in zip(runs, times_ms, strict=True):
            times.append(timed(run, device)[0])
    return [median(times) for times in times_ms]

"""Stages are timed without holding them up."""

from __future__ import annotations

import time

import pytest
import torch

from mono_depth.pipeline.stage_times import StageTimes
from pretend_gpu import pretend_gpu


def test_the_wall_clock_times_the_cpu():
    times = StageTimes(torch.device("cpu"))
    time.sleep(0.02)
    times.lap("rest")
    times.lap("nothing")
    assert list(times) == ["rest", "nothing"]
    assert len(times) == 2
    assert times["rest"] >= 20.0
    assert 0.0 <= times["nothing"] < times["rest"]
    with pytest.raises(KeyError):
        times["network"]


def test_a_device_is_waited_for_when_times_are_asked_for_and_once():
    device = torch.device("cuda", 0)
    with pretend_gpu() as gpu:
        times = StageTimes(device)
        for stage in ("one", "two"):
            torch.zeros(3, device=device).add_(1.0)
            times.lap(stage)
        assert not gpu.stalls
        assert {**times}.keys() == {"one", "two"}
        assert sum(gpu.stalls.values()) == 1
        assert sum(times.values()) >= 0.0
        assert sum(gpu.stalls.values()) == 1

"""Engines on a CUDA device."""

from __future__ import annotations

import pytest
import torch

from mono_depth.config import PipelineConfig
from mono_depth.engines import choice
from mono_depth.engines.engines import Engines
from mono_depth.engines.trial_images import trial_hints, trial_images
from mono_depth.models.loading import load_model
from mono_depth.pipeline.build import build_pipeline

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

ROOM, STREET = (torch.from_numpy(image) for image in trial_images())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_nano_says_the_same_as_one_cuda_graph(precision, tmp_path):
    device = torch.device("cuda")
    engines = Engines(
        engine="torch", precision=precision, device=device, weights_folder=tmp_path, is_live=True
    )
    model = load_model("nano", device=device, engines=engines)
    engines.prepare(model)
    for rgb in (ROOM, STREET, ROOM):
        depth_m = model.infer(rgb, None).values
        expected_m = load_model("nano").infer(rgb, None).values
        assert depth_m.device.type == "cuda"
        assert (depth_m.cpu() / expected_m - 1.0).abs().median() < 0.02
    told = trial_hints(trial_images()[1])
    depth_m = model.infer_guided(STREET, *told).values
    expected_m = load_model("nano").infer_guided(STREET, *told).values
    assert (depth_m.cpu() / expected_m - 1.0).abs().median() < 0.02
    reports = engines.reports()
    assert [report.model for report in reports] == ["nano", "nano hints"]
    for report in reports:
        assert report.refused == ()
        assert "CUDA graph" in report.detail


def test_auto_takes_an_engine_that_is_faster_than_torch(tmp_path):
    pipeline = build_pipeline(
        PipelineConfig(model="nano", device="cuda", weights_dir=str(tmp_path)), is_live=True
    )
    reports = pipeline.engine_reports()
    assert [report.model for report in reports] == ["nano", "nano hints"]
    for report in reports:
        assert report.plan in choice.plans("auto", "auto", torch.device("cuda"))


def test_a_network_too_large_for_the_gpu_runs_on_the_cpu(tmp_path):
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        pipeline = build_pipeline(
            PipelineConfig(model="nano", device="cuda", weights_dir=str(tmp_path)), is_live=True
        )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert pipeline.model.device.type == "cpu"
    assert pipeline.memory_problem.endswith("next: cpu")

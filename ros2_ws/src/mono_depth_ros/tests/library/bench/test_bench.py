from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mono_depth.bench.pipeline_bench import summary
from mono_depth.bench.soft_noise import soft_noise
from mono_depth.commands.main import main


@pytest.mark.slow
def test_a_benchmark_tells_machine_versions_model_and_the_time_of_each_stage(
    tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bench.json"
    options = ["--model", "tiny_metric", "--registry", str(tiny_models), "--device", "cpu"]
    code = main(["bench", *options, "--seconds", "0.2", "--size", "64x48", "--json", str(target)])
    assert code == 0
    report = json.loads(target.read_text())
    assert report["hardware"]["cpu"]
    assert report["hardware"]["cores_usable"] >= 1
    assert report["versions"]["torch"]
    assert report["model"]["name"] == "tiny_metric"
    assert report["model"]["network_size"] == [8, 6]
    assert report["image_size"] == [64, 48]
    assert report["frames"] > 0
    assert report["memory"]["rss_after_mib"] > 10
    stages = report["stages_ms"]
    assert stages.keys() >= {"upload", "infer", "scale", "depth", "cloud", "total"}
    for stage in stages.values():
        assert 0.0 <= stage["p50"] <= stage["p99"]
    assert stages["total"]["p50"] > stages["infer"]["p50"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "tiny_metric at 8x6 on cpu, images 64x48" in printed.err


def test_the_figures_go_to_stdout_and_the_table_to_stderr(
    tiny_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "tiny_metric", "--registry", str(tiny_models), "--seconds", "0.1"]
    assert main(["bench", *options, "--size", "32x24"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "mono-depth bench"


def test_a_model_without_metres_is_measured_on_its_relative_depth(
    tiny_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "tiny_inverse", "--registry", str(tiny_models), "--seconds", "0.1"]
    assert main(["bench", *options, "--size", "32x24"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages_ms"]
    assert "relative" in stages
    assert "cloud" not in stages


def test_a_size_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--size", "640"])
    assert "'640' is not a size such as 640x480" in capsys.readouterr().err


def test_soft_noise_is_the_same_everywhere_and_not_flat() -> None:
    first, second = soft_noise(40, 30)[0], soft_noise(40, 30)[0]
    assert first.shape == (30, 40, 3)
    assert np.array_equal(first, second)
    assert first.std() > 10


def test_a_summary_is_median_and_99th_percentile() -> None:
    assert summary(range(101)) == {"p50": 50.0, "p99": 99.0}
    assert np.isnan(summary([])["p50"])

"""The acceptance script for a machine with a GPU, tried on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[5] / "tools" / "gpu_accept.py"


@pytest.fixture(autouse=True)
def _script_is_there():
    if not SCRIPT.is_file():
        pytest.skip("the package was copied out of its repository")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_it_writes_what_it_found_and_ends_with_0(tmp_path):
    done = run("--out", str(tmp_path), "--device", "cpu", "--only", "environment,tests")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["device"] == "cpu"
    assert {name: step["verdict"] for name, step in report["steps"].items()} == {
        "environment": "ok",
        "tests": "measured",
    }


@pytest.mark.slow
def test_a_step_that_fails_is_told_by_the_exit_code(tmp_path):
    done = run("--out", str(tmp_path), "--device", "cuda:99", "--only", "environment")
    assert done.returncode == 1
    assert "failed: environment" in done.stdout
    step = json.loads((tmp_path / "gpu.json").read_text())["steps"]["environment"]
    assert step["problem"] == "exit code 1"
    assert "Error" in step["log"]


def test_an_unknown_step_is_a_wrong_usage(tmp_path):
    done = run("--out", str(tmp_path), "--only", "enviroment")
    assert done.returncode == 2
    assert "no step enviroment; there are environment, parity" in done.stderr


@pytest.mark.acceptance
def test_it_trains_and_leaves_weights_and_what_it_did(tmp_path):
    few = ["--steps", "2", "--batch", "2", "--renderers", "1"]
    few += ["--pool-minimum", "4", "--pool-capacity", "8"]
    done = run("--out", str(tmp_path), "--device", "cpu", "--train", "1", "--", *few)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "train.json").read_text())
    assert (report["exit_code"], report["weights"]) == (0, "nano.safetensors")
    assert (tmp_path / "nano.safetensors").stat().st_size > 1_000_000


@pytest.mark.slow
def test_a_training_that_fails_is_told_by_the_exit_code(tmp_path):
    done = run("--out", str(tmp_path), "--train", "1", "--", "--batch", "none")
    assert done.returncode == 1
    assert "training failed with 2" in done.stdout

"""The command line answers at once: it imports what is heavy only where that is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3]
COMMANDS = PACKAGE / "mono_depth" / "commands"
HEAVY = ("torch", "cv2", "onnxruntime", "openvino", "nncf", "open3d", "matplotlib", "rosbags")

RUN = """
import sys
heavy, command = sys.argv[1].split(","), sys.argv[2:]
from mono_depth.commands.main import build_parser, main
try:
    code = main(command) if command else build_parser() and 0
except SystemExit as end:
    code = end.code
loaded = [name for name in heavy if name in sys.modules]
sys.exit(f"imported {loaded}" if loaded else code)
"""

IMPORT = """
import importlib, sys
heavy, names = sys.argv[1].split(","), sys.argv[2:]
for name in names:
    module = importlib.import_module(f"mono_depth.commands.{name}")
    try:
        if hasattr(module, "main"):
            module.main(["--help"])
    except SystemExit as end:
        assert end.code == 0, name
    loaded = [item for item in heavy if item in sys.modules]
    assert not loaded, f"{name} imported {loaded}"
"""


def run(script: str, *arguments: str, weights: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", script, ",".join(HEAVY), *arguments],
        env={**os.environ, "PYTHONPATH": path, "MONO_DEPTH_WEIGHTS": str(weights)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("", ""),
        ("--help", "Depth from one camera."),
        ("--version", "."),
        ("models list", "nano"),
        ("models path nano", "nano.safetensors"),
        ("models info depth_anything_v2_small", "licence"),
        ("engine build --help", "--max-error"),
        ("eval --help", "synthetic:SCENE/TRAJECTORY/SEED"),
    ],
)
def test_what_computes_nothing_imports_nothing_heavy(command, answer, tmp_path):
    done = run(RUN, *command.split(), weights=tmp_path)
    assert done.returncode == 0, done.stderr
    assert answer in done.stdout


@pytest.mark.slow
def test_an_error_is_said_without_importing_anything_heavy(tmp_path):
    for command, message in (
        ("models info nanoo", "did you mean nano"),
        ("models pull leres_resnet50", "leres_resnet50 is not downloaded"),
        ("engine build nano --precision int8", "int8 needs images"),
    ):
        done = run(RUN, *command.split(), weights=tmp_path)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr


@pytest.mark.slow
def test_no_command_imports_anything_heavy_before_it_runs(tmp_path):
    names = sorted(
        ".".join(file.relative_to(COMMANDS).with_suffix("").parts)
        for file in COMMANDS.rglob("*.py")
    )
    assert {"main", "acceptance", "consumer", "train", "figures.nano_table"} <= set(names)
    done = run(IMPORT, *names, weights=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_check_notices_what_is_imported(tmp_path):
    done = run("import cv2, sys\n" + RUN.split("\n", 2)[2], "--version", weights=tmp_path)
    assert "imported ['cv2']" in done.stderr

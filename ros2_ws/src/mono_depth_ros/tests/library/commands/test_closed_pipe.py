"""A command behind `| head` ends without a word, whatever it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3]


def run(*arguments: str) -> tuple[int, str]:
    """Run Python with an output that is closed before it writes anything."""
    reader, writer = os.pipe()
    os.close(reader)
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("mono_depth.commands.main", "models", "list"),
        ("mono_depth.commands.main", "eval", "--help"),
        ("mono_depth.commands.main", "--version"),
        ("mono_depth_ros.depth_node.parameter_table", "--yaml"),
    ],
)
def test_a_closed_pipe_ends_a_command_quietly(command):
    code, said = run("-m", *command)
    assert said == ""
    assert code in (0, 141)


@pytest.mark.slow
def test_an_error_is_still_said_where_only_the_output_is_closed():
    code, said = run("-m", "mono_depth.commands.main", "models", "info", "nanoo")
    assert code == 1
    assert "did you mean nano" in said


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_one_line(tmp_path, capsys):
    from mono_depth.commands.main import main

    argv = ["calibrate", "--model", "nano", "--recording", "synthetic:room/robot/1/64x48"]
    assert main([*argv, "--frames", "2", "--force", "--out", str(tmp_path / "no" / "x.yaml")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("x.yaml: No such file or directory")

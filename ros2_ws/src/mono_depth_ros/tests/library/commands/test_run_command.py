"""The commands `run`, `batch` and `space`, and what `eval --use` withholds."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from mono_depth.commands.main import main

DRIVE = "synthetic:room/robot/1/48x36"


@pytest.fixture
def model(tiny_models):
    return ["--model", "tiny_metric", "--registry", str(tiny_models), "--threads", "1"]


def picture(folder, name, grey):
    folder.mkdir(exist_ok=True)
    rows, columns = np.mgrid[:24, :32]
    image = np.repeat((grey + 20 * ((rows // 4 + columns // 4) % 2))[..., None], 3, 2)
    cv2.imwrite(str(folder / name), image.astype(np.uint8))


@pytest.mark.slow
def test_run_names_what_failed_and_says_so_by_its_exit_code(model, tmp_path, capsys):
    picture(tmp_path / "in", "a.png", 60)
    command = ["run", str(tmp_path / "in"), str(tmp_path / "out"), *model, "--fov", "70"]

    assert main(command) == 0
    told = capsys.readouterr()
    assert "found 1 frames = done 1 + failed 0 + skipped 0" in told.out
    assert "given field of view of 70 degrees" in told.err
    about = json.loads((tmp_path / "out" / "depth" / "a.json").read_text())
    assert about["intrinsics"]["fx"] == pytest.approx(16 / np.tan(np.radians(35)))
    settings = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "auto" not in (settings["pipeline"]["engine"], settings["pipeline"]["precision"])

    (tmp_path / "in" / "b.png").write_bytes(b"broken")
    command[2] = str(tmp_path / "other")
    assert main(command) == 1
    assert "failed: b: " in capsys.readouterr().out


@pytest.mark.slow
def test_batch_shares_the_options_of_run(model, tmp_path, capsys):
    picture(tmp_path / "in", "a.png", 60)
    command = ["batch", str(tmp_path / "in"), str(tmp_path / "out"), *model]

    assert main([*command, "--engine", "local", "--workers", "0"]) == 1
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err
    assert main([*command, "--address", "auto"]) == 1
    assert "are for --engine ray" in capsys.readouterr().err
    assert main([*command, "--save", "gif"]) == 1
    assert "outputs gif: expected some of png" in capsys.readouterr().err


@pytest.mark.slow
def test_eval_prints_what_the_pipeline_was_given(model, tmp_path, capsys):
    command = ["eval", DRIVE, *model, "--frames", "4", "--temporal", "none"]

    assert main([*command, "--use", "odom,height"]) == 0
    told = "Given to scale and filter beside images and camera: odom, height"
    assert told in capsys.readouterr().out
    assert main([*command, "--guided", "--use", "sensor_depth"]) == 0
    told = capsys.readouterr().out
    assert "Given to the network, scale and filter beside images and camera: nothing" in told
    assert "(not in the recording: sensor_depth)" in told
    assert main([*command, "--use", "smell"]) == 1
    assert "inputs smell: expected some of odom" in capsys.readouterr().err


@pytest.mark.slow
def test_space_refuses_what_it_cannot_write(tmp_path, capsys):
    picture(tmp_path / "in", "a.png", 60)

    assert main(["space", str(tmp_path / "in" / "a.png"), str(tmp_path / "room.doc")]) == 1
    assert "expected a name ending in .html, .pdf or .json" in capsys.readouterr().err

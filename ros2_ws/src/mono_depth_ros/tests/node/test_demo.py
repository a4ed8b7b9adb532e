from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mono_depth_ros.processes import children as children_module
from mono_depth_ros.processes.children import Child, Children
from mono_depth_ros.processes.domain import free_domain
from mono_depth_ros.recorder.summary_table import describe

pytestmark = [pytest.mark.ros, pytest.mark.slow]

PACKAGE = Path(__file__).resolve().parents[2]
AT_ONCE = ("--param", "engine:=torch")  # other engines are built first


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    for i in range(5):
        image = cv2.resize(np.roll(noise, i, axis=1), (160, 120))
        cv2.imwrite(str(folder / f"{i:04d}.png"), image)
    return folder


@pytest.fixture
def demo(tmp_path):
    """Start the demo as a user does; its output folder is tmp_path / "out"."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mono_depth_ros.demo", "--output", str(tmp_path / "out")]
        process = subprocess.Popen(
            [*command, "--model", "nano", "--device", "cpu", *arguments],
            env={**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30.0)


def children_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


def read_until(process: subprocess.Popen[str], text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"the demo ended before it said {text!r}")


def test_the_demo_turns_images_into_depth_and_tells_how_it_went(demo, images, tmp_path):
    process = demo("--source", str(images), "--seconds", "3", "--rate-hz", "5", *AT_ONCE)
    printed, _ = process.communicate(timeout=300.0)
    assert process.returncode == 0, printed
    out = tmp_path / "out"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["depth"]["frames"] >= 3
    assert summary["lost"] == 0
    assert summary["model"] == "nano"
    assert "calibration assumed, 65 deg wide" in printed
    for name in ("film.mp4", "best.png", "cloud.ply", "latest.png", "summary.json"):
        assert (out / name).stat().st_size > 0
        assert name in printed
    assert "depth images" in printed
    assert children_of(tmp_path) == []


def test_a_model_that_does_not_exist_ends_the_demo_with_the_reason(demo, images, tmp_path):
    process = demo("--source", str(images), "--model", "crystal_ball")
    printed, _ = process.communicate(timeout=300.0)
    assert process.returncode == 1
    assert "demo: the depth node reports: on_configure failed" in printed
    assert "crystal_ball" in printed
    assert children_of(tmp_path) == []


def test_a_camera_that_fails_ends_the_demo_with_its_last_words(demo, tmp_path):
    process = demo("--source", str(tmp_path / "nowhere"), *AT_ONCE)
    printed, _ = process.communicate(timeout=300.0)
    assert process.returncode == 1
    assert "demo: camera ended with status 1; its last lines:" in printed
    assert "nowhere' does not exist" in printed
    assert children_of(tmp_path) == []


@pytest.mark.acceptance
def test_ctrl_c_while_it_runs_still_gives_the_results(demo, images, tmp_path):
    process = demo("--source", str(images), "--seconds", "600", "--rate-hz", "5")
    read_until(process, "live view: ")
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=300.0)
    assert process.returncode == 0, printed
    assert "stopping early" in printed
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["depth"]["frames"] > 0
    assert children_of(tmp_path) == []


def test_ctrl_c_at_the_start_leaves_no_process_behind(demo, images, tmp_path):
    process = demo("--source", str(images))
    read_until(process, "ROS domain")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120.0)
    assert process.returncode == 130, printed
    assert "demo: interrupted" in printed
    assert children_of(tmp_path) == []


def test_a_length_of_zero_is_refused(demo):
    process = demo("--seconds", "0")
    printed, _ = process.communicate(timeout=120.0)
    assert process.returncode == 2
    assert "0 is not a number above 0" in printed


def test_a_child_is_heard_without_the_prefix_of_the_log(tmp_path):
    heard: list[str] = []
    code = "print('[WARN] [12.5] [camera]: no light'); print('plain')"
    child = Child("camera", ["-c", code], env=os.environ, log=tmp_path / "log", tell=heard.append)
    assert child.wait(30.0) == 0
    assert heard == ["no light", "plain"]
    assert (tmp_path / "log").read_text() == "[WARN] [12.5] [camera]: no light\nplain\n"


def test_a_child_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(children_module, "_PATIENCE_S", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up'); "
        "time.sleep(600)"
    )
    with Children() as children:
        child = children.add(Child("deaf", ["-c", code], env=os.environ, log=tmp_path / "log"))
        while not child.last_lines:
            time.sleep(0.01)
        assert child.is_running
    assert child.process.returncode == -signal.SIGKILL


def test_two_claims_never_get_one_domain():
    with free_domain() as first, free_domain() as second, free_domain() as third:
        assert len({first, second, third}) == 3
        assert all(1 <= domain <= 101 for domain in (first, second, third))


def test_the_table_reads_like_this():
    channel = {"frames": 300, "rate_hz": 15.0, "latency_p50_ms": 1.25,
               "latency_p99_ms": 3.5, "latency_max_ms": 9.0}  # fmt: skip
    none = dict.fromkeys(channel) | {"frames": 0}
    table = describe(
        {
            "model": "nano",
            "device": "cpu",
            "camera": channel,
            "depth": channel,
            "points": none,
            "scale": {
                "source": "model",
                "state": "assumed",
                "reason": "nothing measures it",
                "planner_use": "mark",
            },
            "node": {"latency_p50_ms": "1.00", "latency_p99_ms": "2.00"},
            "dropped": 2,
            "lost": None,
        }
    )
    assert table.splitlines() == [
        "model    nano on cpu",
        "scale    metres from model, assumed: nothing measures it",
        "",
        "                frames      rate   latency p50       p99       max",
        "camera images      300   15.0 Hz        1.2 ms    3.5 ms    9.0 ms",
        "depth images       300   15.0 Hz        1.2 ms    3.5 ms    9.0 ms",
        "in the node                             1.0 ms    2.0 ms",
        "",
        "dropped  2 camera images, a newer one came first",
        "lost     unknown number of depth images on the way to the recorder",
    ]

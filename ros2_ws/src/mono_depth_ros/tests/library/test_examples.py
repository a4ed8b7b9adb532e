"""The examples run as their users run them, and do what they say."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from mono_depth.display.video import VideoWriter
from mono_depth.recordings.open import open_sequence

REPOSITORY = Path(__file__).resolve().parents[5]
EXAMPLES = REPOSITORY / "examples"
ROOM = "synthetic:room/handheld/1/160x120"

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the package is not in its repository"
)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Return a function that runs an example with arguments and returns what it prints."""

    def run(name: str, *arguments: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.slow
def test_a_video_becomes_a_depth_image_for_each_frame_and_a_video_in_color(run, tmp_path):
    frames = [seen.rgb for seen in open_sequence(ROOM).thinned(most=3)]
    with VideoWriter(tmp_path / "room.mp4", 15.0) as video:
        for rgb in frames:
            video.add(rgb)

    printed = run("depth_of_video.py", tmp_path / "room.mp4", tmp_path / "depth", "--fov", 70)

    assert printed[-1].startswith("depth of 3 frames")
    files = sorted((tmp_path / "depth").glob("*.png"))
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    for file in files:
        depth_mm = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert (depth_mm.shape, depth_mm.dtype) == ((120, 160), np.uint16)
        assert 500 < np.median(depth_mm) < 10_000  # a room
    colors = cv2.VideoCapture(str(tmp_path / "depth" / "color.mp4"))
    assert colors.get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_what_is_no_video_is_told(run, tmp_path):
    with pytest.raises(SystemExit, match=r"cannot read the video .*nothing\.mp4"):
        run("depth_of_video.py", tmp_path / "nothing.mp4", tmp_path / "depth")


@pytest.mark.slow
def test_points_bring_the_metres_nearer_to_the_truth(run):
    printed = run("metres_from_points.py", ROOM)

    def errors(told: str) -> list[float]:
        lines = [line for line in printed if f"{told}:" in line]
        return [float(re.search(r"([\d.]+) % off", line)[1]) for line in lines]

    image, points = errors("the image alone"), errors("50 points")
    assert len(image) == len(points) == 10
    assert np.mean(points) < 0.6 * np.mean(image)
    assert "scale by sparse_points (valid)" in printed[-1]


def test_a_network_of_ones_own_runs_and_is_described_for_ros(run, tmp_path):
    onnx = pytest.importorskip("onnx", reason="the package onnx makes the network of this test")
    parser = pytest.importorskip("onnx.parser", reason="the package onnx reads its text")
    pytest.importorskip("onnxruntime", reason="the package onnxruntime runs it")
    model = parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        brighter_is_farther (float[1, 3, h, w] rgb) => (float[1, 1, h, w] depth) {
          mean = ReduceMean <axes = [1]> (rgb)
          scale = Constant <value_float = 10.0> ()
          depth = Mul (mean, scale)
        }""")
    onnx.save(model, tmp_path / "mine.onnx")
    rgb = np.full((30, 40, 3), 50, np.uint8)
    rgb[:, 20:] = 200
    cv2.imwrite(str(tmp_path / "photo.png"), rgb)

    printed = run("own_onnx_network.py", tmp_path / "mine.onnx", tmp_path / "photo.png")

    shown = cv2.imread(str(tmp_path / "photo_depth.png")).astype(int).sum(axis=2)
    assert shown.shape == (30, 40)
    assert shown[:, :15].min() > shown[:, 25:].max()  # near is bright
    registry = tmp_path / "mine.registry.yaml"
    entry = yaml.safe_load(registry.read_text())["models"]["mine"]
    assert entry["weights"] == {"file": "mine.onnx"}
    assert f"registry:={registry} model:=mine" in printed[-1]


@pytest.mark.slow
def test_the_lines_of_python_in_the_readme_run() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    seen = next(iter(open_sequence("synthetic:room/robot/1/640x480")))
    names: dict[str, Any] = {"rgb": seen.rgb, "stamp_ns": seen.stamp_ns}

    exec(compile(code, "README.md", "exec"), names)

    result = names["result"]
    assert result.depth_m.shape == result.confidence.shape == (480, 640)
    assert result.scale.is_metric


@pytest.mark.slow
def test_a_client_without_anything_installed_gets_the_depth_of_an_image(run, tmp_path, tiny_models):
    from mono_depth.config import PipelineConfig
    from web_client import png_of, running, wait_until_ready

    photo = tmp_path / "photo.png"
    rgb = np.full((30, 40, 3), 50, np.uint8)
    rgb[:5] = 90  # depth that is the same everywhere is refused
    photo.write_bytes(png_of(rgb))
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), device="cpu")
    with running(config) as client:
        wait_until_ready(client)
        address = client.address
        (line,) = run("depth_over_http.py", photo, tmp_path / "d.png", address, "fov_deg=70")
        with pytest.raises(SystemExit, match=r"422: .*fov_deg"):
            run("depth_over_http.py", photo, tmp_path / "d.ply", address, "fov_deg=700")

    assert "in mm, model tiny_metric, scale by model (assumed), deviation 0.5" in line
    depth_mm = cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED)
    assert abs(int(depth_mm[15, 20]) - 2000) <= 1
    with pytest.raises(SystemExit, match="does not answer"):
        run("depth_over_http.py", photo, tmp_path / "d.png", address)

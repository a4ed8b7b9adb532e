"""The command `mono-depth eval` from end to end, with networks made by the test."""

from __future__ import annotations

import json
import math
import struct

import cv2
import numpy as np
import pytest

from encoded_images import encoded
from mono_depth.commands.main import main
from mono_depth.recordings.open import open_sequence
from written_bags import SECOND_NS, Messages

SEQUENCE = "synthetic:room/robot/1/48x36"


def evaluated(tiny_models, tmp_path, *more, model="tiny_metric"):
    out = tmp_path / "out.json"
    arguments = ["eval", SEQUENCE, "--model", model, "--registry", str(tiny_models)]
    code = main([*arguments, "--threads", "1", "--frames", "26", "--json", str(out), *more])
    return code, json.loads(out.read_text()) if out.exists() else {}


@pytest.mark.slow
def test_eval_measures_every_mode_in_one_run(tiny_models, tmp_path, capsys):
    image = tmp_path / "out.png"
    code, report = evaluated(tiny_models, tmp_path, "--plot", str(image))
    assert code == 0
    assert [scores["mode"] for scores in report["modes"]] == ["none", "flow", "pose"]
    assert (report["frames"], report["frames_with_pose"]) == (26, 26)
    none, _, pose = report["modes"]
    assert none["temporal"]["confidence_ratio"] == pytest.approx(1.0, abs=0.1)
    assert (none["lag"]["appear_frames"], none["lag"]["clear_frames"]) == (0, 0)
    assert pose["temporal"]["flicker"] < none["temporal"]["flicker"]
    assert pose["temporal"]["flicker"] / none["temporal"]["flicker"] == pytest.approx(
        report["against_none"]["pose"]["flicker x"]
    )
    assert report["truth_tae_zbuffered"] < 0.05
    table = capsys.readouterr().out
    assert "| none |" in table
    assert "Against no filter:" in table
    assert "| \\|near bias\\| + points |" in table
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_output_goes_to_all_modes(tiny_models, tmp_path):
    _, report = evaluated(tiny_models, tmp_path, "--temporal", "none,none")
    assert [scores["mode"] for scores in report["modes"]] == ["none"]
    _, pair = evaluated(tiny_models, tmp_path, "--temporal", "static,none")
    assert pair["modes"][1]["raw"] == report["modes"][0]["raw"]


@pytest.mark.slow
def test_a_network_without_metres_needs_the_truth(tiny_models, tmp_path, capsys):
    code, _ = evaluated(tiny_models, tmp_path, "--use", "none", model="tiny_affine")
    assert code == 1
    assert "--scale truth" in capsys.readouterr().err
    code, report = evaluated(tiny_models, tmp_path, "--scale", "truth", model="tiny_affine")
    assert code == 0
    assert math.isfinite(report["modes"][0]["raw"]["abs_rel"])
    assert report["modes"][0]["lag"]["appear_frames"] is None


@pytest.mark.slow
def test_a_network_that_runs_against_the_truth_is_not_turned_round(tiny_models, tmp_path, capsys):
    code, _ = evaluated(tiny_models, tmp_path, "--scale", "truth", model="tiny_inverse")
    assert code == 1  # in this room bright is far
    assert "its output falls where that rises" in capsys.readouterr().err


@pytest.mark.slow
def test_any_parameter_of_the_pipeline_can_be_set(tiny_models, tmp_path, capsys):
    posed = ["--temporal", "pose"]
    _, short = evaluated(tiny_models, tmp_path, *posed, "--set", "temporal.memory_frames=1")
    _, long = evaluated(tiny_models, tmp_path, *posed, "--set", "temporal.memory_frames=40")
    flicker = [report["modes"][0]["temporal"]["flicker"] for report in (short, long)]
    assert flicker[1] < flicker[0]
    for wrong, message in (
        ("temporal.magic=1", "unknown parameter temporal.magic"),
        ("temporal.memory_frames=few", "'few' is not of type int"),
        ("temporal.mode", "expected NAME=VALUE"),
    ):
        assert evaluated(tiny_models, tmp_path, "--set", wrong)[0] == 1
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_an_unknown_mode_is_refused(tiny_models, tmp_path, capsys):
    code, _ = evaluated(tiny_models, tmp_path, "--temporal", "none,magic")
    assert code == 1
    assert "expected some of none, static, flow, pose, auto" in capsys.readouterr().err


@pytest.mark.slow
def test_a_bag_is_measured_as_robots_record_it(tiny_models, tmp_path):
    pytest.importorskip("rosbags", reason="the package rosbags writes the bag")
    drive = open_sequence(SEQUENCE).thinned(most=3)
    make = Messages()
    images, depths = [], []
    for frame in drive:
        at_ns = frame.stamp_ns + SECOND_NS
        images.append((at_ns, make.image_of(at_ns, vars(encoded("bayer_rggb8", frame.rgb)))))
        depth_mm = np.nan_to_num(1000 * frame.depth_m).astype(np.uint16)
        data = struct.pack("<iff", 0, 0.0, 0.0) + cv2.imencode(".png", depth_mm)[1].tobytes()
        depths.append((at_ns, make.compressed(at_ns, "16UC1; compressedDepth png", data)))
    camera = drive[0].intrinsics
    info = make.info(48, 36, k=camera.matrix().ravel())
    info.p[:] = np.eye(3, 4).ravel()
    info.p.reshape(3, 4)[:, :3] = camera.matrix()
    topics = [
        ("/eye/image_raw", "sensor_msgs/msg/Image", images),
        ("/eye/depth/compressedDepth", "sensor_msgs/msg/CompressedImage", depths),
        ("/eye/camera_info", "sensor_msgs/msg/CameraInfo", [(SECOND_NS, info)]),
    ]
    bag = make.write(tmp_path / "drive", topics, zstd="message")
    (bag / "metadata.yaml").unlink()

    out = tmp_path / "bag.json"
    options = ["--model", "tiny_metric", "--registry", str(tiny_models), "--threads", "1"]
    assert main(["eval", str(bag), *options, "--temporal", "none", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["frames"] == 3

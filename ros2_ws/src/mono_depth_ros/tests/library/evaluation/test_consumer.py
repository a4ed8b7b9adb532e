"""What Open3D makes of depth, on scenes that are known."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mono_depth.config import PipelineConfig, ScaleConfig
from mono_depth.data import Intrinsics
from mono_depth.errors import ConfigError

try:
    import open3d  # noqa: F401 - the consumer
except (ImportError, OSError) as error:  # OSError: a system library is missing
    pytest.skip(f"Open3D does not import: {error}", allow_module_level=True)

from mono_depth.commands import acceptance, consumer
from mono_depth.evaluation.consumer.reconstruction import (
    RgbdImage,
    fused_mesh,
    mesh_error,
    moved,
    odometry,
    rendered_mesh,
)
from mono_depth.evaluation.consumer.streams import record
from mono_depth.recordings.open import open_sequence

CAMERA = Intrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
GREY = np.full((48, 64, 3), 128, np.uint8)


def wall_mesh(depth_m: float):
    image = RgbdImage(rgb=GREY, depth_m=np.full((48, 64), depth_m, np.float32))
    return fused_mesh([image] * 4, [np.eye(4)] * 4, CAMERA, 0.05, 5.0)


def test_a_wall_becomes_a_mesh_at_its_distance():
    mesh = wall_mesh(2.0)
    np.testing.assert_allclose(mesh.vertex.positions.numpy()[:, 2], 2.0, atol=0.005)


def test_mesh_error_is_the_distance_of_the_walls():
    error = mesh_error(wall_mesh(2.2), wall_mesh(2.0), 0.1)
    assert error.accuracy_m == pytest.approx(0.2, abs=0.02)
    assert error.chamfer_m == pytest.approx(0.2, abs=0.02)
    assert (error.precision, error.recall, error.f_score) == (0.0, 0.0, 0.0)
    same = mesh_error(wall_mesh(2.0), wall_mesh(2.0), 0.1)
    assert (same.f_score, same.area_ratio, same.normals) == pytest.approx((1.0, 1.0, 1.0))


def test_a_mesh_is_moved_with_its_trajectory():
    T = np.eye(4)
    T[2, 3] = 3.0
    far = moved(wall_mesh(2.0), T)
    np.testing.assert_allclose(far.vertex.positions.numpy()[:, 2], 5.0, atol=0.01)


def test_a_image_shows_the_wall_bright_and_nothing_beside_it_dark():
    back = np.eye(4)
    back[2, 3] = -3.0  # from further away the wall fills the middle only
    shot = rendered_mesh(wall_mesh(2.0), back, CAMERA)
    assert shot[24, 32].min() > 120
    assert shot[2, 2].max() < 60


def test_odometry_follows_the_true_depth_of_the_synthetic_camera():
    sequence = open_sequence("synthetic:room/handheld/1/160x120").thinned(most=5)
    frames = list(sequence)
    images = [RgbdImage(rgb=frame.rgb, depth_m=frame.depth_m) for frame in frames]
    found = odometry(images, frames[0].intrinsics, 6.0)
    true_step = np.linalg.inv(frames[0].T_odom_camera) @ frames[4].T_odom_camera
    np.testing.assert_allclose(found.T_start_camera[4], true_step, atol=0.02)
    assert found.failures == 0


def test_the_script_judges_every_stream_and_writes_meshes(tiny_models, tmp_path, capsys):
    arguments = ["synthetic:room/handheld/1/64x48", "--frames", "6", "--model", "tiny_metric"]
    arguments += ["--registry", str(tiny_models), "--temporal", "none,pose", "--voxel", "0.1"]
    assert consumer.main([*arguments, "--max-depth", "20", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "consumer.json").read_text())
    truth, none, pose = report["verdicts"]
    assert [v["depth"] for v in report["verdicts"]] == ["truth", "none", "pose"]
    assert truth["mesh_true_poses"]["f_score"] == 1.0
    assert truth["trajectory"]["ate_m"] < none["trajectory"]["ate_m"]
    assert pose["mesh_own_poses"]["area_ratio"] > 0.0
    assert (tmp_path / "mesh_pose.ply").stat().st_size > 1000
    assert cv2.imread(str(tmp_path / "meshes.png")).shape[1] == 3 * 480
    assert "| pose |" in capsys.readouterr().out


def without_poses(sequence, missing):
    def load(index):
        frame = sequence.load(index)
        return replace(frame, T_odom_camera=None) if index in missing else frame

    return replace(sequence, load=load)


def test_frames_without_a_true_pose_are_not_judged(tiny_models):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), threads=1)
    config = replace(config, scale=ScaleConfig(source="model"))
    sequence = open_sequence("synthetic:room/handheld/1/64x48").thinned(most=6)
    streams = record(without_poses(sequence, {0, 3}), config, ["none"])
    assert len(streams.rgb) == len(streams.T_odom_camera) == 4
    assert [len(maps) for maps in streams.depth_m.values()] == [4, 4]
    np.testing.assert_array_equal(streams.T_odom_camera[0], sequence[1].T_odom_camera)
    with pytest.raises(ConfigError, match="2 frames have a pose, expected 3 or more"):
        record(without_poses(sequence, {0, 1, 2, 3}), config, ["none"])


def test_the_script_says_what_is_wrong_with_a_sequence(tmp_path, capsys):
    assert consumer.main([str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 1
    assert "nothing does not exist" in capsys.readouterr().err


def test_acceptance_divides_what_consumers_get_with_the_filter_by_without(
    tiny_models, tmp_path, capsys
):
    arguments = ["--sequence", "synthetic:room/handheld/1/64x48", "--frames", "6", "--rows", "8"]
    arguments += ["--model", "tiny_metric", "--registry", str(tiny_models), "--threads", "1"]
    out = tmp_path / "rows.json"
    assert acceptance.main([*arguments, "--consumer", str(tmp_path), "--json", str(out)]) == 0
    rows = {row["measure"]: row["value"] for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == {
        f"{mode}: {measure} x"
        for mode in ("pose", "flow")
        for measure in (
            "trajectory error",
            "error of a step",
            "error of a turn",
            "mesh error",
            "mesh error at true poses",
        )
    }
    assert rows["pose: error of a step x"] < 1.0
    folder = tmp_path / "room_handheld_1_64x48"
    verdicts = json.loads((folder / "consumer.json").read_text())["verdicts"]
    turns = {verdict["depth"]: verdict["trajectory"]["rpe_deg"] for verdict in verdicts}
    assert rows["flow: error of a turn x"] == pytest.approx(turns["flow"] / turns["none"])
    assert (folder / "meshes.png").is_file()

"""Recordings of every format, written here with values that can be checked by eye."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from mono_depth.errors import ConfigError
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.pose_file import read_poses, stamp_ns_of

RED_BGR = (0, 0, 200)


def write_rgb(path, size=(6, 4)):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), RED_BGR, np.uint8))


def write_depth(path, units, size=(6, 4)):
    path.parent.mkdir(exist_ok=True)
    values = np.full((size[1], size[0]), units, np.uint16)
    values[0, 0] = 0
    cv2.imwrite(str(path), values)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c"):
        write_rgb(tmp_path / "rgb" / f"{name}.png")
        write_depth(tmp_path / "depth" / f"{name}.png", 1500)
    camera = {"fx": 5.0, "fy": 5.0, "cx": 2.5, "cy": 1.5, "rate_hz": 10}
    (tmp_path / "intrinsics.json").write_text(json.dumps(camera))
    return tmp_path


def test_a_folder_gives_color_depth_in_metres_camera_and_stamps(folder):
    sequence = open_sequence(str(folder))
    assert [frame.stamp_ns for frame in sequence] == [0, 100_000_000, 200_000_000]
    frame = sequence[0]
    np.testing.assert_array_equal(frame.rgb[0, 0], (200, 0, 0))
    assert np.isnan(frame.depth_m[0, 0])
    assert frame.depth_m[1, 1] == np.float32(1.5)
    assert (frame.intrinsics.fx, frame.intrinsics.width) == (5.0, 6)
    assert frame.T_odom_camera is None


def test_poses_of_a_folder_are_interpolated(folder):
    (folder / "poses.txt").write_text("# t x y z\n0 0 0 0 0 0 0 1\n0.2 4 0 0 0 0 0 1\n")
    assert open_sequence(str(folder))[1].T_odom_camera[0, 3] == pytest.approx(2.0)


def test_the_robot_is_told_everything_but_the_depth(folder):
    frame = open_sequence(str(folder))[0].as_camera_frame()
    assert not hasattr(frame, "depth_m")
    assert frame.intrinsics.cx == 2.5


def test_a_matrix_of_open3d_is_read_column_by_column(folder):
    matrix = {"intrinsic_matrix": [5, 0, 0, 0, 6, 0, 2.5, 1.5, 1], "depth_units_per_m": 500}
    (folder / "intrinsics.json").write_text(json.dumps(matrix))
    frame = open_sequence(str(folder))[0]
    assert (frame.intrinsics.fy, frame.intrinsics.cx) == (6.0, 2.5)
    assert frame.depth_m[1, 1] == np.float32(3.0)


def test_depth_may_be_npy_and_names_may_be_times(folder):
    write_rgb(folder / "rgb" / "7.25.png")
    np.save(folder / "depth" / "7.25.npy", np.full((4, 6), 2.0, np.float32))
    first = open_sequence(str(folder))[0]
    assert (first.stamp_ns, first.depth_m[0, 0]) == (7_250_000_000, 2.0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda f: (f / "intrinsics.json").unlink(), "neither intrinsics.json nor intrinsics.txt"),
        (lambda f: (f / "intrinsics.json").write_text('{"fx": 1}'), "cx, cy, fy missing"),
        (lambda f: [p.unlink() for p in (f / "depth").iterdir()], "none have the same name"),
        (lambda f: (f / "rgb").rename(f / "images"), "no folder rgb/ or color/"),
        (lambda f: (f / "poses.txt").write_text("0 1 2\n"), "line 1: '0 1 2', expected t tx ty"),
    ],
)
def test_an_incomplete_folder_says_what_is_missing(folder, broken, message):
    broken(folder)
    with pytest.raises(ConfigError, match=message):
        open_sequence(str(folder))


def test_depth_of_another_size_is_refused(folder):
    write_depth(folder / "depth" / "a.png", 1000, size=(3, 2))
    with pytest.raises(ConfigError, match=r"6x4, .* is 3x2"):
        open_sequence(str(folder))[0]


def test_every_second_frame_and_no_more_than_asked_for(folder):
    sequence = open_sequence(str(folder))
    assert [f.stamp_ns for f in sequence.thinned(every=2)] == [0, 200_000_000]
    assert len(sequence.thinned(most=2)) == 2
    with pytest.raises(ConfigError, match="expected >= 1"):
        sequence.thinned(every=0)


@pytest.fixture
def tum(tmp_path):
    folder = tmp_path / "rgbd_dataset_freiburg1_made"
    folder.mkdir()
    write_rgb(folder / "rgb" / "1.0.png", (640, 480))
    write_depth(folder / "depth" / "1.01.png", 10_000, (640, 480))
    (folder / "groundtruth.txt").write_text("0.9 0 0 1 0 0 0 1\n1.1 0 0 2 0 0 0 1\n")
    (folder / "rgb.txt").write_text("# colour\n1.0 rgb/1.0.png\n5.0 rgb/5.0.png\n")
    (folder / "depth.txt").write_text("1.01 depth/1.01.png\n")
    return folder


def test_a_tum_sequence_is_paired_by_time_rectified_and_posed(tum):
    (frame,) = open_sequence(str(tum))
    assert frame.depth_m[240, 320] == np.float32(2.0)
    assert frame.T_odom_camera[2, 3] == pytest.approx(1.5)
    assert frame.intrinsics.fx == 517.3
    assert np.isnan(frame.depth_m[0, 0])  # the lens bends the corners out of the image


def test_associations_replace_the_two_lists(tum):
    (tum / "associations.txt").write_text("1.0 rgb/1.0.png 1.01 depth/1.01.png\n")
    (tum / "rgb.txt").unlink()
    assert len(open_sequence(str(tum))) == 1


def test_a_tum_folder_must_tell_its_camera(tum):
    renamed = tum.rename(tum.parent / "desk")
    with pytest.raises(ConfigError, match="expected freiburg1, 2 or 3 in it"):
        open_sequence(str(renamed))


def test_the_real_tum_frames_all_have_a_pose(shared_data):
    sequence = open_sequence(str(shared_data / "tum_fr1_rpy"))
    assert len(sequence) == 60
    first, last = sequence[0], sequence[59]
    assert first.stamp_ns == 1305031246429654000
    assert last.T_odom_camera is not None
    assert np.nanmedian(first.depth_m) == pytest.approx(1.1, abs=0.5)


@pytest.mark.slow
def test_the_synthetic_camera_is_a_sequence_with_movers_and_points():
    frame = open_sequence("synthetic:room/robot/1/32x24")[3]
    assert frame.rgb.shape == (24, 32, 3)
    assert frame.mover_mask.shape == (24, 32)
    assert len(frame.sparse_points_m) > 100
    assert frame.T_odom_camera[2, 3] > 0.0


@pytest.mark.parametrize("source", ["synthetic:room", "synthetic:room/robot/one"])
def test_a_misspelt_synthetic_sequence_is_refused(source):
    with pytest.raises(ConfigError, match="not such as synthetic:room/robot/1"):
        open_sequence(source)


def test_a_sequence_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="no_such_place does not exist"):
        open_sequence("no_such_place")


def test_stamps_keep_their_nanoseconds():
    assert stamp_ns_of("1305031246.429654") == 1305031246429654000
    assert stamp_ns_of("12") == 12_000_000_000
    assert stamp_ns_of("1e-3") == 1_000_000


def test_pose_lines_that_are_no_rotation_are_refused(tmp_path):
    (tmp_path / "poses.txt").write_text("0 0 0 0 0 0 0 0\n")
    with pytest.raises(ConfigError, match="expected t tx ty tz qx qy qz qw"):
        read_poses(tmp_path / "poses.txt")

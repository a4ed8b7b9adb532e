"""Recordings as other programs and people write them, replayed from public reports."""

from __future__ import annotations

import json
import logging

import cv2
import numpy as np
import pytest

from mono_depth.commands.main import main
from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.images import read_depth, read_image, times_of_names
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.pose_file import read_poses
from mono_depth.recordings.sequence import GivenCamera
from mono_depth.recordings.text_lines import stamp_ns_of

CAMERA = {"fx": 5.0, "fy": 5.0, "cx": 2.5, "cy": 1.5, "rate_hz": 10}
STAMP_NS = 1_305_031_246_429_654_000


def write_rgb(path, value=100, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.full((size[1], size[0], 3), value, np.uint8)
    rgb[0] += 1  # a network that says the same everywhere is refused
    cv2.imwrite(str(path), rgb)


def write_depth(path, units=1500, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0]), units, np.uint16))


@pytest.fixture
def folder(tmp_path):
    for number in range(1, 4):
        write_rgb(tmp_path / "rgb" / f"{number}.png", 10 * number)
        write_depth(tmp_path / "depth" / f"{number}.png", 1000 * number)
    (tmp_path / "intrinsics.json").write_text(json.dumps(CAMERA))
    return tmp_path


@pytest.fixture
def tum(tmp_path):
    folder = tmp_path / "rgbd_dataset_freiburg1_made"
    for stamp in ("1.0", "2.0"):
        write_rgb(folder / "rgb" / f"{stamp}.png", size=(640, 480))
        write_depth(folder / "depth" / f"{stamp}.png", 10_000, (640, 480))
    (folder / "groundtruth.txt").write_text("0.9 0 0 1 0 0 0 1\n1.1 0 0 2 0 0 0 1\n")
    (folder / "rgb.txt").write_text("1.0 rgb/1.0.png\n2.0 rgb/2.0.png\n")
    (folder / "depth.txt").write_text("1.01 depth/1.0.png\n2.01 depth/2.0.png\n")
    return folder


# Order and names


def test_numbered_files_are_in_the_order_of_their_numbers(folder):
    for number in (10, 100, 20):
        write_rgb(folder / "rgb" / f"{number}.png")
        write_depth(folder / "depth" / f"{number}.png", 100 * number)
    found = [frame.depth_m[0, 0] for frame in open_sequence(str(folder))]
    assert found == [1.0, 2.0, 3.0, 1.0, 2.0, 10.0]


def test_images_and_depth_are_paired_by_number_where_their_words_differ(folder):
    for name in ("rgb", "depth"):
        for file in (folder / name).iterdir():
            digits = file.stem if name == "rgb" else file.stem.zfill(6)
            file.rename(file.with_name(f"frame-{digits}.{'color' if name == 'rgb' else name}.png"))
    assert [frame.depth_m[0, 0] for frame in open_sequence(str(folder))] == [1.0, 2.0, 3.0]


def test_names_that_do_not_tell_files_apart_are_not_guessed(folder):
    for file in (folder / "depth").iterdir():
        file.rename(file.with_name(f"{'abc'[int(file.stem) - 1]}_7.png"))
    with pytest.raises(ConfigError, match="none have the same name"):
        open_sequence(str(folder))


def test_the_suffix_of_depth_may_be_in_capitals(folder):
    for file in (folder / "depth").iterdir():
        file.rename(file.with_suffix(".PNG"))
    assert len(open_sequence(str(folder))) == 3


# Stamps


@pytest.mark.parametrize(
    "text",
    [
        "1305031246.429654",
        "1305031246429654000",
        "1305031246429654",
        "1.305031246429654e9",
        "1.305031246429654e+18",
        "1.305031246429654e15",
    ],
)
def test_stamps_are_in_whatever_unit_their_size_tells(text):
    assert stamp_ns_of(text) == pytest.approx(STAMP_NS, abs=1000)


def test_stamps_of_milliseconds_and_small_numbers():
    assert stamp_ns_of("1305031246429") == 1_305_031_246_429_000_000
    assert [stamp_ns_of(text) for text in ("0", "12", "3.5", "-2")] == [
        *(0, 12_000_000_000, 3_500_000_000, -2_000_000_000)
    ]
    for text in ("nan", "inf", "1e30", "", "12:30", "9" * 5000):
        with pytest.raises((ValueError, OverflowError)):
            stamp_ns_of(text)


def test_names_may_be_times_in_any_unit_but_no_counters():
    assert times_of_names(["1305031246429", "1305031246529"])[0] == 1_305_031_246_429_000_000
    assert times_of_names(["1305031246429654", "1305031246529654"])[0] == STAMP_NS
    assert times_of_names(["0000000000012", "0000000000013"]) is None


# Poses


def poses(folder, lines, name="poses.txt", encoding="utf-8"):
    (folder / name).write_bytes("\n".join(lines).encode(encoding))
    return open_sequence(str(folder))


def test_one_line_that_jumps_costs_one_pose_and_is_told(folder, caplog):
    lines = [f"{0.05 * i:.2f} {0.01 * i:.2f} 0 0 0 0 0 1" for i in range(8)]
    lines[4] = lines[4].replace("0.04", "5.04")
    sequence = poses(folder, lines)
    assert all(frame.T_odom_camera is not None for frame in sequence)
    assert "1 of 8 poses jump away for a single line" in caplog.text


def test_a_stamp_far_ahead_at_the_top_hides_no_other_line(folder, caplog):
    lines = ["1000 0 0 0 0 0 0 1", *(f"{0.1 * i:.1f} 0 0 0 0 0 0 1" for i in range(4))]
    assert all(frame.T_odom_camera is not None for frame in poses(folder, lines))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_commas_and_comments_are_no_trouble(folder, encoding):
    lines = ["# t x y z qx qy qz qw", "", "0, 1, 0, 0, 0, 0, 0, 1\r", "0.3,1,0,0,0,0,0,1"]
    assert poses(folder, lines, encoding=encoding)[0].T_odom_camera[0, 3] == 1.0


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("100", "0 of 3 images have a pose: poses reach from 100.000 to 100.100 s, images from"),
        ("0.1", "2 of 3 images have a pose"),
    ],
)
def test_what_poses_cover_is_told(folder, caplog, first, said):
    lines = [f"{float(first) + t:g} 0 0 0 0 0 0 1" for t in (0.0, 0.1)]
    with caplog.at_level(logging.WARNING):
        poses(folder, lines)
    assert said in caplog.text
    assert ("another clock" in caplog.text) == (first == "100")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\x00\x01", "1 2 3 4 5 6 7 8".encode("utf-16")]
)
def test_a_pose_file_that_is_none_is_a_config_error(tmp_path, content):
    (tmp_path / "poses.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"poses\.txt"):
        read_poses(tmp_path / "poses.txt")


# Depth


@pytest.mark.parametrize("suffix", [".npy", ".tiff", ".pfm"])
def test_fractions_are_metres_whatever_holds_them(folder, suffix):
    metres = np.full((4, 6), 2.5, np.float32)
    metres[0, 0] = np.nan
    for file in list((folder / "depth").iterdir()):
        file.unlink()
        target = file.with_suffix(suffix)
        np.save(target, metres) if suffix == ".npy" else cv2.imwrite(str(target), metres)
    frame = open_sequence(str(folder))[0]
    assert frame.depth_m[1, 1] == 2.5
    assert np.isnan(frame.depth_m[0, 0])


def test_whole_numbers_are_units_whatever_holds_them(tmp_path):
    units = np.array([[0, 1500], [65535, 3000]], np.uint16)
    np.save(tmp_path / "a.npy", units)
    cv2.imwrite(str(tmp_path / "a.tiff"), units)
    np.save(tmp_path / "b.npy", units.astype(np.int32)[:, :, None])
    for name in ("a.npy", "a.tiff"):
        found = read_depth(tmp_path / name, 1000.0)
        np.testing.assert_array_equal(found, np.float32([[np.nan, 1.5], [np.nan, 3.0]]))
    assert read_depth(tmp_path / "b.npy", 1000.0)[1, 1] == 3.0


def test_depth_of_a_type_that_is_not_read_is_named(folder):
    for file in (folder / "depth").iterdir():
        file.rename(file.with_suffix(".mat"))
    with pytest.raises(ConfigError, match=r"depth of type \.mat is not read; expected \.png, "):
        open_sequence(str(folder))


def test_exr_that_opencv_does_not_read_names_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(60))
    with pytest.raises(FrameError, match="OPENCV_IO_ENABLE_OPENEXR=1 if you trust it, or write"):
        read_depth(tmp_path / "a.exr", 1000.0)


def test_a_picture_of_eight_bits_is_no_depth(tmp_path):
    write_rgb(tmp_path / "a.png")
    with pytest.raises(FrameError, match="not a 16-bit depth image"):
        read_depth(tmp_path / "a.png", 1000.0)


def test_a_header_that_claims_more_than_there_is_takes_no_memory(tmp_path):
    huge = tmp_path / "a.npy"
    with huge.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (99_999, 99_999)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))
    with pytest.raises(FrameError, match=r"damaged or not a \.npy file"):
        read_depth(huge, 1000.0)
    write_rgb(tmp_path / "a.png")
    png = bytearray((tmp_path / "a.png").read_bytes())
    png[16:24] = b"\x00\x01\x00\x00\x00\x01\x00\x00"
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(FrameError, match="claims 4294967296 pixels"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.pgm").write_bytes(b"P5\n# x\n60000 60000\n65535\nab")
    with pytest.raises(FrameError, match="pixels"):
        read_depth(tmp_path / "a.pgm", 1000.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_depth_in_millimetres_where_metres_belong_is_told_by_eval(folder, tiny_models, capsys):
    for file in list((folder / "depth").iterdir()):
        file.unlink()
        np.save(file.with_suffix(".npy"), np.full((4, 6), 2500.0, np.float32))
    argv = ["eval", str(folder), "--model", "tiny_metric", "--registry", str(tiny_models)]
    assert main([*argv, "--threads", "1", "--temporal", "none"]) == 1
    said = capsys.readouterr().err
    assert "has no true depth below 20 m: its median is 2500 (millimetres?)" in said
    assert "--depth-units" in said


@pytest.mark.slow
@pytest.mark.parametrize(("units", "is_told"), [("1000", False), ("5000", True), ("200", True)])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_units_that_make_no_sense_are_told_by_eval(
    folder, tiny_models, capsys, caplog, units, is_told
):
    """The network says 4 m, and so do files in millimetres."""
    for number in range(1, 4):
        write_rgb(folder / "rgb" / f"{number}.png", 100)
        write_depth(folder / "depth" / f"{number}.png", 4000)
    argv = ["eval", str(folder), "--model", "tiny_metric", "--registry", str(tiny_models)]
    assert main([*argv, "--threads", "1", "--temporal", "none", "--depth-units", units]) == 0
    assert ("are its units right?" in caplog.text) == is_told
    assert "m (median)" in capsys.readouterr().out


# Cameras


def test_intrinsics_and_units_may_be_given_by_option(folder):
    (folder / "intrinsics.json").unlink()
    given = GivenCamera(fx_fy_cx_cy=(7.0, 7.0, 2.5, 1.5), depth_units_per_m=500.0)
    frame = open_sequence(str(folder), given=given)[0]
    assert (frame.intrinsics.fx, frame.depth_m[1, 1]) == (7.0, 2.0)
    with pytest.raises(ConfigError, match="--camera FX FY CX CY gives them"):
        open_sequence(str(folder))


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA | {"fx": float("nan")},
        CAMERA | {"fx": -5.0},
        CAMERA | {"depth_units_per_m": 0},
        CAMERA | {"rate_hz": 0},
        CAMERA | {"cx": float("inf")},
        [1, 2],
        CAMERA | {"fx": [1]},
    ],
)
def test_intrinsics_that_are_no_camera_are_refused(folder, camera):
    (folder / "intrinsics.json").write_text(json.dumps(camera))
    with pytest.raises(ConfigError, match=r"the intrinsics in .* are not a camera"):
        open_sequence(str(folder))


def test_intrinsics_with_a_byte_order_mark_and_commas_are_read(folder):
    (folder / "intrinsics.json").write_text("\ufeff" + json.dumps(CAMERA))
    assert open_sequence(str(folder))[0].intrinsics.fx == 5.0
    (folder / "intrinsics.json").unlink()
    (folder / "intrinsics.txt").write_text("\ufeff# K\n6, 0, 2.5\n0, 6, 1.5\n0, 0, 1\n")
    assert open_sequence(str(folder))[0].intrinsics.fx == 6.0


def test_a_link_under_another_name_is_the_recording_behind_it(tum):
    link = tum.parent / "desk"
    link.symlink_to(tum)
    assert open_sequence(str(link))[0].intrinsics.fx == 517.3
    named = tum.parent / "my_fr2_link"
    named.symlink_to(tum.rename(tum.parent / "data"))
    assert open_sequence(str(named))[0].intrinsics.fx == 520.9


@pytest.mark.parametrize("name", ["my_fr2ont_run", "afr1", "fr12", "freiburg4"])
def test_a_word_that_has_the_letters_of_a_camera_names_none(tum, name):
    renamed = tum.rename(tum.parent / name)
    with pytest.raises(ConfigError, match=r"tells no camera: .*--camera FX FY CX CY"):
        open_sequence(str(renamed))
    given = GivenCamera(fx_fy_cx_cy=(500.0, 500.0, 319.5, 239.5), depth_units_per_m=1000.0)
    frame = open_sequence(str(renamed), given=given)[0]
    assert (frame.intrinsics.fx, frame.depth_m[240, 320]) == (500.0, 10.0)


# Text files of TUM


def test_lists_of_tum_may_have_marks_comments_and_any_order(tum):
    (tum / "rgb.txt").write_text("\ufeff# colour images\n2.0 rgb/2.0.png\r\n1.0 rgb/1.0.png\r\n")
    assert [frame.stamp_ns for frame in open_sequence(str(tum))] == [10**9, 2 * 10**9]
    (tum / "associations.txt").write_text(
        "\ufeff# rgb and depth\n2.0 rgb/2.0.png 2.01 depth/2.0.png\n"
        "1.0 rgb/1.0.png 1.01 depth/1.0.png\n"
    )
    assert [frame.stamp_ns for frame in open_sequence(str(tum))] == [10**9, 2 * 10**9]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("rgb.txt", "x rgb/1.0.png\n", r"rgb\.txt, line 1: 'x rgb/1.0.png' does not begin with a"),
        ("rgb.txt", "1e30 rgb/1.0.png\n", "does not begin with a time"),
        ("associations.txt", "# only comments here\n", "lists no image"),
        ("depth.txt", "", "lists no image"),
        ("depth.txt", "90.0 depth/1.0.png\n", "no image of rgb.txt has depth of depth.txt within"),
    ],
)
def test_lists_that_tell_nothing_are_config_errors(tum, file, text, message):
    (tum / file).write_text(text)
    with pytest.raises(ConfigError, match=message):
        open_sequence(str(tum))


# A scale that needs motion first


@pytest.mark.slow
def test_eval_waits_for_a_scale_that_needs_motion(tiny_models, capsys, caplog, tmp_path):
    out = tmp_path / "out.json"
    argv = ["eval", "synthetic:office/drone/1/160x120", "--model", "nano", "--scale", "odometry"]
    argv += ["--threads", "1", "--frames", "45", "--temporal", "none", "--json", str(out)]
    assert main(argv) == 0
    report = json.loads(out.read_text())
    assert 0 < report["frames"] < 45
    left_out = 45 - report["frames"]
    assert f"{left_out} of 45 frames have no metres and are not measured" in caplog.text


# One bad file or line among many


@pytest.mark.parametrize("name", ["rgb", "depth"])
@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_a_damaged_image_costs_its_own_frame_and_is_told(folder, caplog, name, content):
    (folder / name / "2.png").write_bytes(content)
    frames = list(open_sequence(str(folder)))
    assert [round(frame.stamp_ns * 1e-9, 3) for frame in frames] == [0.0, 0.2]
    assert "1 of 3 frames cannot be read, and are left out" in caplog.text


def test_where_no_image_can_be_read_that_is_the_error(folder):
    for file in (folder / "depth").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(FrameError, match=r"1\.png is not a 16-bit depth image"):
        list(open_sequence(str(folder)))


def test_an_image_without_depth_takes_its_time_all_the_same(folder):
    (folder / "depth" / "2.png").unlink()
    assert [frame.stamp_ns for frame in open_sequence(str(folder))] == [0, 200_000_000]


def test_files_that_a_system_hides_are_none_of_the_recording(folder):
    for name in ("rgb", "depth"):
        (folder / name / "._1.png").write_bytes(b"\0\x05\x16\x07")
    assert len(list(open_sequence(str(folder)))) == 3


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("0.1 nan nan nan nan nan nan nan", 1),  # a tracker that is lost
        ("0.1 0 0 0 0 0 0 0", 1),
        ("timestamp tx ty tz qx qy qz qw", 0),
        ("0.2 0 0", 3),  # the recorder was ended
    ],
)
def test_lines_that_tell_no_pose_are_left_out(tmp_path, caplog, line, number):
    lines = [f"{0.1 * i:.1f};{0.1 * i};0;0;0;0;0;1" for i in range(3)]
    (tmp_path / "poses.txt").write_text("\n".join([*lines[:number], line, *lines[number:]]))
    poses = read_poses(tmp_path / "poses.txt")
    assert all(poses.at(stamp) is not None for stamp in (0, 100_000_000, 200_000_000))
    assert ("1 of 4 lines tell no pose" in caplog.text) == (number > 0)


def test_a_file_of_lost_poses_is_none(tmp_path):
    (tmp_path / "poses.txt").write_text("0 nan nan nan nan nan nan nan\n" * 3)
    with pytest.raises(ConfigError, match="none of 3 lines tells a pose"):
        read_poses(tmp_path / "poses.txt")


def test_focal_lengths_in_shares_of_the_image_are_refused(folder):
    (folder / "intrinsics.json").write_text(json.dumps(CAMERA | {"fx": 0.09, "fy": 0.06}))
    with pytest.raises(ConfigError, match=r"images of 6x4 .* are to be multiplied by its width"):
        open_sequence(str(folder))


def test_a_camera_of_larger_images_is_told(folder, caplog):
    (folder / "intrinsics.json").write_text(json.dumps(CAMERA | {"cx": 7.5}))
    assert len(open_sequence(str(folder))) == 3
    assert "are they those of images of another size?" in caplog.text

"""A bag written here, with a camera that is mounted 0.3 m before the robot's centre."""

from __future__ import annotations

import sqlite3
import struct
import sys
from contextlib import closing

import cv2
import numpy as np
import pytest

from encoded_images import ALL, YUV, encoded, shown_by
from mono_depth.errors import ConfigError, FrameError
from mono_depth.messages.camera_info import calibration_from_info
from mono_depth.messages.decode_image import decode_image
from mono_depth.recordings.bag import open_bag
from mono_depth.recordings.bag_reader import BagReader
from mono_depth.recordings.open import open_sequence, recognised
from written_bags import SECOND_NS, Messages

pytest.importorskip("rosbags", reason="bags are written and read with the package rosbags")

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
STAMPS_NS = (SECOND_NS, 2 * SECOND_NS)
# what rosbag2 compresses, for each of its storages
STORED = [
    ("sqlite3", "none"),
    ("sqlite3", "file"),
    ("sqlite3", "message"),
    ("mcap", "none"),
    ("mcap", "file"),
    ("mcap", "message"),
    ("mcap", "storage"),
]


def depth_mm():
    values_mm = np.full((4, 6), 2500, np.uint16)
    values_mm[1, 2] = 0
    return values_mm


def color(make, topic="/cam/image_raw", stamps_ns=STAMPS_NS):
    """Images whose blue grows, one level a second."""
    images = []
    for stamp_ns in stamps_ns:
        bgr = np.full((4, 6, 3), (30 + stamp_ns // SECOND_NS, 20, 10), np.uint8)
        images.append((stamp_ns, make.image(stamp_ns, "bgr8", bgr, padding=2)))
    return topic, IMAGE, images


def depth(make, topic="/cam/depth", stamps_ns=STAMPS_NS):
    return topic, IMAGE, [(t + 7, make.image(t, "16UC1", depth_mm(), 2)) for t in stamps_ns]


def calibration(make, topic="/cam/camera_info", **changes):
    return topic, INFO, [(SECOND_NS, make.info(**changes))]


def drive(make):
    """The chain of frames is told from both ends: base -> mast, and eye is the parent of mast."""
    tf = make.transforms(make.mount("base", "mast", 0.5), make.mount("eye", "mast", 0.2))
    odometry = [(t, make.odometry(t, t / SECOND_NS)) for t in STAMPS_NS]
    return [
        color(make),
        depth(make),
        calibration(make),
        ("/odom", "nav_msgs/msg/Odometry", odometry),
        ("/tf_static", "tf2_msgs/msg/TFMessage", [(0, tf)]),
    ]


def check_drive(sequence):
    assert [frame.stamp_ns for frame in sequence] == list(STAMPS_NS)
    frame = sequence[1]
    np.testing.assert_array_equal(frame.rgb[0, 0], (10, 20, 32))
    assert frame.rgb.flags.writeable
    assert frame.depth_m[0, 0] == np.float32(2.5)
    assert np.isnan(frame.depth_m[1, 2])
    assert frame.intrinsics.cx == 2.5
    assert frame.T_odom_camera[0, 3] == pytest.approx(2.0 + 0.5 - 0.2)


@pytest.fixture
def make():
    return Messages()


@pytest.fixture
def bag(make, tmp_path):
    return make.write(tmp_path / "drive", drive(make))


@pytest.mark.slow
def test_a_bag_gives_color_depth_camera_and_the_pose_of_the_camera(bag):
    check_drive(open_sequence(str(bag)))


@pytest.mark.slow
@pytest.mark.parametrize(("storage", "zstd"), STORED)
def test_a_bag_is_read_whatever_stores_it(make, tmp_path, storage, zstd):
    path = make.write(tmp_path / "drive", drive(make), storage=storage, zstd=zstd)
    check_drive(open_sequence(str(path)))


@pytest.mark.slow
@pytest.mark.parametrize(("storage", "zstd"), STORED)
def test_a_folder_without_metadata_is_read_by_its_file(make, tmp_path, storage, zstd):
    path = make.write(tmp_path / "drive", drive(make), storage=storage, zstd=zstd)
    (path / "metadata.yaml").unlink()
    check_drive(open_sequence(str(path)))


@pytest.mark.slow
@pytest.mark.parametrize("has_metadata", [True, False], ids=["metadata", "file alone"])
@pytest.mark.parametrize(("storage", "zstd"), STORED)
def test_the_file_of_a_bag_may_be_named(make, tmp_path, storage, zstd, has_metadata):
    path = make.write(tmp_path / "drive", drive(make), storage=storage, zstd=zstd)
    if not has_metadata:
        (path / "metadata.yaml").unlink()
    (file,) = (file for file in path.iterdir() if file.name != "metadata.yaml")
    check_drive(open_sequence(str(file)))


@pytest.mark.slow
@pytest.mark.parametrize(("storage", "zstd"), STORED)
def test_several_files_in_a_folder_are_one_bag(make, tmp_path, storage, zstd):
    folder = tmp_path / "drive"
    folder.mkdir()
    for index, stamp_ns in enumerate(STAMPS_NS):
        topics = [color(make, stamps_ns=[stamp_ns]), depth(make, stamps_ns=[stamp_ns])]
        topics += [] if index else [calibration(make)]
        name = "ba"[index]  # the later half is the first by name
        path = make.write(tmp_path / name, topics, storage=storage, zstd=zstd)
        for file in path.iterdir():
            if file.name != "metadata.yaml":
                file.rename(folder / file.name)
    sequence = open_sequence(str(folder))
    assert [frame.stamp_ns for frame in sequence] == list(STAMPS_NS)
    assert [frame.rgb[0, 0, 2] for frame in sequence] == [31, 32]


@pytest.mark.slow
def test_a_file_of_an_older_release_does_not_tell_its_types(make, tmp_path):
    path = make.write(tmp_path / "drive", drive(make), storage="sqlite3")
    with closing(sqlite3.connect(path / "drive.db3")) as database:
        database.executescript(
            "DROP TABLE message_definitions; UPDATE schema SET schema_version = 3;"
        )
    (path / "metadata.yaml").unlink()
    check_drive(open_sequence(str(path)))


@pytest.mark.slow
def test_a_bag_of_ros_1_is_read(tmp_path):
    make = Messages(ros1=True)
    check_drive(open_sequence(str(make.write(tmp_path / "drive", drive(make)))))


@pytest.mark.slow
def test_a_folder_of_bags_of_ros_1_is_read(tmp_path):
    make = Messages(ros1=True)
    make.write(tmp_path / "drive", drive(make))
    check_drive(open_sequence(str(tmp_path)))


@pytest.mark.slow
def test_the_slash_before_the_frames_of_ros_1_does_not_part_them(tmp_path):
    make = Messages(ros1=True)
    *topics, (name, kind, _) = drive(make)
    tf = make.transforms(make.mount("/base", "/eye", 0.3))
    path = make.write(tmp_path / "drive", [*topics, (name, kind, [(0, tf)])])
    check_drive(open_sequence(str(path)))


def test_two_publishers_of_a_topic_are_both_heard(tmp_path):
    make = Messages(ros1=True)
    first, second = STAMPS_NS
    topics = [color(make, stamps_ns=[first]), depth(make), calibration(make)]
    path = make.write(tmp_path / "drive", [*topics, color(make, stamps_ns=[second])])
    assert len(open_sequence(str(path))) == 2


def test_messages_that_were_written_at_the_same_time_are_told_apart(make, tmp_path):
    _, _, images = color(make)
    at_once = [(SECOND_NS, message) for _, message in images]
    topics = [("/cam/image_raw", IMAGE, at_once), depth(make), calibration(make)]
    sequence = open_sequence(str(make.write(tmp_path / "drive", topics)))
    assert [frame.rgb[0, 0, 2] for frame in sequence] == [31, 32]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ALL)
def test_every_encoding_is_read_as_its_messages_are(make, tmp_path, encoding):
    fields = encoded(encoding, shown_by(encoding), padding=6, big="16" in encoding)
    image = make.image_of(SECOND_NS, vars(fields))
    topics = [("/cam/image_raw", IMAGE, [(SECOND_NS, image)]), depth(make), calibration(make)]
    (frame,) = open_sequence(str(make.write(tmp_path / "drive", topics)))
    np.testing.assert_array_equal(frame.rgb, decode_image(fields))
    tolerance = 3 if encoding in YUV else 0
    np.testing.assert_allclose(
        frame.rgb.astype(int), shown_by(encoding).astype(int), atol=tolerance
    )


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_compressed_images_are_read(make, tmp_path, extension):
    _, data = cv2.imencode(extension, np.full((4, 6, 3), (30, 20, 10), np.uint8))
    image = make.compressed(SECOND_NS, "bgr8; jpeg compressed bgr8", data.tobytes())
    topics = [("/cam/image_raw/compressed", COMPRESSED, [(SECOND_NS, image)])]
    topics += [depth(make), calibration(make)]
    (frame,) = open_sequence(str(make.write(tmp_path / "drive", topics)))
    np.testing.assert_allclose(frame.rgb[0, 0].astype(int), (10, 20, 30), atol=3)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_compressed_depth_is_read(make, tmp_path, encoding):
    # In inverse depth, 40 / (17 - 1) = 2.5 m.
    stored = depth_mm() if encoding == "16UC1" else (depth_mm() // 147).astype(np.uint16)
    data = struct.pack("<iff", 0, 40.0, 1.0) + cv2.imencode(".png", stored)[1].tobytes()
    packed = make.compressed(SECOND_NS, f"{encoding}; compressedDepth png", data)
    topics = [
        color(make),
        calibration(make),
        ("/cam/depth/compressedDepth", COMPRESSED, [(SECOND_NS, packed)]),
        # What image_transport offers for every topic is neither colour nor depth.
        ("/cam/image_raw/compressedDepth", COMPRESSED, [(SECOND_NS, packed)]),
    ]
    (frame,) = open_sequence(str(make.write(tmp_path / "drive", topics)))
    assert frame.depth_m[0, 0] == np.float32(2.5)
    assert np.isnan(frame.depth_m[1, 2])


def test_raw_depth_is_taken_before_compressed_depth(make, tmp_path):
    packed = make.compressed(SECOND_NS, "16UC1; compressedDepth png", b"not read")
    topics = [
        ("/cam/depth/compressedDepth", COMPRESSED, [(SECOND_NS, packed)]),
        *(color(make), depth(make), calibration(make)),
    ]
    path = make.write(tmp_path / "drive", topics)
    assert open_sequence(str(path))[0].depth_m[0, 0] == np.float32(2.5)
    named = open_sequence(str(path), depth_topic="/cam/depth/compressedDepth")
    with pytest.raises(FrameError, match="0 bytes begins with nothing, expected JPEG, PNG"):
        named[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "d"),
    [
        ("plumb_bob", [0.2, -0.05, 0.001, -0.002, 0.0]),
        ("rational_polynomial", [0.2, -0.05, 0.0, 0.0, 0.01, 0.1, 0.0, 0.0]),
        ("equidistant", [0.05, -0.02, 0.004, -0.001]),
        ("fisheye", [0.05, -0.02, 0.004, -0.001]),
    ],
)
def test_images_of_every_lens_are_rectified_as_the_node_does(make, tmp_path, model, d):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    depth_m = np.linspace(1, 9, 48 * 64, dtype=np.float32).reshape(48, 64)
    info = make.info(64, 48, distortion_model=model, d=d, k=[40, 0, 31, 0, 40, 24, 0, 0, 1])
    info.p[[0, 5]] = 35.0
    topics = [
        ("/cam/image_raw", IMAGE, [(SECOND_NS, make.image(SECOND_NS, "rgb8", rgb))]),
        ("/cam/depth", IMAGE, [(SECOND_NS, make.image(SECOND_NS, "32FC1", depth_m))]),
        ("/cam/camera_info", INFO, [(SECOND_NS, info)]),
    ]
    (frame,) = open_sequence(str(make.write(tmp_path / "drive", topics)))
    rectifier = calibration_from_info(info, 64, 48, rectify=True).rectifier
    np.testing.assert_array_equal(frame.rgb, rectifier.apply(rgb))
    np.testing.assert_array_equal(frame.depth_m, rectifier.apply_to_depth(depth_m))
    assert frame.intrinsics.fx == 35.0
    assert not np.array_equal(frame.rgb, rgb)


def test_an_image_of_a_rectified_topic_is_left_as_it_is(make, tmp_path):
    topics = [
        color(make, "/cam/image_rect"),
        depth(make),
        calibration(make, d=[0.3, 0.0, 0.0, 0.0, 0.0]),
    ]
    frame = open_sequence(str(make.write(tmp_path / "drive", topics)))[0]
    assert (frame.rgb == (10, 20, 31)).all()


def test_binning_and_region_of_interest_are_those_of_the_camera(make, tmp_path):
    info = make.info(24, 16, binning_x=2, binning_y=2)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 4, 2, 12, 8
    topics = [color(make), depth(make), ("/cam/camera_info", INFO, [(SECOND_NS, info)])]
    intrinsics = open_sequence(str(make.write(tmp_path / "drive", topics)))[0].intrinsics
    assert (intrinsics.width, intrinsics.height, intrinsics.fx) == (6, 4, 2.5)
    assert intrinsics.cx == (11.5 - 4 + 0.5) / 2 - 0.5


def test_a_topic_that_is_not_there_is_said_with_those_that_are(bag):
    with pytest.raises(
        ConfigError, match=r"no topic /other; of images: /cam/depth, /cam/image_raw"
    ):
        open_sequence(str(bag), image_topic="/other")


def test_depth_is_not_taken_for_a_camera_image(bag, make, tmp_path):
    with pytest.raises(ConfigError, match="/cam/depth would be the colour images and their depth"):
        open_sequence(str(bag), image_topic="/cam/depth")
    metres = np.ones((4, 6), np.float32)
    topics = [color(make), depth(make), calibration(make)]
    topics += [("/cam/metres", IMAGE, [(SECOND_NS, make.image(SECOND_NS, "32FC1", metres))])]
    path = make.write(tmp_path / "other", topics)
    with pytest.raises(FrameError, match="encoding '32FC1' is not a camera image, expected one of"):
        open_sequence(str(path), image_topic="/cam/metres")[0]


def test_a_camera_image_is_not_taken_for_depth(bag, make, tmp_path):
    topics = [color(make), color(make, "/cam/other"), calibration(make)]
    path = make.write(tmp_path / "colour", topics)
    with pytest.raises(ConfigError, match="no topic of depth images; of images: /cam/image_raw"):
        open_sequence(str(path))
    with pytest.raises(FrameError, match="depth encoding 'bgr8', expected 16UC1 or 32FC1"):
        open_sequence(str(path), depth_topic="/cam/other")[0]


def test_depth_of_another_size_is_refused(make, tmp_path):
    small = make.image(SECOND_NS, "16UC1", depth_mm()[::2, ::2])
    topics = [color(make), calibration(make), ("/cam/depth", IMAGE, [(SECOND_NS, small)])]
    path = make.write(tmp_path / "drive", topics)
    with pytest.raises(ConfigError, match="/cam/image_raw is 6x4, /cam/depth is 3x2: depth must"):
        open_sequence(str(path))[0]


def test_a_camera_that_is_not_told_or_not_calibrated_is_an_error(make, tmp_path):
    silent = make.write(tmp_path / "silent", [color(make), depth(make)])
    with pytest.raises(ConfigError, match="has no /cam/camera_info, which tells the camera"):
        open_sequence(str(silent))
    topics = [color(make), depth(make), calibration(make, k=[0.0] * 9)]
    uncalibrated = make.write(tmp_path / "uncalibrated", topics)
    with pytest.raises(ConfigError, match="/cam/camera_info is that of an uncalibrated camera"):
        open_sequence(str(uncalibrated))[0]


def test_images_without_depth_at_their_time_are_an_error(make, tmp_path):
    topics = [color(make), calibration(make), depth(make, stamps_ns=[5 * SECOND_NS])]
    path = make.write(tmp_path / "drive", topics)
    with pytest.raises(ConfigError, match="no image of /cam/image_raw has depth of /cam/depth"):
        open_sequence(str(path))


@pytest.mark.parametrize(
    ("storage", "repair"), [("sqlite3", "ros2 bag reindex"), ("mcap", "mcap recover")]
)
def test_a_bag_that_was_never_closed_is_an_error_with_its_name(make, tmp_path, storage, repair):
    path = make.write(tmp_path / "drive", drive(make), storage=storage)
    (path / "metadata.yaml").unlink()
    (file,) = path.iterdir()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(ConfigError, match="drive cannot be read as a bag"):
        open_sequence(str(path), "bag")
    with pytest.raises(ConfigError, match=f"cut off, `{repair}` repairs it"):
        open_sequence(str(file), "bag")


def test_a_message_that_is_cut_off_is_an_error_with_the_bag(make, tmp_path, monkeypatch):
    whole = make.store.serialize_cdr
    monkeypatch.setattr(
        make.store, "serialize_cdr", lambda message, kind: whole(message, kind)[:10]
    )
    reader = BagReader(make.write(tmp_path / "drive", [color(make)]))
    with pytest.raises(ConfigError, match="drive cannot be read as a bag"):
        list(reader.messages(reader.image_topic()))


def test_an_empty_message_is_left_out_and_told(make, tmp_path, monkeypatch, caplog):
    whole, written = make.store.serialize_cdr, []

    def first_is_empty(message, kind):
        written.append(kind)
        return b"" if written.count(kind) == 1 and "Odometry" in kind else whole(message, kind)

    monkeypatch.setattr(make.store, "serialize_cdr", first_is_empty)
    path = make.write(tmp_path / "drive", drive(make))
    sequence = open_sequence(str(path))
    assert [frame.T_odom_camera is None for frame in sequence] == [True, False]
    assert "1 messages of /odom are empty, left out" in caplog.text
    assert "1 of 2 images have a pose" in caplog.text


def test_an_empty_image_is_left_out_and_the_others_are_read(make, tmp_path, monkeypatch, caplog):
    whole, written = make.store.serialize_cdr, []

    def first_is_empty(message, kind):
        written.append(kind)
        return b"" if written == [IMAGE] else whole(message, kind)

    monkeypatch.setattr(make.store, "serialize_cdr", first_is_empty)
    path = make.write(tmp_path / "drive", drive(make))
    (frame,) = open_sequence(str(path))
    assert frame.stamp_ns == STAMPS_NS[1]
    assert "1 messages of /cam/image_raw are empty" in caplog.text


def test_the_topic_of_a_message_that_is_cut_off_is_named(make, tmp_path, monkeypatch):
    whole = make.store.serialize_cdr
    monkeypatch.setattr(
        make.store, "serialize_cdr", lambda message, kind: whole(message, kind)[:10]
    )
    reader = BagReader(make.write(tmp_path / "drive", [color(make)]))
    with pytest.raises(ConfigError, match="cannot be read as a bag, at /cam/image_raw: "):
        list(reader.messages(reader.image_topic()))


@pytest.mark.slow
def test_stamps_of_0_are_those_of_the_recorder(make, tmp_path):
    def unstamped(topic):
        name, kind, messages = topic
        for _, message in messages:
            message.header = make.header(0)
        return name, kind, messages

    topics = [unstamped(color(make)), unstamped(depth(make)), *drive(make)[2:]]
    sequence = open_sequence(str(make.write(tmp_path / "drive", topics)))
    assert [frame.stamp_ns for frame in sequence] == list(STAMPS_NS)
    assert sequence[1].T_odom_camera is not None


def test_images_that_were_written_out_of_order_are_sorted(make, tmp_path):
    name, kind, messages = color(make)
    late = [(3 * SECOND_NS + i, message) for i, (_, message) in enumerate(reversed(messages))]
    bag = make.write(tmp_path / "drive", [(name, kind, late), depth(make), calibration(make)])
    assert [frame.stamp_ns for frame in open_sequence(str(bag))] == list(STAMPS_NS)


def test_a_folder_with_nothing_of_a_bag_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"it has no metadata.yaml and no file of one \(.mcap, "):
        open_bag(tmp_path)


def test_without_rosbags_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    (tmp_path / "metadata.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"pip install 'mono_depth_ros\[bag\]'"):
        open_sequence(str(tmp_path))


def test_without_zstd_the_error_names_the_package(make, tmp_path, monkeypatch):
    path = make.write(tmp_path / "drive", drive(make), zstd="file")
    (path / "metadata.yaml").unlink()
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"compressed with zstd; .*: pip install zstandard"):
        open_sequence(str(path))


def test_unpacked_files_are_gone_when_the_bag_is(make, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = make.write(tmp_path / "drive", drive(make), zstd="file")
    (path / "metadata.yaml").unlink()
    sequence = open_sequence(str(path))
    assert len(list(tmp_path.glob("mono_depth_bag_*"))) == 1
    del sequence
    assert not list(tmp_path.glob("mono_depth_bag_*"))


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["metadata.yaml"], "bag"),
        (["drive_0.mcap", "drive_1.mcap"], "bag"),
        (["drive_0.db3.zstd"], "bag"),
        (["drive.bag"], "bag"),
        (["drive.mcap", "groundtruth.txt"], "tum"),
        (["drive.mcap", "rgb/1.png"], "folder"),
        (["notes.txt"], "folder"),
    ],
)
def test_a_folder_is_recognised_by_what_it_holds(tmp_path, files, kind):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert recognised(str(tmp_path)) == kind


@pytest.mark.slow
def test_of_a_file_that_lies_there_packed_and_unpacked_one_is_read(make, tmp_path):
    path = make.write(tmp_path / "drive", drive(make), zstd="file")
    (path / "metadata.yaml").unlink()
    (packed,) = path.iterdir()
    make.write(tmp_path / "plain", drive(make))
    (tmp_path / "plain" / "plain.mcap").rename(packed.with_suffix(""))
    check_drive(open_sequence(str(path)))

"""Whatever has images becomes frames: with stamps, a camera, and what else is known."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.exif_focal import focal_px_of
from mono_depth.recordings.frames.bag_sensors import BagTopics
from mono_depth.recordings.frames.open import OpenOptions, open_frames
from mono_depth.recordings.frames.source import GivenCamera
from mono_depth.recordings.frames.video import open_camera
from mono_depth.recordings.input_names import INPUTS, read_inputs
from mono_depth.recordings.inputs import inputs_of, with_inputs
from written_bags import SECOND_NS, Messages

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # x y z w of an optical frame in a body that looks along x


def opened(source, **options):
    return open_frames(str(source), OpenOptions(**options))


def loaded(source):
    return [item.load() for item in source.frames()]


def test_images_named_by_times_are_a_video_others_are_photos(tmp_path):
    for folder, names in (("a", ("1.0", "1.5")), ("b", ("img_2", "img_10"))):
        (tmp_path / folder).mkdir()
        for name in names:
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), PICTURE)

    drive, album = opened(tmp_path / "a"), opened(tmp_path / "b")

    assert drive.is_video
    assert [frame.stamp_ns for frame in loaded(drive)] == [10**9, 15 * 10**8]
    assert not album.is_video
    assert [item.name for item in album.frames()] == ["img_2", "img_10"]
    assert opened(tmp_path / "b", kind="video").is_video


def test_two_images_of_one_stem_keep_their_types(tmp_path):
    for kind in ("png", "bmp"):
        cv2.imwrite(str(tmp_path / f"a.{kind}"), PICTURE)

    assert [item.name for item in opened(tmp_path).frames()] == ["a_bmp", "a_png"]


def test_the_camera_is_the_one_that_is_told(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    for told, focal_px in (
        (GivenCamera(matrix=(20.0, 21.0, 15.0, 11.0)), 20.0),
        (GivenCamera(horizontal_fov_deg=90.0), 16.0),
        (GivenCamera(), 16.0 / np.tan(np.radians(30.0))),
    ):
        source = opened(tmp_path / "a.png", camera=told)
        assert loaded(source)[0].intrinsics.fx == pytest.approx(focal_px)
    assert "assumed field of view" in source.camera
    with pytest.raises(ConfigError, match="field of view 200"):
        GivenCamera(horizontal_fov_deg=200.0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photo_of_a_phone_tells_its_focal_length(tmp_path, order):
    file = tmp_path / "a.jpg"
    cv2.imwrite(str(file), PICTURE)
    folder = struct.pack(order + "HHHIHHI", 1, 0xA405, 3, 1, 26, 0, 0)
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    tiff += struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0) + folder
    segment = b"Exif\0\0" + tiff
    data = file.read_bytes()
    exif = b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment
    file.write_bytes(data[:2] + exif + data[2:])

    focal_px = 26.0 / np.hypot(36, 24) * np.hypot(32, 24)
    assert loaded(opened(file))[0].intrinsics.fx == pytest.approx(focal_px)
    told = GivenCamera(horizontal_fov_deg=90.0)
    assert loaded(opened(file, camera=told))[0].intrinsics.fx == pytest.approx(16.0)
    file.write_bytes(data[:2] + exif[:-30] + data[2:])  # damaged
    assert focal_px_of(file.read_bytes(), 32, 24) is None


def test_a_file_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    file = tmp_path / "bomb.png"
    cv2.imwrite(str(file), PICTURE)
    data = bytearray(file.read_bytes())
    data[16:24] = (20000).to_bytes(4, "big") * 2
    file.write_bytes(data)

    with pytest.raises(FrameError, match="20000x20000, expected at most"):
        loaded(opened(file))


def test_a_jpeg_that_is_cut_off_is_no_photo(tmp_path):
    file = tmp_path / "half.jpg"
    cv2.imwrite(str(file), PICTURE)
    file.write_bytes(file.read_bytes()[:-300])

    with pytest.raises(FrameError, match="cut off after"):
        loaded(opened(file))


def test_frames_of_a_video_have_rising_stamps(tmp_path):
    file = written_video(tmp_path, 3)

    source = opened(file)
    stamps_ns = [frame.stamp_ns for frame in loaded(source)]

    assert source.is_video
    assert source.count == 3
    assert stamps_ns == [10**9, 11 * 10**8, 12 * 10**8]


def test_a_camera_is_read_until_it_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("mono_depth.recordings.frames.video._CAMERA_WAIT_S", 0.05)
    source = open_camera(str(written_video(tmp_path, 3)), GivenCamera())

    assert source.is_live
    stamps_ns = [frame.stamp_ns for frame in loaded(source)]
    assert len(stamps_ns) == 3
    assert (np.diff(stamps_ns) > 0).all()
    with pytest.raises(ConfigError, match="camera 77 cannot be opened"):
        opened("77")


def written_video(folder, count):
    file = folder / "drive.avi"
    video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 24))
    for _ in range(count):
        video.write(PICTURE)
    video.release()
    return file


def test_poses_of_a_file_belong_to_the_frames_of_a_video(tmp_path):
    poses = tmp_path / "poses.txt"
    poses.write_text("0 0 0 0 0 0 0 1\n0.2 0.2 0 0 0 0 0 1\n")

    frames = loaded(opened(written_video(tmp_path, 3), poses=str(poses)))

    assert [frame.T_odom_camera[0, 3] for frame in frames] == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.slow
def test_a_rendered_drive_tells_all_but_its_depth():
    source = opened("synthetic:room/robot/1/32x24")
    frame = next(iter(source.frames())).load()

    assert inputs_of(frame) == ("odom", "sparse_points", "gravity", "height")
    assert frame.stamp_ns > 0
    assert frame.gravity_camera @ frame.gravity_camera == pytest.approx(1.0)
    assert frame.camera_height_m == pytest.approx(frame.T_odom_camera[2, 3])


def test_what_is_not_asked_for_is_withheld():
    source = opened("synthetic:room/robot/1/32x24")
    frame = next(iter(source.frames())).load()

    assert inputs_of(with_inputs(frame, ("height", "odom"))) == ("odom", "height")
    assert inputs_of(with_inputs(frame, ())) == ()
    assert read_inputs("all") == INPUTS
    assert read_inputs("none") == ()
    with pytest.raises(ConfigError, match="inputs smell: expected some of odom"):
        read_inputs("odom,smell")


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A drive of three images: odometry, an IMU that is rolled, points and depth on the images."""
    pytest.importorskip("rosbags", reason="the package rosbags writes the bag")
    make = Messages()
    stamps_ns = [SECOND_NS * n // 10 + SECOND_NS for n in range(3)]
    turned = make.mount("base_footprint", "eye", 0.0)
    turned.transform.translation.z = 1.2
    for axis, value in zip("xyzw", OPTICAL, strict=True):
        setattr(turned.transform.rotation, axis, value)
    frames = [
        turned,
        make.mount("base", "base_footprint", 0.0),
        make.mount("base", "imu", 0.0),
        make.mount("base", "lidar", 0.5),
    ]
    depth_m = np.full((24, 32), 2.0, np.float32)
    samples_ns = range(stamps_ns[0], stamps_ns[-1], 10_000_000)
    by_topic = {
        "/eye/image_rect": ("sensor_msgs/msg/Image", lambda t: make.image(t, "rgb8", PICTURE)),
        "/eye/camera_info": ("sensor_msgs/msg/CameraInfo", lambda t: make.info(32, 24)),
        "/odom": ("nav_msgs/msg/Odometry", lambda t: make.odometry(t, (t - SECOND_NS) * 1e-9)),
        "/tf_static": ("tf2_msgs/msg/TFMessage", lambda t: make.transforms(*frames)),
        "/imu": ("sensor_msgs/msg/Imu", lambda t: imu(make, t)),
        "/scan_points": ("sensor_msgs/msg/PointCloud2", lambda t: cloud(make, t)),
        "/depth/image": ("sensor_msgs/msg/Image", lambda t: make.image(t, "32FC1", depth_m)),
    }
    once = {"/eye/camera_info", "/tf_static", "/scan_points"}
    topics = []
    for name, (kind, message) in by_topic.items():
        times_ns = samples_ns if name == "/imu" else stamps_ns[:1] if name in once else stamps_ns
        topics.append((name, kind, [(at_ns, message(at_ns)) for at_ns in times_ns]))
    return make.write(tmp_path_factory.mktemp("bags") / "drive", topics)


def imu(make, stamp_ns):
    """Make a sample of an IMU at rest whose driver gives no orientation."""
    force = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=9.81)
    unknown = np.zeros(9)
    none = unknown.copy()
    none[0] = -1.0
    return make(
        "sensor_msgs/msg/Imu",
        header=make.header(stamp_ns, "imu"),
        orientation=make.upright(),
        orientation_covariance=none,
        angular_velocity=make.xyz("Vector3", 0.0),
        angular_velocity_covariance=unknown,
        linear_acceleration=force,
        linear_acceleration_covariance=unknown,
    )


def cloud(make, stamp_ns):
    """Make one point, 3 m ahead of the LiDAR."""
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate("xyz")
    ]
    return make(
        "sensor_msgs/msg/PointCloud2",
        header=make.header(stamp_ns, "lidar"),
        height=1,
        width=1,
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12,
        data=np.array([3.0, 0.0, 0.0], "<f4").view(np.uint8),
        is_dense=True,
    )


@pytest.mark.slow
def test_a_bag_tells_pose_gravity_and_height(bag):
    source = opened(bag)
    first, second, _ = loaded(source)

    assert source.camera == "camera_info of the bag"
    assert first.intrinsics.fx == 5.0
    np.testing.assert_allclose(first.gravity_camera, (0.0, 1.0, 0.0), atol=1e-9)
    assert first.camera_height_m == pytest.approx(1.2)
    assert second.T_odom_camera[0, 3] == pytest.approx(0.1)
    # Points and depth in a bag may be anything: they are used when they are named.
    assert first.sparse_points_m is None
    assert first.sensor_depth_m is None


@pytest.mark.slow
def test_points_and_depth_of_a_bag_are_used_when_named(bag):
    topics = BagTopics(points="/scan_points", sensor_depth="/depth/image")
    first, second, third = loaded(opened(bag, topics=topics))

    np.testing.assert_allclose(first.sparse_points_m, [[0.0, 1.2, 3.5]], atol=1e-6)
    # The robot drives on; the points stay where they are.
    np.testing.assert_allclose(second.sparse_points_m, [[0.0, 1.2, 3.4]], atol=1e-6)
    assert third.sensor_depth_m.shape == (24, 32)
    with pytest.raises(ConfigError, match="has no topic /nothing of sensor_msgs/msg/PointCloud2"):
        loaded(opened(bag, topics=BagTopics(points="/nothing")))


@pytest.mark.slow
def test_what_comes_through_a_body_frame_is_not_used(tmp_path):
    pytest.importorskip("rosbags", reason="the package rosbags writes the bag")
    make = Messages()
    at_ns = SECOND_NS
    topics = [
        ("/eye/image_rect", "sensor_msgs/msg/Image", [(at_ns, make.image(at_ns, "rgb8", PICTURE))]),
        ("/odom", "nav_msgs/msg/Odometry", [(at_ns, make.odometry(at_ns, 0.0))]),
        (
            "/tf_static",
            "tf2_msgs/msg/TFMessage",
            [(at_ns, make.transforms(make.mount("base", "eye", 0.0)))],
        ),
    ]
    source = opened(make.write(tmp_path / "drive", topics))

    (frame,) = loaded(source)

    assert inputs_of(frame) == ()
    assert any("looks at the zenith" in note for note in source.notes)
    assert "no camera_info beside /eye/image_rect" in source.notes[0]


def test_a_source_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="does not exist; expected an image, a folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="kind 'film' is not one of"):
        opened(tmp_path, kind="film")

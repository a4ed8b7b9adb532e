"""The camera node and its sources: folders, videos and bags that are written here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSReliabilityPolicy, qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mono_depth.errors import ConfigError
from mono_depth.messages.decode_image import decode_compressed, decode_image
from mono_depth_ros.cameras.calibration_file import camera_info_of_view, load_camera_info
from mono_depth_ros.cameras.camera_node import CameraNode
from mono_depth_ros.cameras.source_types import SourceError
from mono_depth_ros.cameras.sources import open_source

pytestmark = pytest.mark.ros

CALIBRATION = """
image_width: 64
image_height: 48
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [50.0, 0, 31.5, 0, 51.0, 23.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0.0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [48.0, 0, 31.5, 0, 0, 49.0, 23.5, 0, 0, 0, 1, 0]}
"""


def red_level(level: int) -> np.ndarray:
    bgr = np.zeros((48, 64, 3), np.uint8)
    bgr[..., 2] = level  # OpenCV stores blue first
    return bgr


@pytest.fixture
def folder(tmp_path):
    """Ten images, redder from one to the next; img_10 sorts after img_9."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(1, 11):
        cv2.imwrite(str(images / f"img_{i}.png"), red_level(20 * i))
    return images


def camera(ros, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return ros.add(CameraNode(context=ros.context, parameter_overrides=overrides))


class Listener:
    def __init__(self, ros):
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        node = ros.node("listener")
        qos = qos_profile_sensor_data
        node.create_subscription(Image, "image", self.images.append, qos)
        node.create_subscription(CameraInfo, "camera_info", self.infos.append, qos)

    def levels(self):
        return [int(decode_image(message)[20, 20, 0]) for message in self.images]


def stamp_ns(message) -> int:
    return Time.from_msg(message.header.stamp).nanoseconds


def test_a_folder_is_played_in_order_of_its_numbers_and_ends(ros, folder):
    listener = Listener(ros)
    node = camera(ros, source=str(folder), loop=False, rate_hz=50.0, min_subscribers=1)
    ros.wait_until(node.finished.is_set)
    ros.wait_until(lambda: len(listener.images) == 10)
    assert node.problem == ""
    assert listener.levels() == [20 * i for i in range(1, 11)]
    node.close()


def test_a_loop_starts_again_after_the_end(ros, folder):
    listener = Listener(ros)
    node = camera(ros, source=str(folder), rate_hz=60.0, min_subscribers=1)
    ros.wait_until(lambda: len(listener.images) >= 25)
    levels = listener.levels()
    assert levels[:21] == [20 * (i % 10 + 1) for i in range(21)]
    node.close()


def test_image_and_camera_info_carry_the_same_stamp_and_optical_frame(ros, folder):
    listener = Listener(ros)
    node = camera(ros, source=str(folder), rate_hz=30.0, min_subscribers=1)
    ros.wait_until(lambda: len(listener.images) >= 5 and len(listener.infos) >= 5)
    assert [stamp_ns(m) for m in listener.images[:5]] == [stamp_ns(m) for m in listener.infos[:5]]
    assert {m.header.frame_id for m in listener.images} == {"camera_optical_frame"}
    assert {m.header.frame_id for m in listener.infos} == {"camera_optical_frame"}
    now_ns = node.get_clock().now().nanoseconds
    assert 0 <= now_ns - stamp_ns(listener.images[-1]) < 5e9
    node.close()


def test_the_rate_is_held_without_drift(ros, folder):
    listener = Listener(ros)
    node = camera(ros, source=str(folder), rate_hz=25.0, min_subscribers=1)
    ros.wait_until(lambda: len(listener.images) >= 51)
    stamps_s = np.array([stamp_ns(message) for message in listener.images[:51]]) * 1e-9
    assert stamps_s[50] - stamps_s[0] == pytest.approx(2.0, abs=0.2)
    assert np.median(np.diff(stamps_s)) == pytest.approx(0.040, abs=0.008)
    node.close()


def test_recorded_stamps_are_those_of_the_file_names(ros, tmp_path):
    (tmp_path / "rgb").mkdir()
    for name in ("100.000000", "100.250000", "100.500000"):
        cv2.imwrite(str(tmp_path / "rgb" / f"{name}.png"), red_level(100))
    listener = Listener(ros)
    node = camera(ros, source=str(tmp_path), stamps="recording", loop=False, min_subscribers=1)
    ros.wait_until(lambda: len(listener.images) == 3)
    assert [stamp_ns(m) for m in listener.images] == [
        100_000_000_000,
        100_250_000_000,
        100_500_000_000,
    ]
    node.close()


def test_a_video_keeps_its_rate_and_its_images(ros, tmp_path):
    path = tmp_path / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (64, 48))
    for level in (40, 120, 200):
        writer.write(red_level(level))
    writer.release()
    listener = Listener(ros)
    node = camera(ros, source=str(path), loop=False, min_subscribers=1)
    ros.wait_until(lambda: len(listener.images) == 3)
    assert listener.levels() == pytest.approx([40, 120, 200], abs=8)
    gaps_s = np.diff([stamp_ns(message) for message in listener.images]) * 1e-9
    assert gaps_s.mean() == pytest.approx(0.05, abs=0.02)
    node.close()


def test_a_calibration_file_becomes_the_camera_info(ros, folder, tmp_path):
    file = tmp_path / "front.yaml"
    file.write_text(CALIBRATION)
    listener = Listener(ros)
    node = camera(ros, source=str(folder), camera_info_file=str(file), horizontal_fov_deg=90.0)
    ros.wait_until(lambda: listener.infos)
    info = listener.infos[0]
    assert (info.width, info.height) == (64, 48)
    assert info.distortion_model == "plumb_bob"
    assert list(info.d) == [0.1, -0.2, 0.001, 0.002, 0.0]
    assert (info.k[0], info.k[4], info.k[2], info.k[5]) == (50.0, 51.0, 31.5, 23.5)
    assert (info.p[0], info.p[5]) == (48.0, 49.0)
    node.close()


def test_without_calibration_the_camera_says_so_with_k_of_zeros(ros, folder):
    listener = Listener(ros)
    node = camera(ros, source=str(folder))
    ros.wait_until(lambda: listener.infos)
    assert not any(listener.infos[0].k)
    assert (listener.infos[0].width, listener.infos[0].height) == (64, 48)
    node.close()


def test_an_angle_of_view_of_90_degrees_has_half_the_width_as_focal_length():
    info = camera_info_of_view(64, 48, 90.0)
    assert (info.k[0], info.k[4]) == pytest.approx((32.0, 32.0))
    assert (info.k[2], info.k[5]) == (31.5, 23.5)
    assert (info.p[0], info.p[2]) == pytest.approx((32.0, 31.5))


def test_jpeg_is_published_beside_the_image_for_whom_wants_it(ros, folder):
    received: list[CompressedImage] = []
    ros.node("viewer").create_subscription(
        CompressedImage, "image/compressed", received.append, qos_profile_sensor_data
    )
    node = camera(ros, source=str(folder), compressed=True, rate_hz=30.0)
    ros.wait_until(lambda: received)
    assert received[0].format == "rgb8; jpeg compressed bgr8"
    red = decode_compressed(received[0])[20, 20]
    assert red[0] > 15
    assert red[1] < 10
    node.close()


def test_frame_id_and_reliability_are_what_the_user_sets(ros, folder):
    listener = Listener(ros)
    node = camera(
        ros,
        source=str(folder),
        frame_id="left_eye",
        **{"qos_overrides./image.publisher.reliability": "best_effort"},
    )
    ros.wait_until(lambda: listener.images)
    assert listener.images[0].header.frame_id == "left_eye"
    (endpoint,) = node.get_publishers_info_by_topic("image")
    assert endpoint.qos_profile.reliability == QoSReliabilityPolicy.BEST_EFFORT
    (endpoint,) = node.get_publishers_info_by_topic("camera_info")
    assert endpoint.qos_profile.reliability == QoSReliabilityPolicy.RELIABLE
    node.close()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rate_hz", -1.0, "rate_hz out of range"),
        ("horizontal_fov_deg", 190.0, "horizontal_fov_deg out of range"),
        ("jpeg_quality", 0, "jpeg_quality out of range"),
        ("stamps", "later", "stamps = 'later' is not one of now, recording"),
        ("frame_id", "", "frame_id is empty"),
    ],
)
def test_a_wrong_parameter_is_refused_with_the_reason(ros, folder, name, value, reason):
    with pytest.raises(ConfigError, match=reason):
        camera(ros, source=str(folder), **{name: value})


def test_parameters_are_described_and_fixed(ros, folder):
    node = camera(ros, source=str(folder))
    descriptor = node.describe_parameter("rate_hz")
    assert descriptor.description.startswith("Images per second")
    assert descriptor.floating_point_range[0].to_value == 240.0
    result = node.set_parameters([Parameter("rate_hz", value=5.0)])[0]
    assert not result.successful
    node.close()


def test_an_image_that_breaks_later_ends_the_node_with_the_reason(ros, folder):
    (folder / "img_3.png").write_bytes(b"not an image")
    node = camera(ros, source=str(folder), rate_hz=100.0)
    ros.wait_until(node.finished.is_set)
    assert "img_3.png is damaged or not an image" in node.problem
    node.close()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/nowhere/video.mp4", r"'/nowhere/video.mp4' does not exist, expected a webcam"),
        ("/dev/video97", r"webcam /dev/video97 cannot be opened"),
    ],
)
def test_a_missing_source_is_named(source, reason):
    with pytest.raises(SourceError, match=reason):
        open_source(source)


def test_a_folder_without_images_and_a_file_that_is_no_video_are_named(tmp_path):
    with pytest.raises(SourceError, match=r"has no images .*, nor have its subfolders rgb"):
        open_source(str(tmp_path))
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(SourceError, match=r"notes.txt is not a video that OpenCV can read"):
        open_source(str(text))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty or a list, expected camera_matrix"),
        ("image_width: 64", r"KeyError 'image_height'; expected image_width"),
        (CALIBRATION.replace("23.5, 0, 0, 1]}\ndist", "23.5]}\ndist"), "a matrix of 6 numbers"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_broken_calibration_file_is_refused_with_the_reason(tmp_path, content, reason):
    file = tmp_path / "front.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=reason):
        load_camera_info(file)


@pytest.fixture
def write_bag(tmp_path):
    """Return a function that writes three images, redder from one to the next, 50 ms apart."""
    pytest.importorskip("rosbags", reason="the package rosbags writes the bag")
    from written_bags import Messages

    def write(*, ros1: bool = False, name: str = "bag", **how: str) -> Path:
        make = Messages(ros1=ros1)
        images, infos = [], []
        for i in range(3):
            at_ns = 7_000_000_000 + i * 50_000_000
            rgb = np.ascontiguousarray(red_level(60 * (i + 1))[..., ::-1])
            images.append((at_ns, make.image(at_ns, "rgb8", rgb)))
            infos.append((at_ns, make.info(64, 48, k=[55.0, 0, 31.5, 0, 55.0, 23.5, 0, 0, 1])))
        topics = [
            ("/eye/image_raw", "sensor_msgs/msg/Image", images),
            ("/eye/camera_info", "sensor_msgs/msg/CameraInfo", infos),
        ]
        return make.write(tmp_path / name, topics, **how)

    return write


def check_source(source) -> None:
    images = list(source.frames())
    assert [int(rgb[20, 20, 0]) for rgb, _ in images] == [60, 120, 180]
    assert [time_ns for _, time_ns in images] == [7_000_000_000, 7_050_000_000, 7_100_000_000]
    assert source.info.k[0] == 55.0
    assert source.rate_hz == pytest.approx(20.0)


def test_a_bag_is_played_with_its_own_calibration(ros, write_bag):
    listener = Listener(ros)
    node = camera(ros, source=str(write_bag()), stamps="recording", loop=False, min_subscribers=1)
    ros.wait_until(lambda: len(listener.images) == 3)
    assert listener.levels() == [60, 120, 180]
    assert [stamp_ns(m) for m in listener.images] == [7_000_000_000, 7_050_000_000, 7_100_000_000]
    assert listener.infos[0].k[0] == 55.0
    node.close()


@pytest.mark.parametrize("has_metadata", [True, False], ids=["metadata", "files alone"])
@pytest.mark.parametrize("zstd", ["none", "file", "message"])
@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_bag_is_played_whatever_stores_it(write_bag, storage, zstd, has_metadata):
    path = write_bag(storage=storage, zstd=zstd)
    if not has_metadata:
        (path / "metadata.yaml").unlink()
    check_source(open_source(str(path)))


def test_a_bag_of_ros_1_is_played(write_bag):
    check_source(open_source(str(write_bag(ros1=True))))


def test_images_beside_the_file_of_a_bag_are_played_instead(write_bag, folder):
    write_bag(name="drive")
    (folder.parent / "drive" / "drive.mcap").rename(folder / "drive.mcap")
    assert len(list(open_source(str(folder)).frames())) == 10


def test_a_topic_that_is_not_there_and_a_damaged_bag_are_named(write_bag):
    path = write_bag()
    with pytest.raises(SourceError, match="no topic /left; of images: /eye/image_raw"):
        open_source(str(path), bag_topic="/left")
    (path / "bag.mcap").write_bytes(b"damaged")
    with pytest.raises(SourceError, match="cannot be read as a bag: "):
        open_source(str(path))


def test_the_executable_says_what_is_wrong_in_one_sentence_and_fails(ros):
    process = ros.run(
        "-m", "mono_depth_ros.cameras.camera_node", "--ros-args", "-p", "source:=/nowhere"
    )
    assert process.wait(30.0) == 1
    assert ros.output(process).strip().startswith("source '/nowhere' does not exist")


def test_the_executable_ends_cleanly_on_interrupt(ros, folder):
    listener = Listener(ros)
    process = ros.run(
        "-m", "mono_depth_ros.cameras.camera_node", "--ros-args", "-p", f"source:={folder}",
        "-p", "rate_hz:=30.0",
    )  # fmt: skip
    ros.wait_until(lambda: listener.images, 30.0)
    process.send_signal(2)
    assert process.wait(10.0) == 0
    assert "Traceback" not in ros.output(process)

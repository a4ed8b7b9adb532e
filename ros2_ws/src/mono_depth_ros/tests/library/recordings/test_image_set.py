"""Images to calibrate with, of every kind of source."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mono_depth.errors import ConfigError
from mono_depth.messages.camera_info import calibration_from_info
from mono_depth.recordings.image_set import read_image_set


def test_images_of_a_folder_are_read_in_order_and_unreadable_ones_counted(tmp_path):
    for name, value in (("a.png", 10), ("b.png", 20), ("d.jpg", 30)):
        cv2.imwrite(str(tmp_path / name), np.full((6, 8, 3), (value, 0, 200), np.uint8))
    (tmp_path / "c.png").write_text("no image")
    (tmp_path / "notes.txt").write_text("of no interest")

    found = read_image_set(str(tmp_path), most=10)

    assert [int(image[0, 0, 2]) for image in found.images[:2]] == [10, 20]
    assert found.images[0][0, 0, 0] == 200  # RGB
    assert (len(found.images), found.unreadable, found.size) == (3, 1, (8, 6))


def test_images_are_spread_over_a_video_and_brought_to_one_size(tmp_path):
    video = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for value in range(0, 200, 20):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()

    found = read_image_set(str(video), most=4, size=(32, 24))

    assert [round(float(image.mean()), -1) for image in found.images] == [0, 60, 120, 180]
    assert found.size == (32, 24)


@pytest.mark.slow
def test_the_synthetic_camera_brings_its_calibration():
    found = read_image_set("synthetic:room/robot/1/64x48", most=2, size=(32, 24))

    assert (found.camera.width, found.camera.height, len(found.images)) == (32, 24, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no image in .*, expected one of .png, "),
        (lambda path: (path / "a.png").write_text(""), "has 0 images, and 1 that cannot be read"),
        (lambda path: cv2.imwrite(str(path / "a.png"), np.zeros((4, 4))), "has 1 images; expe"),
    ],
    ids=["empty", "unreadable", "one"],
)
def test_a_folder_without_enough_images_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_image_set(str(tmp_path), most=10)


def test_a_source_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="nowhere does not exist; expected a folder of images"):
        read_image_set("nowhere", most=10)


def test_the_last_fifth_of_the_images_is_held_out(tmp_path):
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((6, 8), index, np.uint8))

    seen, unseen = read_image_set(str(tmp_path), most=10).split()

    assert (len(seen), len(unseen)) == (8, 2)
    assert int(unseen[-1].max()) == 11


@pytest.fixture
def bag(tmp_path):
    """Ten images of a lens that bends, one of them damaged, and a folder to write it to."""
    pytest.importorskip("rosbags", reason="bags are written and read with the package rosbags")
    from written_bags import SECOND_NS, Messages

    make = Messages()
    info = make.info(64, 48, d=[0.2, 0.0, 0.0, 0.0, 0.0], k=[40, 0, 31, 0, 40, 24, 0, 0, 1])
    info.p[[0, 5]] = 40.0
    images = []
    for index in range(10):
        image = make.image(index, "mono8", np.full((48, 64), 20 * index, np.uint8))
        image.step -= index == 9
        images.append((index * SECOND_NS, image))

    def write(topic="/cam/image_raw", with_info=True):
        topics = [
            ("/cam/depth", "sensor_msgs/msg/Image", images[:1]),
            (topic, "sensor_msgs/msg/Image", images),
        ]
        if with_info:
            topics += [("/cam/camera_info", "sensor_msgs/msg/CameraInfo", [(0, info)])]
        return make.write(tmp_path / "drive", topics), info

    return write


def test_images_are_spread_over_a_bag_and_rectified(bag):
    path, info = bag()

    found = read_image_set(str(path), most=4)

    rectifier = calibration_from_info(info, 64, 48, rectify=True).rectifier
    expected = [rectifier.apply(np.full((48, 64, 3), value, np.uint8)) for value in (0, 60, 120)]
    np.testing.assert_array_equal(found.images, expected)
    assert (found.unreadable, found.camera.fx) == (1, 40.0)


def test_a_bag_without_calibration_gives_its_images_as_they_are(bag):
    path, _ = bag(with_info=False)
    (path / "metadata.yaml").unlink()

    found = read_image_set(str(path), most=4, size=(32, 24))

    assert [int(image.max()) for image in found.images] == [0, 60, 120]
    assert found.camera is None
    assert found.size == (32, 24)


def test_a_bag_with_depth_alone_is_refused(bag):
    path, _ = bag(topic="/cam/depth_raw")
    with pytest.raises(ConfigError, match="no topic of colour images; of images: /cam/depth"):
        read_image_set(str(path), most=4)

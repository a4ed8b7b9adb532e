"""Image files, folders and videos, written here."""

from __future__ import annotations

import resource
import struct

import cv2
import numpy as np
import pytest

from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.images import (
    IMAGE_TYPES,
    Video,
    images_in,
    load_images,
    read_depth,
    read_image,
    times_of_names,
)

WIDE_BGR = np.zeros((2, 4, 3), np.uint8)
WIDE_BGR[..., 0] = 200


def write(path, bgr=WIDE_BGR):
    assert cv2.imwrite(str(path), bgr)
    return path


def turned_jpeg(path):
    """Write a wide JPEG whose EXIF data says that the camera was held upright."""
    tiff = b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\x00\x00" + tiff
    jpeg = cv2.imencode(".jpg", WIDE_BGR)[1].tobytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    return path


@pytest.mark.parametrize("read", [read_image, lambda path: read_depth(path, 1000.0)])
def test_a_png_that_is_cut_off_or_claims_more_than_there_is_takes_no_memory(tmp_path, read):
    png = cv2.imencode(".png", np.full((6, 8), 900, np.uint16))[1].tobytes()
    claim = png.index(b"IDAT") - 4
    path = tmp_path / "a.png"
    for damaged in (png[:-14], png[:claim] + struct.pack(">I", 1 << 31) + png[claim + 4 :]):
        path.write_bytes(damaged)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(FrameError, match="is a PNG that is cut off or damaged"):
            read(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize("extension", IMAGE_TYPES)
def test_every_type_of_image_is_read_as_rgb(tmp_path, extension):
    grey = np.full((2, 4), 90, np.uint8)
    rgb = read_image(write(tmp_path / f"a{extension}", grey if extension == ".pgm" else WIDE_BGR))
    expected = (90, 90, 90) if extension == ".pgm" else (0, 0, 200)
    assert (rgb.shape, rgb.dtype) == ((2, 4, 3), np.uint8)
    np.testing.assert_allclose(rgb[0, 0].astype(int), expected, atol=3)


def test_16_bit_images_keep_their_high_bytes(tmp_path):
    rgb = read_image(write(tmp_path / "a.png", np.array([[0, 255, 256, 65535]], np.uint16)))
    assert rgb[0, :, 0].tolist() == [0, 0, 1, 255]


def test_an_image_is_turned_for_people_and_not_for_a_calibration(tmp_path):
    file = turned_jpeg(tmp_path / "a.jpg")
    assert read_image(file).shape == (4, 2, 3)
    assert read_image(file, upright=False).shape == (2, 4, 3)


def test_a_file_that_is_no_image_is_told(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    for name in ("a.png", "missing.png"):
        with pytest.raises(FrameError, match=f"{name} is damaged or not an image"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    "names",
    [
        ["img_2.png", "img_10.png"],
        ["7.25.png", "7.5.png", "10.0.png"],
        ["1305031246.429654.png", "1305031246.461625.png"],
        ["2.png", "10.png", "a.png"],
        ["a.JPG", "b.Png"],
    ],
)
def test_files_are_in_the_order_of_the_numbers_in_their_names(tmp_path, names):
    for name in [*reversed(names), "notes.txt"]:
        (tmp_path / name).touch()
    assert [file.name for file in images_in(tmp_path)] == names


def test_images_of_a_folder_are_read_in_order_as_rgb(tmp_path):
    for name, bgr in (("b.png", (0, 0, 255)), ("a.png", (255, 0, 0))):
        write(tmp_path / name, np.full((2, 3, 3), bgr, np.uint8))
    first, second = load_images(tmp_path)
    assert first[0, 0].tolist() == [0, 0, 255]
    assert second[0, 0].tolist() == [255, 0, 0]
    assert len(load_images(tmp_path, most=1)) == 1


def test_a_folder_without_images_or_of_mixed_sizes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no image in"):
        load_images(tmp_path)
    for width in (3, 4):
        write(tmp_path / f"{width}.png", np.zeros((2, width, 3), np.uint8))
    with pytest.raises(ConfigError, match="different sizes"):
        load_images(tmp_path)


@pytest.fixture
def video(tmp_path):
    """Ten images, brighter from one to the next, at 20 Hz."""
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for value in range(0, 200, 20):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    return Video(path)


def levels(images):
    return [round(float(rgb.mean()), -1) for rgb, _ in images]


def test_a_video_gives_its_images_with_their_times_again_and_again(video):
    assert (video.rate_hz, video.count) == (20.0, 10)
    for _ in range(2):
        images = list(video.images())
        assert levels(images) == list(range(0, 200, 20))
        times_ns = [time_ns for _, time_ns in images]
        assert times_ns[0] == 0
        np.testing.assert_allclose(np.diff(times_ns), 50e6, atol=1e6)


def test_some_images_of_a_video_are_those_at_their_places(video):
    assert levels(video.images(only={8, 2})) == [40, 160]
    assert not list(video.images(only=()))


def test_a_file_that_is_no_video_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ConfigError, match=r"notes.txt is not a video that OpenCV can read"):
        Video(tmp_path / "notes.txt")


def test_times_are_read_from_tum_and_euroc_names_only():
    assert times_of_names(["10.5", "10.75"]) == [10_500_000_000, 10_750_000_000]
    assert times_of_names(["1403636579763555584", "1403636579813555456"]) is not None
    assert times_of_names(["0001", "0002"]) is None
    assert times_of_names(["10.75", "10.5"]) is None


@pytest.mark.parametrize("units_per_m", [1000.0, 5000.0])
def test_65535_in_a_depth_image_is_no_depth_in_any_unit(tmp_path, units_per_m):
    file = write(tmp_path / "depth.png", np.array([[0, 1000, 65535]], np.uint16))
    np.testing.assert_allclose(
        read_depth(file, units_per_m), [[np.nan, 1000 / units_per_m, np.nan]], rtol=1e-6
    )

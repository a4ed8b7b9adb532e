"""Compressed images of every format; and what is cut off, forged or damaged."""

from __future__ import annotations

import struct
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from encoded_images import BLOCKS, ORANGE, as_rosbags_has_it, mosaic_of
from mono_depth.errors import FrameError
from mono_depth.messages.decode import decode_rgb
from mono_depth.messages.decode_image import decode_compressed
from mono_depth.messages.image_watch import ImageWatch


def compressed(data: bytes, form: str = "jpeg") -> SimpleNamespace:
    return SimpleNamespace(format=form, data=array("B", data))


def file_of(extension: str, pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(extension, pixels, options)[1].tobytes()


BGR = BLOCKS[..., ::-1].copy()
LARGE = np.kron(BLOCKS, np.ones((16, 16, 1), np.uint8))  # (64, 96, 3), survives JPEG
LARGE_BGR = LARGE[..., ::-1].copy()
FILES = {
    "JPEG": file_of(".jpg", LARGE_BGR),
    "PNG": file_of(".png", LARGE_BGR),
    "WebP": file_of(".webp", LARGE_BGR, cv2.IMWRITE_WEBP_QUALITY, 90),
    "lossless WebP": file_of(".webp", LARGE_BGR, cv2.IMWRITE_WEBP_QUALITY, 101),
    "TIFF": file_of(".tiff", LARGE_BGR),
    "progressive JPEG": file_of(".jpg", LARGE_BGR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
}


@pytest.mark.parametrize("kind", FILES)
def test_compressed_color_is_rgb(kind: str) -> None:
    rgb = decode_compressed(compressed(FILES[kind]))
    assert rgb.shape == LARGE.shape
    assert rgb.flags.c_contiguous
    inner = np.s_[8::32, 8::32]  # away from the borders of the blocks, where JPEG rings
    np.testing.assert_allclose(rgb[inner].astype(int), LARGE[inner].astype(int), atol=12)


@pytest.mark.parametrize("form", ["rgb8; jpeg compressed bgr8", "jpeg", "", "bgr8; png compressed"])
def test_the_file_decides_and_not_the_format_string(form: str) -> None:
    np.testing.assert_array_equal(decode_compressed(compressed(file_of(".png", BGR), form)), BLOCKS)


def test_grey_jpeg_has_three_channels() -> None:
    rgb = decode_compressed(compressed(file_of(".jpg", np.full((16, 16), 90, np.uint8))))
    assert rgb.shape == (16, 16, 3)
    assert set(rgb.ravel().tolist()) == {90}


def test_16_bit_png_keeps_its_high_bytes() -> None:
    pixels = np.array([[0, 255, 256, 65535]], np.uint16)
    rgb = decode_compressed(compressed(file_of(".png", pixels), "mono16; png compressed "))
    assert rgb[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("form", "is_mosaic"),
    [("bayer_rggb8; png compressed ", True), ("bayer_rggb8; png compressed bgr8", False)],
)
def test_a_compressed_mosaic_becomes_color(form: str, is_mosaic: bool) -> None:
    pixels = mosaic_of(ORANGE, "rggb") if is_mosaic else ORANGE[..., ::-1].copy()
    np.testing.assert_array_equal(
        decode_compressed(compressed(file_of(".png", pixels), form)), ORANGE
    )


def test_a_rotation_in_exif_data_is_ignored() -> None:
    tiff = b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\x00\x00" + tiff
    jpeg = FILES["JPEG"]
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (96, 64, 3)
    assert decode_compressed(compressed(jpeg)).shape == (64, 96, 3)


BOMBS = {
    "JPEG": bytes.fromhex("ffd8 ffc0 0011 08 ffff ffff 03 012200 021101 031101 ffda 0000 ffd9"),
    "PNG": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 65535, 65535) + b"IEND",
    "WebP": b"RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\xfe\xff\x00" * 2,
    "TIFF": b"II*\x00\x08\x00\x00\x00"
    + struct.pack("<H", 2)
    + struct.pack("<HHII", 256, 4, 1, 65535)
    + struct.pack("<HHII", 257, 4, 1, 65535),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_forged_size_is_refused_before_decoding(kind: str) -> None:
    with pytest.raises(FrameError, match="65535x65535 pixels, expected at most 67108864"):
        decode_compressed(compressed(BOMBS[kind]))


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_in_half_is_refused(kind: str) -> None:
    data = FILES[kind]
    with pytest.raises(FrameError, match=r"cut off|ends inside its header"):
        decode_compressed(compressed(data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes begins with nothing, expected JPEG, PNG, WebP or TIFF"),
        (b"hello, robot", "begins with 68 65 6c 6c, expected JPEG"),
        (b"\xff\xd8\xff", "3 bytes ends inside its header"),
        (b"\xff\xd8\xff\xc0\x00", "ends inside its header"),
        (b"\xff\xd8\xff\xe0\x00\x02garbage", "JPEG header is damaged at byte 6"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 30, "PNG begins with chunk b'xxxx'"),
        (FILES["JPEG"].replace(b"\xff\xdb", b"\xff\xfe"), "JPEG of 96x64 in"),
    ],
)
def test_garbage_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(FrameError) as error:
        decode_compressed(compressed(data))
    assert text in str(error.value)


def test_a_png_chunk_that_claims_gigabytes_is_refused() -> None:
    png = FILES["PNG"]
    at = png.index(b"IDAT") - 4
    with pytest.raises(FrameError, match=r"PNG of 96x64 in \d+ bytes is cut off"):
        decode_compressed(compressed(png[:at] + b"\xff\xff\xff\x00" + png[at + 4 :]))


def test_depth_is_not_a_camera_image() -> None:
    with pytest.raises(FrameError, match="'32FC1; compressedDepth png' holds depth"):
        decode_compressed(compressed(bytes(12) + FILES["PNG"], "32FC1; compressedDepth png"))


@pytest.mark.parametrize("kind", FILES)
def test_damaged_bytes_give_an_image_or_a_frame_error(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(FILES[kind])
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        try:
            rgb = decode_compressed(compressed(bytes(data)), max_pixels=100_000)
        except FrameError:
            continue
        assert rgb.dtype == np.uint8
        assert rgb.shape[0] * rgb.shape[1] <= 100_000


@pytest.mark.parametrize("kind", FILES)
def test_a_message_of_rosbags_is_decoded_alike(kind: str) -> None:
    msg = compressed(FILES[kind])
    np.testing.assert_array_equal(decode_rgb(as_rosbags_has_it(msg)), decode_compressed(msg))


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG"])
@pytest.mark.parametrize("left", [b"", b"\xff"])
def test_a_jpeg_that_lacks_nothing_but_its_end_marker_is_decoded(kind: str, left: bytes) -> None:
    watch = ImageWatch()
    unended = FILES[kind].removesuffix(b"\xff\xd9") + left
    rgb = decode_compressed(compressed(unended), watch=watch)
    np.testing.assert_array_equal(rgb, decode_compressed(compressed(FILES[kind]), watch=watch))
    assert watch.unended == 1


@pytest.mark.parametrize("missing", [10, 20, 50, 100, 300])
@pytest.mark.parametrize("quality", [50, 95])
def test_a_jpeg_that_lacks_pixels_as_well_is_cut_off(missing: int, quality: int) -> None:
    noise = np.random.default_rng(5).integers(0, 255, (64, 96, 3), np.uint8)
    whole = file_of(".jpg", noise, cv2.IMWRITE_JPEG_QUALITY, quality)
    with pytest.raises(FrameError, match=r"JPEG of 96x64 in \d+ bytes is cut off"):
        decode_compressed(compressed(whole[:-missing]))


@pytest.mark.parametrize(
    ("form", "data", "text"),
    [
        ("h264", b"\x00\x00\x00\x01\x67", "its format 'h264' is a stream of video: let image_tr"),
        ("hevc", b"\x00\x00\x01\x40\x01", "its format 'hevc' is a stream of video"),
        ("bgr8; libx264", b"\x00\x00\x00\x01", "'bgr8; libx264' is a stream of video"),
        ("nv12", bytes(6), "its format 'nv12' is one of raw pixels: publish them as sensor_msgs/I"),
        ("RGB8", bytes(12), "its format 'RGB8' is one of raw pixels"),
        ("jxl", b"\xff\x0a" * 9, "expected JPEG, PNG, WebP or TIFF; its format is 'jxl'"),
    ],
)
def test_what_is_no_image_file_is_told_by_its_format(form: str, data: bytes, text: str) -> None:
    with pytest.raises(FrameError, match=text):
        decode_compressed(compressed(data, form))


def test_of_a_16_bit_png_the_significant_bits_are_shown() -> None:
    png = compressed(file_of(".png", np.array([[0, 16, 2048, 4095]], np.uint16)), "mono16; png")
    assert decode_compressed(png, significant_bits=12)[0, :, 0].tolist() == [0, 1, 128, 255]

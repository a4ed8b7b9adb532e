"""Depth messages in either unit, raw and compressed; and what is no depth."""

from __future__ import annotations

import struct
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from encoded_images import as_rosbags_has_it, message
from mono_depth.errors import FrameError
from mono_depth.messages.decode import decode_any_depth, read_any_depth
from mono_depth.messages.decode_compressed_depth import decode_compressed_depth
from mono_depth.messages.decode_image import decode_depth

NAN = np.nan


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_in_millimetres(big: bool, padding: int) -> None:
    rows = [np.array(row, ">u2" if big else "<u2").tobytes() for row in ([0, 1500], [1, 65534])]
    depth_m = decode_depth(message("16UC1", 2, 2, rows, padding=padding, big=big))
    np.testing.assert_allclose(depth_m, [[np.nan, 1.5], [0.001, 65.534]], rtol=1e-6)
    assert depth_m.dtype == np.float32


@pytest.mark.parametrize("big", [False, True])
def test_depth_in_metres_is_positive_or_nan(big: bool) -> None:
    row = np.array([1.5, 0.0, -2.0, np.inf, -np.inf, np.nan], ">f4" if big else "<f4").tobytes()
    depth_m = decode_depth(message("32FC1", 6, 1, [row], padding=4, big=big))
    np.testing.assert_array_equal(depth_m, [[1.5] + [np.nan] * 5])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "depth encoding 'rgb8', expected 16UC1 or 32FC1"),
        ({"encoding": "32FC1"}, "has step 6, expected at least 8"),
        ({"encoding": "16UC1", "step": 4}, "has 12 bytes, expected 8"),
        ({"encoding": "16UC1", "width": 2**20, "height": 2**20}, "expected at most 67108864"),
    ],
)
def test_malformed_depth_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(FrameError, match=text):
        decode_depth(SimpleNamespace(**{**vars(message("rgb8", 2, 2, [bytes(6)] * 2)), **changes}))


def compressed_depth(
    encoding: str, stored: np.ndarray, scale: float = 0.0, offset: float = 0.0
) -> SimpleNamespace:
    """Return a message as compressed_depth_image_transport writes it."""
    png = cv2.imencode(".png", stored)[1].tobytes()
    data = struct.pack("<iff", 0, scale, offset) + png
    return SimpleNamespace(format=f"{encoding}; compressedDepth png", data=array("B", data))


def test_compressed_millimetres_are_metres() -> None:
    msg = compressed_depth("16UC1", np.array([[0, 1500], [1, 65534]], np.uint16))
    depth_m = decode_compressed_depth(msg, max_pixels=4)
    np.testing.assert_allclose(depth_m, [[NAN, 1.5], [0.001, 65.534]], rtol=1e-6)
    assert depth_m.dtype == np.float32


def test_compressed_inverse_depth_is_metres() -> None:
    # What is stored is scale / depth + offset.
    msg = compressed_depth("32FC1", np.array([[0, 21], [41, 9]], np.uint16), scale=40, offset=1)
    depth_m = decode_compressed_depth(msg, max_pixels=4)
    np.testing.assert_allclose(depth_m, [[NAN, 2.0], [1.0, 5.0]], rtol=1e-6)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_of_either_transport_is_read_of_messages_of_rosbags(encoding: str) -> None:
    row = np.array([1500, 0], "<u2") if encoding == "16UC1" else np.array([1.5, NAN], "<f4")
    raw = message(encoding, 2, 1, [row.tobytes()])
    stored = np.array([[1500, 0]] if encoding == "16UC1" else [[61, 0]], np.uint16)
    packed = compressed_depth(encoding, stored, scale=90, offset=1)
    for msg in (raw, packed):
        np.testing.assert_allclose(decode_any_depth(as_rosbags_has_it(msg)), [[1.5, NAN]])


@pytest.mark.parametrize(
    ("form", "cut", "text"),
    [
        (
            "rgb8; jpeg compressed bgr8",
            None,
            "format 'rgb8; jpeg compressed bgr8', expected '16UC1",
        ),
        ("8UC1; compressedDepth png", None, "format '8UC1; compressedDepth png', expected '16UC1"),
        ("16UC1; compressedDepth rvl", None, "set the publisher to png"),
        ("16UC1; compressedDepth png", 60, "is damaged, cut off or not one channel of 16 bit"),
        ("16UC1; compressedDepth png", 5, "begins with nothing, expected JPEG, PNG"),
    ],
)
def test_compressed_depth_that_cannot_be_read_is_told(
    form: str, cut: int | None, text: str
) -> None:
    msg = compressed_depth("16UC1", np.ones((3, 4), np.uint16))
    msg.format, msg.data = form, msg.data[:cut]
    with pytest.raises(FrameError, match=text):
        decode_compressed_depth(msg, max_pixels=1000)


def test_a_color_image_is_no_compressed_depth() -> None:
    msg = compressed_depth("16UC1", np.ones((3, 4, 3), np.uint8))
    with pytest.raises(FrameError, match="not one channel of 16 bit"):
        decode_compressed_depth(msg, max_pixels=1000)


def test_too_large_compressed_depth_is_refused_before_it_is_decoded() -> None:
    msg = compressed_depth("16UC1", np.ones((3, 4), np.uint16))
    with pytest.raises(FrameError, match=r"depth of 4x3 in \d+ bytes, expected at most 11 pixels"):
        decode_compressed_depth(msg, max_pixels=11)


def test_65535_is_no_depth_in_either_transport() -> None:
    stored = np.array([[1500, 65535]], np.uint16)
    for msg in (
        message("16UC1", 2, 1, [stored.astype("<u2").tobytes()]),
        compressed_depth("16UC1", stored),
    ):
        np.testing.assert_array_equal(decode_any_depth(msg), np.float32([[1.5, NAN]]))
        reading = read_any_depth(msg, max_depth_m=50.0)
        np.testing.assert_array_equal(reading.depth_m, np.float32([[1.5, NAN]]))
        assert reading.doubt == "50 % of its depth is 65535: no measurement, no depth"

"""Messages are read back with decoders written from the description of their formats."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from mono_depth.errors import ConfigError
from mono_depth.messages.decode_image import decode_depth, decode_image
from mono_depth_ros.codec.encode import (
    encode_cloud,
    encode_compressed_depth,
    encode_depth,
    encode_landmarks,
    encode_mono_float,
    encode_rgb,
)

pytestmark = pytest.mark.ros

NAN, INF = np.nan, np.inf
HEADER = Header(frame_id="camera_optical")
HEADER.stamp.sec = 7


def metres(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def samples(msg: Image, dtype: str) -> np.ndarray:
    assert msg.header == HEADER
    assert not msg.is_bigendian
    assert len(msg.data) == msg.height * msg.step
    assert msg.step == msg.width * np.dtype(dtype).itemsize
    return np.frombuffer(msg.data, dtype).reshape(msg.height, msg.width)


def test_depth_in_metres_is_never_zero_or_negative() -> None:
    msg = encode_depth(metres(1.5, 0.0, -0.0, -3.0, NAN, INF, -INF), HEADER)
    assert msg.encoding == "32FC1"
    expected = metres(1.5, NAN, NAN, NAN, NAN, INF, NAN)
    np.testing.assert_array_equal(samples(msg, "<f4"), expected)


def test_depth_in_millimetres_is_rounded_and_zero_where_unknown() -> None:
    depth_m = metres(1.2346, 1.2344, 0.0, -3.0, NAN, INF, -INF, 0.0004, 0.0006, 65.535, 65.536, 1e9)
    msg = encode_depth(depth_m, HEADER, "16UC1")
    assert msg.encoding == "16UC1"
    assert samples(msg, "<u2").tolist() == [[1235, 1234, 0, 0, 0, 0, 0, 0, 1, 65535, 0, 0]]


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_our_own_decoder_reads_depth_back(encoding: str) -> None:
    depth_m = np.array([[0.5, NAN, 3.0], [10.0, 20.25, 60.0]], np.float32)
    np.testing.assert_array_equal(decode_depth(encode_depth(depth_m, HEADER, encoding)), depth_m)


def test_depth_does_not_have_to_be_contiguous() -> None:
    depth_m = np.arange(1, 13, dtype=np.float32).reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(samples(encode_depth(depth_m, HEADER), "<f4"), depth_m)
    np.testing.assert_array_equal(samples(encode_mono_float(depth_m, HEADER), "<f4"), depth_m)


def test_values_without_a_unit_are_passed_on() -> None:
    msg = encode_mono_float(metres(0.0, 0.25, 1.0, NAN), HEADER)
    assert msg.encoding == "32FC1"
    np.testing.assert_array_equal(samples(msg, "<f4"), metres(0.0, 0.25, 1.0, NAN))


def test_a_image_is_read_back() -> None:
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    msg = encode_rgb(rgb, HEADER)
    assert (msg.width, msg.height, msg.step, msg.encoding) == (4, 2, 12, "rgb8")
    assert bytes(msg.data) == bytes(range(24))
    np.testing.assert_array_equal(decode_image(msg), rgb)


# Point clouds


def read_points(msg: PointCloud2) -> np.ndarray:
    """Read a cloud the way its fields describe it: (height, width) records."""
    assert all(f.datatype == PointField.FLOAT32 and f.count == 1 for f in msg.fields)
    assert not msg.is_bigendian
    assert msg.row_step == msg.point_step * msg.width
    assert len(msg.data) == msg.row_step * msg.height
    layout = np.dtype(
        {
            "names": [f.name for f in msg.fields],
            "formats": ["<f4"] * len(msg.fields),
            "offsets": [f.offset for f in msg.fields],
            "itemsize": msg.point_step,
        }
    )
    return np.frombuffer(msg.data, layout).reshape(msg.height, msg.width)


def test_a_cloud_without_color_has_12_bytes_per_point() -> None:
    points = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    msg = encode_cloud(points, HEADER, has_rgb=False)
    assert (msg.height, msg.width, msg.point_step, msg.is_dense) == (2, 3, 12, False)
    assert msg.header == HEADER
    read = read_points(msg)
    assert read["x"].tolist() == [[0, 3, 6], [9, 12, 15]]
    assert read["z"].tolist() == [[2, 5, 8], [11, 14, 17]]


def test_color_is_blue_green_red_zero_in_memory() -> None:
    red, green, blue = 250, 40, 3
    points = np.zeros((1, 2, 4), np.float32)
    points[..., 3] = np.array(red << 16 | green << 8 | blue, np.uint32).view(np.float32)
    msg = encode_cloud(points, HEADER, has_rgb=True, is_dense=True)
    assert [(f.name, f.offset) for f in msg.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
    assert (msg.point_step, msg.is_dense) == (16, True)
    assert bytes(msg.data[12:16]) == bytes([blue, green, red, 0])
    bits = int(read_points(msg)["rgb"].view("<u4")[0, 1])
    assert (bits >> 16 & 255, bits >> 8 & 255, bits & 255) == (red, green, blue)


def test_the_bytes_of_points_make_the_same_cloud() -> None:
    points = np.arange(24, dtype=np.float32).reshape(1, 6, 4)
    from_bytes = encode_cloud(points.view(np.uint8), HEADER, has_rgb=True)
    assert from_bytes == encode_cloud(points, HEADER, has_rgb=True)


@pytest.mark.parametrize("count", [0, 2])
def test_landmarks_carry_their_deviation(count: int) -> None:
    rows = np.arange(4.0 * count, dtype=np.float32).reshape(count, 4)
    msg = encode_landmarks(rows, HEADER)
    assert [field.name for field in msg.fields] == ["x", "y", "z", "sigma"]
    assert (msg.height, msg.width, msg.point_step, msg.is_dense) == (1, count, 16, True)
    np.testing.assert_array_equal(np.frombuffer(msg.data, np.float32).reshape(-1, 4), rows)


def test_an_empty_cloud_is_a_cloud() -> None:
    msg = encode_cloud(np.zeros((1, 0, 3), np.float32), HEADER, has_rgb=False, is_dense=True)
    assert (msg.width, msg.height, len(msg.data)) == (0, 1, 0)


def test_points_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ConfigError, match="16 bytes per point, expected 12 for x y z"):
        encode_cloud(np.zeros((2, 2, 4), np.float32), HEADER, has_rgb=False)


# compressedDepth


def read_compressed_depth(msg: CompressedImage) -> np.ndarray:
    """Read the payload as documented: int32 format, float32 A, float32 B, PNG."""
    kind, a, b = struct.unpack("<iff", bytes(msg.data[:12]))
    assert kind == 0
    assert bytes(msg.data[12:20]) == b"\x89PNG\r\n\x1a\n"
    stored = cv2.imdecode(np.frombuffer(msg.data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    if msg.format == "16UC1; compressedDepth png":
        assert (a, b) == (0.0, 0.0)
        return np.where(stored > 0, stored / 1000, NAN)
    assert msg.format == "32FC1; compressedDepth png"
    return np.array([[a / (n - b) if n else NAN for n in row] for row in stored.tolist()])


def test_compressed_depth_is_read_back_within_its_steps() -> None:
    depth_m = np.linspace(0.16, 9.99, 600, dtype=np.float32).reshape(20, 30)
    msg = encode_compressed_depth(depth_m, HEADER, depth_max_m=10.0)
    assert msg.header == HEADER
    read = read_compressed_depth(msg)
    # One step of the stored number n is z^2 / A metres, A = 100 * 101; n is truncated.
    error_m = read - depth_m
    assert (error_m >= -1e-5).all()
    assert (error_m <= depth_m**2 / 10100 * 1.02 + 1e-5).all()


def test_what_compressed_depth_cannot_hold_is_unknown() -> None:
    depth_m = metres(NAN, 0.0, -1.0, INF, -INF, 10.0, 11.0, 5.0)
    read = read_compressed_depth(encode_compressed_depth(depth_m, HEADER, depth_max_m=10.0))
    assert np.isnan(read[0, :7]).all()
    assert read[0, 7] == pytest.approx(5.0, abs=0.003)


def test_very_close_obstacles_stay_close() -> None:
    depth_m = metres(0.001, 0.05, 0.15)
    read = read_compressed_depth(encode_compressed_depth(depth_m, HEADER, depth_max_m=10.0))
    np.testing.assert_allclose(read, 0.1519, atol=2e-4)  # the closest that 16 bits hold


def test_compressed_depth_in_millimetres_ends_at_its_maximum() -> None:
    depth_m = metres(0.05, 1.2346, 10.0, 10.01, NAN, -1.0)
    msg = encode_compressed_depth(depth_m, HEADER, depth_max_m=10.0, encoding="16UC1")
    np.testing.assert_allclose(
        read_compressed_depth(msg), [[0.05, 1.235, 10.0, NAN, NAN, NAN]], atol=1e-9
    )


def test_png_level_and_quantization_have_an_effect() -> None:
    ramp = np.linspace(1.0, 9.0, 64 * 64, dtype=np.float32).reshape(64, 64)
    fast, small = (
        encode_compressed_depth(ramp, HEADER, depth_max_m=10.0, png_level=n) for n in (0, 9)
    )
    assert len(small.data) < len(fast.data) / 2
    np.testing.assert_array_equal(read_compressed_depth(small), read_compressed_depth(fast))
    fine = encode_compressed_depth(ramp, HEADER, depth_max_m=10.0, quantization=200.0)
    error_fine = np.abs(read_compressed_depth(fine) - ramp).max()
    assert error_fine < np.abs(read_compressed_depth(fast) - ramp).max() / 2


def test_a_cloud_message_is_filled_again_if_it_has_the_size() -> None:
    first = encode_cloud(np.full((2, 3, 3), 1.0, np.float32), Header(frame_id="a"), has_rgb=False)
    points = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    again = encode_cloud(points, Header(frame_id="b"), has_rgb=False, reuse=first)
    assert again is first
    assert (again.header.frame_id, again.height, again.width) == ("b", 3, 2)
    assert again == encode_cloud(points, Header(frame_id="b"), has_rgb=False)
    other = encode_cloud(points[:1], Header(frame_id="c"), has_rgb=False, reuse=first)
    assert other is not first
    assert len(other.data) == 24

"""The library reads messages of ROS itself as it reads plain ones and those of a bag."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from encoded_images import ALL, BLOCKS, encoded, message, shown_by
from mono_depth.errors import FrameError
from mono_depth.messages.decode import decode_any_depth, decode_rgb
from mono_depth.messages.decode_image import decode_image
from mono_depth.messages.point_cloud import read_points
from mono_depth.recordings.open import open_sequence
from mono_depth_ros.cameras.sources import open_source
from mono_depth_ros.codec import cv_bridge_conversions
from mono_depth_ros.codec.encode import encode_cloud
from written_bags import SECOND_NS, Messages

pytestmark = pytest.mark.ros

TOPIC, IMAGE = "/cam/image_raw", "sensor_msgs/msg/Image"


def real(fields: SimpleNamespace) -> Image:
    msg = Image(height=fields.height, width=fields.width, encoding=fields.encoding)
    msg.step, msg.is_bigendian = fields.step, fields.is_bigendian
    msg.data.frombytes(fields.data.tobytes())
    return msg


def packed(form: str, data: bytes) -> CompressedImage:
    msg = CompressedImage(format=form)
    msg.data.frombytes(data)
    return msg


@pytest.mark.parametrize("encoding", ALL)
def test_eval_and_the_camera_node_read_of_a_bag_what_the_node_hears(tmp_path, encoding):
    pytest.importorskip("rosbags", reason="the package rosbags writes the bag")
    fields = encoded(encoding, shown_by(encoding), padding=6, big="16" in encoding)
    heard = decode_rgb(real(fields), fallback=cv_bridge_conversions)
    make = Messages()
    depth = make.image(SECOND_NS, "16UC1", np.ones((4, 6), np.uint16))
    topics = [
        (TOPIC, IMAGE, [(SECOND_NS, make.image_of(SECOND_NS, vars(fields)))]),
        ("/cam/depth", IMAGE, [(SECOND_NS, depth)]),
        ("/cam/camera_info", "sensor_msgs/msg/CameraInfo", [(SECOND_NS, make.info())]),
    ]
    bag = make.write(tmp_path / "drive", topics)
    (frame,) = open_sequence(str(bag))
    np.testing.assert_array_equal(frame.rgb, heard)
    ((played, stamp_ns),) = open_source(str(bag)).frames()
    np.testing.assert_array_equal(played, heard)
    assert stamp_ns == SECOND_NS
    np.testing.assert_allclose(heard.astype(int), shown_by(encoding).astype(int), atol=3)


def test_tight_rgb8_is_not_copied():
    msg = real(encoded("rgb8", BLOCKS))
    assert np.shares_memory(decode_image(msg), np.frombuffer(msg.data, np.uint8))


@pytest.mark.parametrize("cut", [0, 4])
def test_the_padding_of_the_last_row_may_be_missing(cut):
    msg = real(encoded("bgr8", BLOCKS, padding=4))
    del msg.data[len(msg.data) - cut :]
    np.testing.assert_array_equal(decode_image(msg), BLOCKS)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tiff"])
def test_compressed_images_are_read(extension):
    large = np.kron(BLOCKS, np.ones((16, 16, 1), np.uint8))
    data = cv2.imencode(extension, large[..., ::-1])[1].tobytes()
    rgb = decode_rgb(packed("rgb8; jpeg compressed bgr8", data))
    inner = np.s_[8::32, 8::32]
    np.testing.assert_allclose(rgb[inner].astype(int), large[inner].astype(int), atol=12)
    with pytest.raises(FrameError, match=r"cut off|ends inside its header"):
        decode_rgb(packed("jpeg", data[: len(data) // 2]))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_is_read(encoding, big):
    kind = ("u2" if encoding == "16UC1" else "f4", ">" if big else "<")
    values = [1500, 0] if encoding == "16UC1" else [1.5, np.inf]
    row = np.array(values, kind[1] + kind[0]).tobytes()
    depth_m = decode_any_depth(real(message(encoding, 2, 1, [row], padding=2, big=big)))
    np.testing.assert_array_equal(depth_m, np.float32([[1.5, np.nan]]))


def test_compressed_depth_is_read():
    png = cv2.imencode(".png", np.array([[1500, 0]], np.uint16))[1].tobytes()
    msg = packed("16UC1; compressedDepth png", struct.pack("<iff", 0, 0.0, 0.0) + png)
    np.testing.assert_array_equal(decode_any_depth(msg), np.float32([[1.5, np.nan]]))


@pytest.mark.parametrize("has_rgb", [False, True])
def test_points_are_read(has_rgb):
    points = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    points[0, 1, 2] = np.nan
    points = points if has_rgb else np.ascontiguousarray(points[..., :3])
    msg: PointCloud2 = encode_cloud(points, Header(), has_rgb=has_rgb)
    np.testing.assert_array_equal(
        read_points(msg), np.delete(points[..., :3].reshape(-1, 3), 1, axis=0)
    )

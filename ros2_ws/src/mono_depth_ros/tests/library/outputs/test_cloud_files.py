from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from mono_depth.errors import FrameError
from mono_depth.outputs.files.cloud_files import cloud_glb, cloud_ply

PLY_HEADER = b"""ply
format binary_little_endian 1.0
element vertex 2
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""
POINTS = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 4.0]], np.float32)
RGB = np.array([[255, 0, 7], [1, 2, 188]], np.uint8)
NO_POINTS = np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)


def test_two_points_become_exactly_these_bytes():
    content = cloud_ply(POINTS, RGB)
    assert content.startswith(PLY_HEADER)
    body = content[len(PLY_HEADER) :]
    assert body[:15] == bytes.fromhex("0000803f 000000c0 0000003f") + bytes([255, 0, 7])
    assert body[15:] == bytes.fromhex("00000000 00000000 00008040") + bytes([1, 2, 188])


def test_a_cloud_without_points_is_a_valid_ply():
    assert b"element vertex 0\n" in cloud_ply(*NO_POINTS)


def test_glb_holds_the_points_with_y_up_in_chunks_of_whole_words():
    content = cloud_glb(POINTS, RGB)

    magic, version, length, json_bytes, json_kind = struct.unpack_from("<4sIII4s", content)
    assert (magic, version, json_kind) == (b"glTF", 2, b"JSON")
    assert length == len(content)
    assert json_bytes % 4 == 0
    scene = json.loads(content[20 : 20 + json_bytes])
    at = 20 + json_bytes
    bin_bytes, bin_kind = struct.unpack_from("<I4s", content, at)
    assert bin_kind == b"BIN\0"
    assert scene["buffers"] == [{"byteLength": bin_bytes}]
    position = np.frombuffer(content, "<f4", 6, at + 8).reshape(2, 3)
    assert position.tolist() == [[1.0, 2.0, -0.5], [0.0, 0.0, -4.0]]
    assert scene["accessors"][0]["min"] == [0.0, 0.0, -4.0]
    assert scene["accessors"][0]["max"] == [1.0, 2.0, -0.5]
    offset = scene["bufferViews"][1]["byteOffset"]
    color = np.frombuffer(content, "<u2", 8, at + 8 + offset).reshape(2, 4)
    assert color[0].tolist() == [65535, 0, round(65535 * 7 / 255 / 12.92), 65535]
    assert color[1, 2] == pytest.approx(0.5028 * 65535, abs=20)  # sRGB 188 is half the light


def test_a_cloud_without_points_is_no_glb():
    with pytest.raises(FrameError, match="without points"):
        cloud_glb(*NO_POINTS)

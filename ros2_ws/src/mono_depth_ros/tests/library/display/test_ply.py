from __future__ import annotations

import numpy as np

from mono_depth.display.ply import write_ply

HEADER = b"""ply
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


def test_two_points_become_exactly_these_bytes(tmp_path):
    points = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 4.0]], np.float32)
    rgb = np.array([[255, 0, 7], [1, 2, 3]], np.uint8)
    path = tmp_path / "cloud.ply"
    write_ply(path, points, rgb)
    content = path.read_bytes()
    assert content.startswith(HEADER)
    body = content[len(HEADER) :]
    assert body[:15] == bytes.fromhex("0000803f 000000c0 0000003f") + bytes([255, 0, 7])
    assert body[15:] == bytes.fromhex("00000000 00000000 00008040") + bytes([1, 2, 3])


def test_a_cloud_without_points_is_a_valid_file(tmp_path):
    path = tmp_path / "cloud.ply"
    write_ply(path, np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
    assert b"element vertex 0\n" in path.read_bytes()

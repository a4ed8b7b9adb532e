"""Coloured points as PLY and as glTF (GLB)."""

from __future__ import annotations

import json
import struct

import numpy as np
import numpy.typing as npt

from mono_depth.errors import FrameError

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)
_PLY_NAMES = {"<f4": "float", "|u1": "uchar"}

_GLB_MAGIC, _GLB_VERSION = 0x46546C67, 2
_GLB_JSON, _GLB_BIN = 0x4E4F534A, 0x004E4942
_GL_FLOAT, _GL_UNSIGNED_SHORT, _GL_POINTS, _GL_ARRAY_BUFFER = 5126, 5123, 0, 34962


def cloud_ply(points_m: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return coloured points as binary little-endian PLY, in the frame that they are given in.

    Args:
        points_m: (N, 3) float32, finite.
        rgb: (N, 3) uint8.

    Source: G. Turk, The PLY Polygon File Format, 1994.
    """
    vertices = np.empty(len(points_m), _VERTEX)
    for axis, name in enumerate(("x", "y", "z")):
        vertices[name] = points_m[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = rgb[:, channel]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {_PLY_NAMES[_VERTEX[name].str]} {name}" for name in _VERTEX.names or ()]
    return "\n".join([*header, "end_header", ""]).encode() + vertices.tobytes()


def cloud_glb(points_m: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return coloured points of an optical frame as binary glTF 2.0.

    Args:
        points_m: (N, 3) float32, finite; x right, y down, z ahead (REP 103). glTF has y up and
            looks along -z, so that a viewer shows what the camera saw.
        rgb: (N, 3) uint8, sRGB; glTF wants colours of vertices in linear light.

    Raises:
        FrameError: there are no points, which glTF cannot say.

    Source: Khronos Group, glTF 2.0 specification.
    """
    if not len(points_m):
        raise FrameError("a cloud without points cannot be written as glTF")
    position = np.ascontiguousarray(points_m * np.array([1.0, -1.0, -1.0], np.float32), "<f4")
    color = np.full((len(rgb), 4), 65535, "<u2")
    color[:, :3] = _linear_light()[rgb]
    binary = position.tobytes() + color.tobytes()
    scene = _gltf(position, color_offset=position.nbytes, size=len(binary))
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), _GLB_JSON) + text
    chunks += struct.pack("<II", len(binary), _GLB_BIN) + binary
    return struct.pack("<III", _GLB_MAGIC, _GLB_VERSION, 12 + len(chunks)) + chunks


def _gltf(position: npt.NDArray[np.float32], *, color_offset: int, size: int) -> dict[str, object]:
    """Describe positions and, `color_offset` bytes later, colours of points."""
    count = len(position)
    return {
        "asset": {"version": "2.0", "generator": "mono_depth"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": _GL_POINTS}]}
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _GL_FLOAT,
                "count": count,
                "type": "VEC3",
                "min": position.min(axis=0).tolist(),
                "max": position.max(axis=0).tolist(),
            },
            {
                "bufferView": 1,
                "componentType": _GL_UNSIGNED_SHORT,
                "normalized": True,
                "count": count,
                "type": "VEC4",
            },
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": color_offset, "target": _GL_ARRAY_BUFFER},
            {
                "buffer": 0,
                "byteOffset": color_offset,
                "byteLength": size - color_offset,
                "target": _GL_ARRAY_BUFFER,
            },
        ],
        "buffers": [{"byteLength": size}],
    }


def _linear_light() -> npt.NDArray[np.uint16]:
    """Return (256,) linear light, 0..65535, of sRGB values. Source: IEC 61966-2-1."""
    share = np.arange(256) / 255.0
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.rint(light * 65535.0).astype(np.uint16)

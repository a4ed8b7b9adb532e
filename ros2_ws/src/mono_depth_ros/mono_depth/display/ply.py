"""Point clouds as PLY files, which MeshLab, CloudCompare, Blender and Open3D read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)
_NAMES = {"<f4": "float", "|u1": "uchar"}


def write_ply(path: Path, points_m: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8]) -> None:
    """Write coloured points as binary little-endian PLY.

    Args:
        path: file to write.
        points_m: (N, 3) float32, finite.
        rgb: (N, 3) uint8.

    Raises:
        OSError: the file cannot be written.

    Source: G. Turk, The PLY Polygon File Format, 1994.
    """
    vertices = np.empty(len(points_m), _VERTEX)
    for axis, name in enumerate(("x", "y", "z")):
        vertices[name] = points_m[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = rgb[:, channel]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {_NAMES[_VERTEX[name].str]} {name}" for name in _VERTEX.names or ()]
    with path.open("wb") as file:
        file.write("\n".join([*header, "end_header", ""]).encode())
        file.write(vertices.tobytes())

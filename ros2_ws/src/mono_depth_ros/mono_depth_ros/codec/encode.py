"""Arrays to ROS messages.

Buffers are filled with `msg.data.frombytes`: one copy. Assigning an array to `msg.data` walks
over its elements, 235 ms for one cloud.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from mono_depth.data import DepthImage, RgbImage
from mono_depth.errors import ConfigError

DepthEncoding = Literal["32FC1", "16UC1"]

_MAX_UINT16 = 65535
# Depth is smooth: each row as the difference to the one above packs as small as the best filter
# of each row, which takes twice as long to find. OpenCV below 4.12 cannot be told.
_PNG_FILTER = (
    [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    if hasattr(cv2, "IMWRITE_PNG_FILTER")
    else []
)


def encode_depth(depth_m: DepthImage, header: Header, encoding: DepthEncoding = "32FC1") -> Image:
    """Make a depth message of REP 118.

    Args:
        depth_m: (H, W) float32 metres along z.
        header: stamp and optical frame of the camera image, passed on as it is.
        encoding: "32FC1" metres, NaN = unknown, never 0 or negative; +Inf (beyond range) stays.
            "16UC1" millimetres, 0 = unknown, also for what exceeds 65.535 m.
    """
    if encoding == "16UC1":
        return _image(_millimetres(depth_m, _MAX_UINT16 / 1000), header, encoding)
    # fmin passes over NaN; asking first is ten times faster than copying.
    if not np.fmin.reduce(depth_m, axis=None, initial=np.inf) > 0:
        depth_m = np.where(depth_m > 0, depth_m, np.float32(np.nan))
    return _image(depth_m, header, encoding)


def encode_mono_float(values: npt.NDArray[np.float32], header: Header) -> Image:
    """Make a 32FC1 message of (H, W) values without a unit: confidence, relative depth."""
    return _image(values.astype(np.float32, copy=False), header, "32FC1")


def encode_mono(values: npt.NDArray[np.uint8], header: Header) -> Image:
    """Make a mono8 message of (H, W) values."""
    return _image(values, header, "mono8")


def encode_rgb(rgb: RgbImage, header: Header) -> Image:
    """Make an rgb8 message of an (H, W, 3) uint8 image."""
    return _image(rgb, header, "rgb8")


def encode_cloud(
    points: npt.NDArray[np.float32 | np.uint8],
    header: Header,
    *,
    has_rgb: bool,
    is_dense: bool = False,
    reuse: PointCloud2 | None = None,
) -> PointCloud2:
    """Make a point cloud.

    Args:
        points: (H, W, 3 or 4) float32, H = 1 for a cloud without the order of an image: x, y, z
            in metres and with `has_rgb` the colour, 0x00RRGGBB in the bits of a float32. Or the
            same memory as (H, W, 12 or 16) uint8.
        header: stamp and optical frame of the points.
        has_rgb: whether the points have a colour.
        is_dense: True only where no point is NaN.
        reuse: a message of an earlier call that nobody reads any more. It is filled and returned
            if it has the size, which saves the page faults of new memory.

    Raises:
        ConfigError: the bytes per point do not fit `has_rgb`.

    Source: sensor_msgs/PointCloud2; PCL reads `rgb` as 0x00RRGGBB stored in a float32.
    """
    names = ("x", "y", "z", "rgb") if has_rgb else ("x", "y", "z")
    point_step = points.shape[2] * points.itemsize
    if point_step != 4 * len(names):
        raise ConfigError(
            f"{point_step} bytes per point, expected {4 * len(names)} for {' '.join(names)}"
        )
    return _cloud(points, names, header, is_dense=is_dense, reuse=reuse)


def _cloud(
    points: npt.NDArray[np.float32 | np.uint8],
    names: Sequence[str],
    header: Header,
    *,
    is_dense: bool,
    reuse: PointCloud2 | None = None,
) -> PointCloud2:
    """Return a cloud of (H, W, N) values with these names."""
    height, width = points.shape[:2]
    point_step = points.shape[2] * points.itemsize
    data = _bytes(points)
    if reuse is not None and len(reuse.data) == len(data):
        msg = reuse
        memoryview(msg.data)[:] = data
    else:
        msg = PointCloud2()
        msg.data.frombytes(data)
    msg.header, msg.height, msg.width = header, height, width
    msg.fields = _fields(names)
    msg.point_step = point_step
    msg.row_step = point_step * width
    msg.is_dense = is_dense
    return msg


def encode_heights(points: npt.NDArray[np.float32], header: Header) -> PointCloud2:
    """Make a dense cloud with the field `height`, which Nav2's collision monitor reads.

    Args:
        points: (n, 4) float32, finite: x, y, z, height over the ground [m].
        header: stamp and optical frame of the points.
    """
    return _cloud(points[None], ("x", "y", "z", "height"), header, is_dense=True)


def encode_landmarks(rows: npt.NDArray[np.float32], header: Header) -> PointCloud2:
    """Make a cloud of points whose distance is known with a deviation.

    Args:
        rows: (N, 4) float32 x, y, z and deviation of z in metres; no NaN.
        header: stamp and optical frame of the points.
    """
    return _cloud(rows[None], ("x", "y", "z", "sigma"), header, is_dense=True)


def _fields(names: Sequence[str]) -> list[PointField]:
    return [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(names)
    ]


def encode_compressed_depth(
    depth_m: DepthImage,
    header: Header,
    *,
    depth_max_m: float,
    quantization: float = 100.0,
    png_level: int = 1,
    encoding: DepthEncoding = "32FC1",
) -> CompressedImage:
    """Make a message that compressed_depth_image_transport decodes.

    Args:
        depth_m: (H, W) float32 metres.
        header: stamp and optical frame of the camera image.
        depth_max_m: what is as far or farther is sent as unknown.
        quantization: larger is finer near and coarser far. At 100, steps are 1 cm at 10 m, and
            what is nearer than 0.152 m decodes as 0.152 m.
        png_level: 1 (fast) to 9 (ten times slower, a fifth smaller).
        encoding: "32FC1" inverse depth in 16 bits, "16UC1" plain millimetres.

    Source: image_transport_plugins, compressed_depth_image_transport/codec.cpp.
    """
    scale = offset = np.float32(0.0)
    if encoding == "16UC1":
        values = _millimetres(depth_m, min(depth_max_m, _MAX_UINT16 / 1000))
    else:
        scale = np.float32(quantization * (quantization + 1.0))
        offset = np.float32(1.0 - scale / depth_max_m)
        values = _inverse_depth(depth_m, depth_max_m, scale, offset)
    options = [cv2.IMWRITE_PNG_COMPRESSION, png_level, *_PNG_FILTER]
    ok, png = cv2.imencode(".png", values, options)
    if not ok:
        raise ConfigError(f"OpenCV cannot write a PNG of {values.shape} pixels")
    msg = CompressedImage(header=header, format=f"{encoding}; compressedDepth png")
    msg.data.frombytes(struct.pack("<iff", 0, scale, offset))  # 0 = INV_DEPTH, also for 16UC1
    msg.data.frombytes(_bytes(png))
    return msg


def _inverse_depth(
    depth_m: DepthImage, depth_max_m: float, scale: np.float32, offset: np.float32
) -> npt.NDArray[np.uint16]:
    is_known = (depth_m > 0) & (depth_m < depth_max_m)
    inverse = np.zeros(depth_m.shape, np.float32)
    np.divide(scale, depth_m, out=inverse, where=is_known)
    np.add(inverse, offset, out=inverse, where=is_known)
    # The original wraps around below scale / 65535 metres: a close obstacle would turn far.
    return np.minimum(inverse, np.float32(_MAX_UINT16), out=inverse).astype(np.uint16)


def _millimetres(depth_m: DepthImage, depth_max_m: float) -> npt.NDArray[np.uint16]:
    is_known = (depth_m > 0) & (depth_m <= np.float32(depth_max_m))
    depth_mm = np.zeros(depth_m.shape, np.float32)
    np.multiply(depth_m, np.float32(1000.0), out=depth_mm, where=is_known)
    return np.rint(depth_mm, out=depth_mm).astype(np.uint16)


def _image(pixels: npt.NDArray[Any], header: Header, encoding: str) -> Image:
    msg = Image(header=header, height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    msg.step = pixels[0].nbytes
    msg.is_bigendian = 0
    msg.data.frombytes(_bytes(pixels))
    return msg


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data

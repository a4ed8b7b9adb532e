"""ROS messages that are wrong in any of their fields, reproducibly."""

from __future__ import annotations

import random
import re
import struct
import zlib
from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, PointCloud2, PointField

FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, 9.81, *map(float, ("nan", "inf", "-inf")))
TEXTS = (
    "",
    " ",
    "/",
    "camera",
    "/camera",
    "odom",
    "base_link",
    "x" * 5000,
    "ä\u6f22",
    "a\nb",
    "%s{}",
)
ENCODINGS = (
    *("rgb8", "bgr8", "rgba8", "mono8", "mono16", "16UC1", "32FC1", "8UC3", "16UC3", "64FC1"),
    *("bayer_rggb8", "bayer_gbrg16", "yuv422", "uyvy", "yuyv", "nv12", "nv21", "nv24", "rgb16"),
    *("", "RGB8", "8UC999", "h264", "32SC4", "rgb8; jpeg compressed"),
)
FORMATS = (
    *("jpeg", "png", "rgb8; jpeg compressed bgr8", "mono16; png compressed", "", "h264", "nv12"),
    *("32FC1; compressedDepth png", "16UC1; compressedDepth png", "16UC1; compressedDepth rvl"),
)
MODELS = ("plumb_bob", "rational_polynomial", "equidistant", "fisheye", "", "none", "double_sphere")
WHOLE = (0, 1, 2, 3, 4, 6, 7, 8, 12, 16, 24, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1)
_INTEGERS = {
    f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits - (not sign)) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
} | {"octet": (0, 255)}


class Malformer:
    """Makes messages; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._stamp_ns = 1_000_000_000_000

    def message(self, kind: str) -> Any:
        """Return a message of a kind of `KINDS`: right, or wrong in up to three places."""
        message = KINDS[kind](self)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3))):
            self._spoil(message)
        return message

    def stamp(self, header: Any, frame: str = "camera") -> None:
        """Let the header be the next of its stream."""
        self._stamp_ns += self._random.choice((0, 10**6, 33 * 10**6))
        header.frame_id = frame
        header.stamp.sec, header.stamp.nanosec = divmod(self._stamp_ns, 10**9)

    def choice(self, values: Any) -> Any:
        """Return one of some values."""
        return self._random.choice(values)

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        return self._random.randbytes(count)

    def value(self, kind: str, old: Any) -> Any:
        """Return any value that a field of this ROS type can have."""
        if kind in ("float", "double"):
            value = self.choice((*FLOATS, self._random.uniform(-100.0, 100.0)))
            return value if kind == "double" or abs(value) < 3e38 else float("inf")
        if kind == "boolean":
            return self.choice((False, True))
        if kind.startswith("string"):
            return self.choice((*TEXTS, *ENCODINGS, *FORMATS, *MODELS))
        low, high = _INTEGERS[kind]
        near = old + self.choice((-1, 1)) if isinstance(old, int) else low
        return min(high, max(low, self.choice((*WHOLE, low, high, -1, near))))

    def _spoil(self, message: Any) -> None:
        """Change one field, of the message or of one within it."""
        types = message.get_fields_and_field_types()
        name = self.choice(list(types))
        kind, old = types[name], getattr(message, name)
        if hasattr(old, "get_fields_and_field_types"):
            self._spoil(old)
        elif match := re.fullmatch(r"sequence<(.+?)(, \d+)?>|(.+)\[(\d+)\]", kind):
            item, fixed = match[1] or match[3], match[4]
            setattr(message, name, self._items(item, old, fixed and int(fixed)))
        else:
            setattr(message, name, self.value(kind, old))

    def _items(self, kind: str, old: Any, fixed: int | None) -> Any:
        if "/" in kind:
            kept = list(old)[: self.choice((0, 1, 2, len(old)))]
            for item in kept:
                self._spoil(item)
            return kept
        if kind == "uint8" and fixed is None:
            return array("B", self._other_bytes(bytes(old)))
        count = self.choice((0, 1, 4, 5, 8, 12, 14, 1000)) if fixed is None else fixed
        items = [self.value(kind, 0) for _ in range(count)]
        if len(old) == count and self.choice((True, False)):
            place = self._random.randrange(count) if count else 0
            items = [*old[:place], *items[:1], *old[place + 1 :]]
        return items

    def _other_bytes(self, old: bytes) -> bytes:
        way = self.choice(("none", "cut", "longer", "random", "flipped"))
        if way == "none":
            return b""
        if way == "cut":
            return old[: self._random.randrange(len(old) + 1)]
        if way == "longer":
            return old + self.bytes(self.choice((1, 7, 4096)))
        if way == "random":
            return self.bytes(self.choice((1, 12, 144, 5000)))
        changed = bytearray(old)
        for _ in range(min(len(old), 4)):
            changed[self._random.randrange(len(old))] ^= 1 << self._random.randrange(8)
        return bytes(changed)


def _image(make: Malformer) -> Image:
    encoding = make.choice(("rgb8", "rgb8", *ENCODINGS))
    step = 8 * {"rgba8": 4, "rgb8": 3, "bgr8": 3, "mono8": 1, "mono16": 2, "32FC1": 4}.get(
        encoding, 3
    )
    message = Image(height=6, width=8, encoding=encoding, step=step, data=make.bytes(6 * step))
    make.stamp(message.header)
    return message


def _depth(make: Malformer) -> Image:
    encoding = make.choice(("16UC1", "32FC1", *ENCODINGS))
    step = 8 * (4 if encoding == "32FC1" else 2)
    message = Image(height=6, width=8, encoding=encoding, step=step, data=make.bytes(6 * step))
    make.stamp(message.header)
    return message


def _compressed(make: Malformer) -> CompressedImage:
    pixels = np.frombuffer(make.bytes(144), np.uint8).reshape(6, 8, 3)
    _, data = cv2.imencode(make.choice((".jpg", ".png")), pixels)
    data = make.choice((data.tobytes(), data.tobytes(), _huge_png(), b"\0\0\0\1\x67h264", b""))
    message = CompressedImage(format=make.choice(FORMATS), data=data)
    make.stamp(message.header)
    return message


def _compressed_depth(make: Malformer) -> CompressedImage:
    pixels = np.frombuffer(make.bytes(96), np.uint16).reshape(6, 8)
    _, data = cv2.imencode(".png", pixels)
    head = struct.pack("<iff", make.choice((0, 1, -5)), make.choice(FLOATS[:3]), 100.0)
    message = CompressedImage(format=make.choice(FORMATS[-3:]), data=head + data.tobytes())
    make.stamp(message.header)
    return message


def _huge_png() -> bytes:
    """Return the beginning of a PNG that would take 3 GB."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    end = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + end + b"\0" * 40


def _info(make: Malformer) -> CameraInfo:
    message = CameraInfo(width=8, height=6, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [10.0, 0.0, 3.5, 0.0, 10.0, 2.5, 0.0, 0.0, 1.0]
    message.p = [10.0, 0.0, 3.5, 0.0, 0.0, 10.0, 2.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    make.stamp(message.header)
    if make.choice((True, False, False)):
        message.distortion_model = make.choice(MODELS)
    return message


def _odometry(make: Malformer) -> Odometry:
    message = Odometry(child_frame_id=make.choice(("camera", "base_link", "")))
    message.pose.pose.orientation.w = 1.0
    make.stamp(message.header, "odom")
    return message


def _cloud(make: Malformer) -> PointCloud2:
    fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")]
    points = np.frombuffer(make.bytes(480), np.uint8).reshape(40, 12) % 7
    message = PointCloud2(
        height=1, width=40, fields=fields, point_step=12, row_step=480, data=points.tobytes()
    )
    make.stamp(message.header)
    return message


def _imu(make: Malformer) -> Imu:
    message = Imu()
    message.orientation.w, message.linear_acceleration.z = 1.0, 9.81
    make.stamp(message.header, "imu")
    return message


def _transform(make: Malformer) -> TransformStamped:
    frames = ("camera", "base_link", "odom", "imu", "base_footprint", "")
    message = TransformStamped(child_frame_id=make.choice(frames))
    message.transform.rotation.w = 1.0
    make.stamp(message.header, make.choice(frames))
    return message


KINDS: dict[str, Callable[[Malformer], Any]] = {
    "image": _image,
    "compressed": _compressed,
    "camera_info": _info,
    "odom": _odometry,
    "sparse_points": _cloud,
    "sensor_depth": _depth,
    "compressed_depth": _compressed_depth,
    "imu": _imu,
    "transform": _transform,
}

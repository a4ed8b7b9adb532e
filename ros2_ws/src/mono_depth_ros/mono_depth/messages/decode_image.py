"""Image messages to RGB and depth images. The only place that knows encodings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from mono_depth.data import DepthImage, RgbImage
from mono_depth.errors import FrameError
from mono_depth.messages.depth_reading import DepthReading, read_metres
from mono_depth.messages.image_header import ImageHeader, read_header
from mono_depth.messages.image_watch import ImageWatch
from mono_depth.messages.jpeg_end import decode_unended
from mono_depth.messages.protocols import CompressedImageMessage, ImageMessage

MAX_PIXELS = 1 << 26  # 67 million: 8K (33 million) passes, a forged size does not

# ITU-R BT.601, studio swing, as OpenCV's YUV 4:2:2 and 4:2:0 conversions: RGB = A (Y, U, V, 1).
_RGB_FROM_YUV = np.array(
    [
        [1.164, 0.0, 1.596, -1.164 * 16 - 1.596 * 128],
        [1.164, -0.391, -0.813, -1.164 * 16 + (0.391 + 0.813) * 128],
        [1.164, 2.018, 0.0, -1.164 * 16 - 2.018 * 128],
    ]
)

# Names of codecs as ffmpeg_image_transport, foxglove, theora and camera drivers write them.
_VIDEO_CODECS = (
    *("h264", "h.264", "avc", "x264", "h265", "h.265", "hevc", "x265", "av1", "vp8", "vp9"),
    *("mpeg", "theora", "ffmpeg"),
)

Pixels = npt.NDArray[np.uint8]


class PixelConverter(Protocol):
    """Knows encodings beyond `ENCODINGS`, as an installed cv_bridge does."""

    def pixel_format(self, encoding: str) -> tuple[np.dtype[Any], int] | None:
        """Return the numpy type and the channels of an encoding, None where it is not known."""

    def to_rgb(self, pixels: npt.NDArray[Any], encoding: str) -> RgbImage | None:
        """Convert (H, W) or (H, W, C) pixels, rows may be padded; None where it cannot be done."""


@dataclass(frozen=True, kw_only=True)
class _Encoding:
    to_rgb: Callable[[Pixels], Pixels]  # (rows, W) or (rows, W, C), rows may be padded
    channels: int = 1  # samples per pixel in a row
    sample_bytes: int = 1
    half_rows: int = 2  # rows in the buffer for every two rows of the image
    even: tuple[bool, bool] = (False, False)  # width, height must be even


def _color(code: int) -> Callable[[Pixels], Pixels]:
    return lambda pixels: _as_uint8(cv2.cvtColor(pixels, code))


def _demosaic(mosaic: Pixels, encoding: str, code: int) -> Pixels:
    height, width = mosaic.shape
    if height < 3 or width < 3:
        raise FrameError(f"{width}x{height} {encoding} image, a mosaic has at least 3x3 pixels")
    return _as_uint8(cv2.cvtColor(mosaic, code))


def _nv24(planes: Pixels) -> Pixels:
    height, width = planes.shape[0] // 3, planes.shape[1]
    step = planes.strides[0]
    # A chroma row is twice as long as a luma row, and so is its step.
    chroma = as_strided(planes[height:], (height, width, 2), (2 * step, 2, 1))
    return _as_uint8(cv2.transform(np.dstack((planes[:height], chroma)), _RGB_FROM_YUV))


_GREY = _color(cv2.COLOR_GRAY2RGB)
_BGR = _color(cv2.COLOR_BGR2RGB)
_BGRA = _color(cv2.COLOR_BGRA2RGB)
_RGBA = _color(cv2.COLOR_RGBA2RGB)
_UYVY = _Encoding(to_rgb=_color(cv2.COLOR_YUV2RGB_UYVY), channels=2, even=(True, False))
_YUYV = _Encoding(to_rgb=_color(cv2.COLOR_YUV2RGB_YUYV), channels=2, even=(True, False))
_YUV420 = partial(_Encoding, half_rows=3, even=(True, True))

# OpenCV names a pattern by its second row, ROS by its first.
_BAYER_CODES = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_BAYER = {
    name: partial(_demosaic, encoding=f"{name}8", code=code) for name, code in _BAYER_CODES.items()
}

# Source: sensor_msgs/image_encodings.hpp; nUCm as OpenCV orders channels, blue first.
_ENCODINGS: dict[str, _Encoding] = {
    "rgb8": _Encoding(to_rgb=lambda pixels: pixels, channels=3),
    "bgr8": _Encoding(to_rgb=_BGR, channels=3),
    "rgba8": _Encoding(to_rgb=_RGBA, channels=4),
    "bgra8": _Encoding(to_rgb=_BGRA, channels=4),
    "mono8": _Encoding(to_rgb=_GREY),
    "8UC1": _Encoding(to_rgb=_GREY),
    "8UC3": _Encoding(to_rgb=_BGR, channels=3),
    "8UC4": _Encoding(to_rgb=_BGRA, channels=4),
    "rgb16": _Encoding(to_rgb=lambda pixels: pixels, channels=3, sample_bytes=2),
    "bgr16": _Encoding(to_rgb=_BGR, channels=3, sample_bytes=2),
    "rgba16": _Encoding(to_rgb=_RGBA, channels=4, sample_bytes=2),
    "bgra16": _Encoding(to_rgb=_BGRA, channels=4, sample_bytes=2),
    "mono16": _Encoding(to_rgb=_GREY, sample_bytes=2),
    "16UC1": _Encoding(to_rgb=_GREY, sample_bytes=2),
    "16UC3": _Encoding(to_rgb=_BGR, channels=3, sample_bytes=2),
    "16UC4": _Encoding(to_rgb=_BGRA, channels=4, sample_bytes=2),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _YUV420(to_rgb=_color(cv2.COLOR_YUV2RGB_NV12)),
    "nv21": _YUV420(to_rgb=_color(cv2.COLOR_YUV2RGB_NV21)),
    "nv24": _Encoding(to_rgb=_nv24, half_rows=6),
    **{f"{name}8": _Encoding(to_rgb=to_rgb) for name, to_rgb in _BAYER.items()},
    **{f"{name}16": _Encoding(to_rgb=to_rgb, sample_bytes=2) for name, to_rgb in _BAYER.items()},
}

ENCODINGS = tuple(_ENCODINGS)  # that `decode_image` knows


def decode_image(
    msg: ImageMessage,
    *,
    max_pixels: int = MAX_PIXELS,
    significant_bits: int = 16,
    fallback: PixelConverter | None = None,
    watch: ImageWatch | None = None,
) -> RgbImage:
    """Turn a raw image message into RGB.

    Args:
        msg: any encoding of sensor_msgs/image_encodings.hpp that shows brightness or colour:
            8 and 16 bit RGB, BGR, RGBA, BGRA, mono and Bayer, 8UCn and 16UCn, YUV 4:2:2,
            NV12, NV21, NV24, and what `fallback` converts. Rows may be padded (`step`), the
            padding of the last row may be missing.
        max_pixels: larger images are refused before anything is allocated.
        significant_bits: bits that a camera fills in 16 bit encodings, 8..16. The eight
            highest of them are kept. Cameras that store 10 or 12 bits in the low end of the
            word look almost black with the default. Brightness is never stretched by what an
            image shows, because that flickers.
        fallback: asked for encodings that are not one of `ENCODINGS`.
        watch: shown the samples of 16 bit encodings.

    Returns:
        (H, W, 3) uint8, contiguous. Tight rgb8 shares the memory of `msg.data`.

    Raises:
        FrameError: the encoding is unknown, or size, step and data contradict each other.
    """
    _check_size(msg.width, msg.height, max_pixels)
    layout = _ENCODINGS.get(msg.encoding)
    if layout is None:
        return _converted(msg, fallback)
    for name, size, is_even in zip(
        ("width", "height"), (msg.width, msg.height), layout.even, strict=True
    ):
        if is_even and size % 2:
            raise FrameError(f"{msg.encoding} image of {name} {size}, expected an even {name}")
    rows = msg.height * layout.half_rows // 2
    pixels = _view(msg, f"u{layout.sample_bytes}", layout.channels, rows)
    if layout.sample_bytes == 2:
        pixels = _high_bits(pixels, significant_bits, watch)
    return np.ascontiguousarray(layout.to_rgb(_as_uint8(pixels)))


def decode_compressed(
    msg: CompressedImageMessage,
    *,
    max_pixels: int = MAX_PIXELS,
    significant_bits: int = 16,
    watch: ImageWatch | None = None,
) -> RgbImage:
    """Turn a compressed image message into RGB.

    Args:
        msg: JPEG, PNG, WebP or TIFF, grey or colour, 8 or 16 bit. The colour order is that of
            the file format. A rotation in EXIF data is ignored: calibration knows nothing of it.
            A JPEG may lack its end marker, but none of its pixels.
        max_pixels: larger images are refused before they are decoded.
        significant_bits: as of `decode_image`, for PNG of 16 bit.
        watch: shown the samples of PNG of 16 bit, and told of JPEGs without an end.

    Returns:
        (H, W, 3) uint8, contiguous.

    Raises:
        FrameError: depth; damaged or cut off; another format; too large.
    """
    if "compressedDepth" in msg.format:
        raise FrameError(
            f"compressed image of format {msg.format!r} holds depth, expected a colour image: "
            "subscribe to the camera's .../compressed topic"
        )
    data = bytes(msg.data)
    try:
        header = read_header(data)
    except FrameError as error:
        raise FrameError(f"{error}{_about_format(msg.format)}") from None
    _check_size(header.width, header.height, max_pixels)
    what = f"{header.kind} of {header.width}x{header.height} in {len(data)} bytes"
    to_rgb, flags = _BGR, cv2.IMREAD_COLOR
    source, _, target = msg.format.partition(";")
    # compressed_image_transport leaves a mosaic as it is unless it says that it made colour.
    if source.startswith("bayer_") and source in _ENCODINGS and "compressed bgr" not in target:
        to_rgb, flags = _ENCODINGS[source].to_rgb, cv2.IMREAD_GRAYSCALE
    if header.kind == "PNG":
        flags |= cv2.IMREAD_ANYDEPTH  # else OpenCV keeps the eight highest of 16 bits
    pixels = _decoded(data, header, flags | cv2.IMREAD_IGNORE_ORIENTATION, what, watch)
    if pixels.dtype == np.uint16:
        pixels = _high_bits(pixels, significant_bits, watch)
    return np.ascontiguousarray(to_rgb(_as_uint8(pixels)))


def _decoded(
    data: bytes, header: ImageHeader, flags: int, what: str, watch: ImageWatch | None
) -> npt.NDArray[Any]:
    try:
        if header.is_complete:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        elif header.kind == "JPEG" and (whole := decode_unended(data, flags)) is not None:
            pixels = whole
            if watch is not None:
                watch.see_unended_jpeg()
        else:
            raise FrameError(f"{what} is cut off")
    except cv2.error as error:
        raise FrameError(f"{what} cannot be decoded: {error}") from error
    if pixels is None:
        raise FrameError(f"{what} cannot be decoded, it is damaged or cut off")
    return pixels


def _about_format(form: str) -> str:
    """Say what to do about a format that is no file of an image, "" = nothing is known of it."""
    name = form.strip().partition(";")[0].strip().lower()
    if not name:
        return ""
    if any(codec in form.lower() for codec in _VIDEO_CODECS):
        return (
            f"; its format {form!r} is a stream of video: let image_transport's republish turn it "
            "into raw or compressed images, and subscribe to those"
        )
    if name in {encoding.lower() for encoding in _ENCODINGS} and form.strip().lower() == name:
        return (
            f"; its format {form!r} is one of raw pixels: publish them as sensor_msgs/Image, with "
            "image_transport: raw"
        )
    return f"; its format is {form!r}"


def _high_bits(
    words: npt.NDArray[Any], significant_bits: int, watch: ImageWatch | None
) -> npt.NDArray[Any]:
    if watch is not None:
        watch.see_words(words, significant_bits)
    return np.asarray(np.minimum(words >> (significant_bits - 8), 255))


def read_depth(
    msg: ImageMessage, *, max_pixels: int = MAX_PIXELS, max_depth_m: float | None = None
) -> DepthReading:
    """Turn a depth message into metres.

    Args:
        msg: 16UC1 or mono16 in millimetres, or 32FC1 in metres (REP 118).
        max_pixels: larger images are refused before anything is allocated.
        max_depth_m: as of `read_metres`.

    Returns:
        (H, W) float32 metres, > 0 or NaN; 0, 65535, negative and infinite values become NaN.

    Raises:
        FrameError: another encoding or unit, or size, step and data contradict each other.
    """
    _check_size(msg.width, msg.height, max_pixels)
    if msg.encoding not in ("16UC1", "mono16", "32FC1"):
        raise FrameError(f"depth encoding {msg.encoding!r}, expected 16UC1 or 32FC1")
    stored = _view(msg, "f4" if msg.encoding == "32FC1" else "u2", 1, msg.height)
    return read_metres(stored, msg.encoding, max_depth_m)


def decode_depth(msg: ImageMessage, *, max_pixels: int = MAX_PIXELS) -> DepthImage:
    """Turn a depth message into (H, W) metres, as `read_depth`, whatever its values."""
    return read_depth(msg, max_pixels=max_pixels).depth_m


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise FrameError(f"image of {width}x{height} pixels is empty")
    if width * height > max_pixels:
        raise FrameError(f"image of {width}x{height} pixels, expected at most {max_pixels} pixels")


def _view(msg: ImageMessage, sample: str, channels: int, rows: int) -> npt.NDArray[Any]:
    """Look at the samples of a message in place: (rows, W) or (rows, W, channels)."""
    dtype = np.dtype(sample).newbyteorder(">" if msg.is_bigendian else "<")
    pixel_bytes = dtype.itemsize * channels
    row_bytes = msg.width * pixel_bytes
    what = f"{msg.width}x{msg.height} {msg.encoding} image"
    if msg.step < row_bytes:
        raise FrameError(f"{what} has step {msg.step}, expected at least {row_bytes}")
    full, least = rows * msg.step, (rows - 1) * msg.step + row_bytes
    if not least <= len(msg.data) <= full:
        raise FrameError(f"{what} with step {msg.step} has {len(msg.data)} bytes, expected {full}")
    if channels == 1:
        return np.ndarray((rows, msg.width), dtype, msg.data, strides=(msg.step, pixel_bytes))
    shape, strides = (rows, msg.width, channels), (msg.step, pixel_bytes, dtype.itemsize)
    return np.ndarray(shape, dtype, msg.data, strides=strides)


def _converted(msg: ImageMessage, converter: PixelConverter | None) -> RgbImage:
    known = None if converter is None else converter.pixel_format(msg.encoding)
    rgb = None
    if converter is not None and known is not None:
        dtype, channels = known
        rgb = converter.to_rgb(_view(msg, dtype.str[1:], channels, msg.height), msg.encoding)
    if rgb is None:
        raise FrameError(
            f"encoding {msg.encoding!r} is not a camera image, expected one of "
            f"{', '.join(ENCODINGS)}"
        )
    return rgb


def _as_uint8(pixels: npt.NDArray[Any]) -> Pixels:
    return pixels.astype(np.uint8, copy=False)

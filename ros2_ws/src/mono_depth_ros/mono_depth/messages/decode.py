"""Messages of either transport, raw or compressed, to RGB and depth images."""

from __future__ import annotations

from typing import cast

from mono_depth.data import DepthImage, RgbImage
from mono_depth.messages.decode_compressed_depth import read_compressed_depth
from mono_depth.messages.decode_image import (
    MAX_PIXELS,
    PixelConverter,
    decode_compressed,
    decode_image,
    read_depth,
)
from mono_depth.messages.depth_reading import DepthReading
from mono_depth.messages.image_watch import ImageWatch
from mono_depth.messages.protocols import CompressedImageMessage, ImageMessage


def decode_rgb(
    msg: ImageMessage | CompressedImageMessage,
    *,
    max_pixels: int = MAX_PIXELS,
    significant_bits: int = 16,
    fallback: PixelConverter | None = None,
    watch: ImageWatch | None = None,
) -> RgbImage:
    """Turn a colour image message into (H, W, 3) uint8, as `decode_image` or `decode_compressed`.

    Raises:
        FrameError: the message cannot be used.
    """
    if hasattr(msg, "encoding"):
        return decode_image(
            cast("ImageMessage", msg),
            max_pixels=max_pixels,
            significant_bits=significant_bits,
            fallback=fallback,
            watch=watch,
        )
    return decode_compressed(
        msg, max_pixels=max_pixels, significant_bits=significant_bits, watch=watch
    )


def read_any_depth(
    msg: ImageMessage | CompressedImageMessage,
    *,
    max_pixels: int = MAX_PIXELS,
    max_depth_m: float | None = None,
) -> DepthReading:
    """Turn a depth message into (H, W) metres, as `read_depth` or `read_compressed_depth`.

    Raises:
        FrameError: the message cannot be used.
    """
    if hasattr(msg, "encoding"):
        raw = cast("ImageMessage", msg)
        return read_depth(raw, max_pixels=max_pixels, max_depth_m=max_depth_m)
    return read_compressed_depth(msg, max_pixels=max_pixels, max_depth_m=max_depth_m)


def decode_any_depth(
    msg: ImageMessage | CompressedImageMessage, *, max_pixels: int = MAX_PIXELS
) -> DepthImage:
    """Turn a depth message into (H, W) metres, as `read_any_depth`, whatever its values."""
    return read_any_depth(msg, max_pixels=max_pixels).depth_m

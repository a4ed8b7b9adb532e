"""Every encoding of a known image, padded, in both byte orders; and every malformed message."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from encoded_images import (
    ALL,
    BAYER,
    BLOCKS,
    COLOR_ORDER,
    MONO,
    YUV,
    as_rosbags_has_it,
    encoded,
    message,
    sample_bytes,
)
from mono_depth.errors import FrameError
from mono_depth.messages.decode_image import ENCODINGS, decode_image

LUMA = np.repeat(np.array([[[0], [1], [2]], [[100], [200], [255]]], np.uint8), 3, -1)
ORANGE = np.full((5, 7, 3), (200, 100, 50), np.uint8)  # no even number of cells

Maker = Callable[[SimpleNamespace], SimpleNamespace]


@pytest.fixture(params=[lambda msg: msg, as_rosbags_has_it], ids=["rclpy", "rosbags"])
def as_made(request: pytest.FixtureRequest) -> Maker:
    """Return a function that makes the data of a message that of a maker of messages."""
    maker: Maker = request.param
    return maker


def byte_orders(encodings: list[str]) -> list[tuple[str, bool]]:
    return [(e, big) for e in encodings for big in ((False, True) if "16" in e else (False,))]


def test_these_are_all_encodings() -> None:
    assert sorted(ALL) == sorted(ENCODINGS)
    assert len(ENCODINGS) == 31


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "big"), byte_orders(list(COLOR_ORDER)))
def test_color_is_exact(encoding: str, big: bool, padding: int, as_made: Maker) -> None:
    rgb = decode_image(as_made(encoded(encoding, BLOCKS, padding=padding, big=big)))
    np.testing.assert_array_equal(rgb, BLOCKS)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "big"), byte_orders(MONO))
def test_mono_has_three_equal_channels(
    encoding: str, big: bool, padding: int, as_made: Maker
) -> None:
    rgb = decode_image(as_made(encoded(encoding, LUMA, padding=padding, big=big)))
    np.testing.assert_array_equal(rgb, LUMA)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", YUV)
def test_yuv_is_right_within_its_rounding(encoding: str, padding: int, as_made: Maker) -> None:
    rgb = decode_image(as_made(encoded(encoding, BLOCKS, padding=padding)))
    np.testing.assert_allclose(rgb.astype(int), BLOCKS.astype(int), atol=3)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "big"), byte_orders(BAYER))
def test_bayer_gives_the_color_of_the_mosaic(
    encoding: str, big: bool, padding: int, as_made: Maker
) -> None:
    rgb = decode_image(as_made(encoded(encoding, ORANGE, padding=padding, big=big)))
    np.testing.assert_array_equal(rgb, ORANGE)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("encoding", ["bgr8", "mono16", "nv12", "nv24", "bayer_rggb8"])
def test_the_padding_of_the_last_row_may_be_missing(encoding: str, as_made: Maker) -> None:
    msg = encoded(encoding, BLOCKS, padding=4)
    expected = decode_image(msg).copy()
    del msg.data[-4:]
    np.testing.assert_array_equal(decode_image(as_made(msg)), expected)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "rgb16", "mono16"])
def test_one_pixel_is_an_image(encoding: str) -> None:
    channels = 1 if "mono" in encoding else 3
    row = sample_bytes(np.full(channels, 9, np.uint8), encoding, False)
    assert decode_image(message(encoding, 1, 1, [row])).tolist() == [[[9, 9, 9]]]


def test_an_8k_image_passes() -> None:
    msg = image(width=7680, height=4320, encoding="mono8", step=7680, data=bytes(7680 * 4320))
    assert decode_image(msg).shape == (4320, 7680, 3)


def test_tight_rgb8_is_not_copied(as_made: Maker) -> None:
    msg = as_made(encoded("rgb8", BLOCKS))
    assert np.shares_memory(decode_image(msg), np.frombuffer(msg.data, np.uint8))


def test_ten_bit_sensors_are_not_black() -> None:
    row = np.array([0, 512, 1023, 2000], "<u2").tobytes()  # the last one exceeds ten bits
    rgb = decode_image(message("mono16", 4, 1, [row]), significant_bits=10)
    assert rgb[0, :, 0].tolist() == [0, 128, 255, 255]


class FloatColor:
    """Knows 32FC3 as red, green and blue from 0 to 1, and 32FC2 by its name only."""

    def pixel_format(self, encoding: str) -> tuple[np.dtype[Any], int] | None:
        known = {"32FC3": 3, "32FC2": 2}
        return (np.dtype(np.float32), known[encoding]) if encoding in known else None

    def to_rgb(self, pixels: np.ndarray, encoding: str) -> np.ndarray | None:
        return np.rint(255 * pixels).astype(np.uint8) if encoding == "32FC3" else None


@pytest.mark.parametrize("big", [False, True])
def test_a_fallback_is_given_the_pixels_of_what_it_knows(big: bool, as_made: Maker) -> None:
    rows = [(row / 255.0).astype(">f4" if big else "<f4").tobytes() for row in BLOCKS]
    msg = as_made(message("32FC3", 6, 4, rows, padding=4, big=big))
    np.testing.assert_array_equal(decode_image(msg, fallback=FloatColor()), BLOCKS)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"encoding": "32FC2", "step": 16, "data": bytes(32)}, "'32FC2' is not a camera image"),
        ({"encoding": "8SC1", "step": 2, "data": bytes(4)}, "'8SC1' is not a camera image"),
        ({"encoding": "32FC3"}, "2x2 32FC3 image has step 6, expected at least 24"),
    ],
)
def test_what_a_fallback_cannot_convert_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(FrameError, match=text):
        decode_image(image(**changes), fallback=FloatColor())


def image(*, data: bytes = bytes(12), **changes: object) -> SimpleNamespace:
    """Return a correct 2x2 rgb8 image, but for the fields that are given."""
    fields: dict[str, object] = {"width": 2, "height": 2, "encoding": "rgb8", "step": 6}
    fields |= {"is_bigendian": 0, "data": array("B", data)}
    return SimpleNamespace(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": b""}, "has 0 bytes, expected 12"),
        ({"data": bytes(11)}, "2x2 rgb8 image with step 6 has 11 bytes, expected 12"),
        ({"data": bytes(13)}, "has 13 bytes, expected 12"),
        ({"step": 5}, "has step 5, expected at least 6"),
        ({"step": 0}, "has step 0, expected at least 6"),
        ({"width": 0}, "image of 0x2 pixels is empty"),
        ({"height": 0}, "image of 2x0 pixels is empty"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "expected at most 67108864 pixels"),
        ({"width": 2**16, "height": 2**16, "step": 3 * 2**16}, "expected at most 67108864 pixels"),
        ({"height": 2**24}, "has 12 bytes, expected 100663296"),
        ({"encoding": ""}, "encoding '' is not a camera image, expected one of rgb8"),
        ({"encoding": "RGB8"}, "encoding 'RGB8' is not a camera image"),
        (
            {"encoding": "32FC1", "step": 8, "data": bytes(16)},
            "'32FC1' is not a camera image",
        ),
        (
            {"encoding": "32FC3", "step": 24, "data": bytes(48)},
            "'32FC3' is not a camera image",
        ),
        (
            {"encoding": "16UC2", "step": 8, "data": bytes(16)},
            "'16UC2' is not a camera image",
        ),
        (
            {"encoding": "bayer_rggb8", "step": 2, "data": bytes(4)},
            "2x2 bayer_rggb8 image, a mosaic",
        ),
        ({"encoding": "yuyv", "width": 3}, "yuyv image of width 3, expected an even width"),
        ({"encoding": "nv12", "height": 3}, "nv12 image of height 3, expected an even height"),
        ({"encoding": "nv12", "step": 2, "data": bytes(4)}, "has 4 bytes, expected 6"),
        ({"encoding": "nv24", "step": 2, "data": bytes(6)}, "has 6 bytes, expected 12"),
        ({"encoding": "mono16", "step": 2}, "has step 2, expected at least 4"),
    ],
)
def test_malformed_images_are_refused(changes: dict[str, Any], text: str, as_made: Maker) -> None:
    with pytest.raises(FrameError) as error:
        decode_image(as_made(image(**changes)))
    assert text in str(error.value)


@pytest.mark.slow
def test_random_fields_give_an_image_or_a_frame_error(as_made: Maker) -> None:
    rng = np.random.default_rng(0)
    encodings = [*ALL, "32FC3", "8SC1", "jpeg"]
    decoded = 0
    for _ in range(3000):
        width, height = (int(n) for n in rng.integers(0, 9, 2))
        step = int(rng.integers(0, 30))
        msg = as_made(
            image(
                encoding=str(rng.choice(encodings)),
                is_bigendian=int(rng.integers(2)),
                width=width,
                height=height,
                step=step,
                data=bytes(int(height * step * rng.choice([1, 1, 1.5, 3, 0.9]))),
            )
        )
        try:
            rgb = decode_image(msg)
        except FrameError:
            continue
        assert rgb.shape == (height, width, 3)
        decoded += 1
    assert decoded > 300

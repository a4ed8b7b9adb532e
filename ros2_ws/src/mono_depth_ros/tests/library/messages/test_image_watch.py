"""Cameras that fill less than 16 bits are recognised after a while."""

from __future__ import annotations

from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from encoded_images import message
from mono_depth.messages.decode import decode_rgb
from mono_depth.messages.image_watch import ImageWatch


def grey16(brightest: int, *, big: bool = False) -> SimpleNamespace:
    pixels = np.linspace(0, brightest, 48).round().astype(">u2" if big else "<u2").reshape(6, 8)
    return message("mono16", 8, 6, [row.tobytes() for row in pixels], big=big)


def shown(watch: ImageWatch, msg: SimpleNamespace, times: int, *, bits: int = 16) -> ImageWatch:
    for _ in range(times):
        decode_rgb(msg, significant_bits=bits, watch=watch)
    return watch


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("brightest", "bits"), [(255, 8), (900, 10), (1023, 10), (4095, 12), (4096, 14), (16000, 14)]
)
def test_images_that_stay_below_a_power_of_two_look_like_fewer_bits(
    brightest: int, bits: int, big: bool
) -> None:
    watch = shown(ImageWatch(), grey16(brightest, big=big), 29)
    assert watch.doubt == ""
    assert shown(watch, grey16(brightest, big=big), 1).doubt == (
        f"images of 16 bits never exceed {2**bits - 1}: they look like {bits} bits; "
        f"set image.significant_bits: {bits}"
    )


@pytest.mark.parametrize("brightest", [0, 100, 20000, 65535])
def test_a_covered_lens_and_a_camera_of_16_bits_are_not_doubted(brightest: int) -> None:
    assert shown(ImageWatch(), grey16(brightest), 40).doubt == ""


def test_one_bright_image_among_dark_ones_tells_that_there_are_16_bits() -> None:
    watch = shown(ImageWatch(), grey16(4000), 40)
    assert shown(watch, grey16(40000), 1).doubt == ""
    assert shown(watch, grey16(4000), 40).doubt == ""


def test_once_the_bits_are_set_there_is_no_doubt() -> None:
    watch = shown(ImageWatch(), grey16(4000), 40)
    assert shown(watch, grey16(4000), 1, bits=12).doubt == ""


def test_a_compressed_image_of_16_bits_is_looked_at_too_and_one_of_8_bits_is_not() -> None:
    for kind, text in ((np.uint16, "look like 12 bits"), (np.uint8, "")):
        png = cv2.imencode(".png", np.full((4, 4), 4000 % (np.iinfo(kind).max + 1), kind))[1]
        packed = SimpleNamespace(format="mono16; png", data=array("B", png.tobytes()))
        assert text in shown(ImageWatch(), packed, 30).doubt

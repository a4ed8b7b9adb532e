"""A calibration that can be read, but is hardly that of its image, is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mono_depth.messages.camera_info_doubts import calibration_doubt

D = [-0.35, 0.1, 0.0, 0.0, 0.0]


def info(
    k: tuple[float, ...] = (300.0, 319.5, 239.5),
    p: tuple[float, ...] = (0.0, 0.0, 0.0),
    **changes: Any,
) -> SimpleNamespace:
    """Return a calibration with square pixels; K and P are (f, cx, cy)."""
    (fk, kx, ky), (fp, px, py) = k, p
    fields: dict[str, Any] = {
        "width": 640,
        "height": 480,
        "d": D,
        "k": [fk, 0.0, kx, 0.0, fk, ky, 0.0, 0.0, 1.0],
        "r": np.eye(3).ravel().tolist(),
        "p": [fp, 0.0, px, 0.0, 0.0, fp, py, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
    return SimpleNamespace(**{**fields, **changes})


def doubt(msg: SimpleNamespace, topic: str = "/camera/image_raw", *, rectify: bool = False) -> str:
    return calibration_doubt(msg, rectify=rectify, image_topic=topic)


def test_a_distorted_image_of_another_p_is_told_with_the_way_out() -> None:
    assert doubt(info(p=(210.0, 319.5, 239.5))) == (
        "/camera/image_raw may be distorted: camera_info has a distortion, and P (focal length "
        "210) is of another image than K (300); set rectify: true, or take the topic of the "
        "rectified image (image_rect)"
    )
    assert doubt(info(p=(300.0, 329.5, 239.5)), "/direct/image")  # another principal point


@pytest.mark.parametrize(
    ("changes", "topic", "rectify"),
    [
        ({}, "/camera/image_raw", True),
        ({}, "/camera/image_rect", False),
        ({}, "/camera/image_rect_color/compressed", False),
        ({}, "/rectified/image", False),
        ({"d": [0.0] * 5}, "/camera/image_raw", False),
        ({"d": []}, "/camera/image_raw", False),
        ({"k": info(k=(210.3, 319.5, 239.5)).k}, "/camera/image_raw", False),
        ({"p": [0.0] * 12}, "/camera/image_raw", False),
        ({"k": [0.0] * 9}, "/camera/image_raw", False),
    ],
)
def test_an_image_that_may_well_be_rectified_is_not_doubted(
    changes: dict[str, object], topic: str, rectify: bool
) -> None:
    msg = SimpleNamespace(**{**vars(info(p=(210.0, 319.5, 239.5))), **changes})
    assert doubt(msg, topic, rectify=rectify) == ""


@pytest.mark.parametrize(
    ("k", "size", "other"),
    [
        ((1040.0, 639.5, 479.5), (640, 480), "1280x960"),
        ((700.0, 639.5, 359.5), (640, 480), "1280x720"),
        ((260.0, 159.5, 119.5), (640, 480), "320x240"),
        ((500.0, 321.2, 235.0), (1920, 1080), "643x471"),
    ],
)
@pytest.mark.parametrize("rectify", [False, True])
def test_k_of_another_resolution_is_told_with_numbers(
    k: tuple[float, ...], size: tuple[int, int], other: str, rectify: bool
) -> None:
    width, height = size
    found = doubt(info(k=k, width=width, height=height), rectify=rectify)
    assert f"K of camera_info looks like that of {other} pixels, but the image has" in found
    assert f"the image has {width}x{height}: its principal point is {k[1]:.1f}" in found


def test_p_of_another_resolution_is_told_where_p_is_used() -> None:
    msg = info(p=(600.0, 639.5, 479.5), d=[0.0] * 5)
    assert "P of camera_info looks like that of 1280x960" in doubt(msg)
    half = info(k=(150.0, 159.5, 119.5), p=(300.0, 319.5, 239.5))
    assert "K of camera_info looks like that of 320x240" in doubt(half, rectify=True)


@pytest.mark.parametrize(
    ("k", "text"),
    [
        ((500.0, 700.0, 239.5), "principal point of K of camera_info, 700.0, 239.5, lies outside"),
        ((500.0, 0.0, 0.0), "looks like that of 1x1 pixels"),
        ((1.0, 319.5, 239.5), "has a focal length of 1 px for an image of 640x480"),
    ],
)
def test_numbers_of_no_camera_are_told(k: tuple[float, ...], text: str) -> None:
    assert text in doubt(info(k=k))


@pytest.mark.parametrize(
    ("k", "size"),
    [
        ((721.5, 609.6, 172.9), (1242, 375)),  # KITTI
        ((517.3, 318.6, 255.3), (640, 480)),  # TUM freiburg1
        ((286.0, 419.0, 402.0), (848, 800)),  # a fisheye lens
        ((500.0, 319.5, 120.0), (640, 480)),  # a crop
    ],
)
def test_calibrations_of_real_cameras_are_not_doubted(
    k: tuple[float, ...], size: tuple[int, int]
) -> None:
    assert doubt(info(k=k, width=size[0], height=size[1])) == ""


def test_a_region_of_interest_does_not_move_the_principal_point_of_the_sensor() -> None:
    roi = SimpleNamespace(x_offset=300, y_offset=0, width=100, height=100)
    assert doubt(info(roi=roi)) == ""

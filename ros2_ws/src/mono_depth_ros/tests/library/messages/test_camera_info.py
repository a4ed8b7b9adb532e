"""The camera of an image, from every kind of camera_info."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.messages.camera_info import calibration_from_info

TUM_D = [0.2624, -0.9531, -0.0054, 0.0026, 1.1633]
NAN = math.nan


def k_of(fx: float, fy: float, cx: float, cy: float) -> list[float]:
    return [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]


def p_of(fx: float, fy: float, cx: float, cy: float, tx: float = 0.0) -> list[float]:
    return [fx, 0.0, cx, tx, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]


K = k_of(517.3, 516.5, 318.6, 255.3)
P = p_of(500.0, 501.0, 320.0, 240.0)
SKEWED_K = [K[0], -0.966, *K[2:]]  # image_pipeline#682
Info = Callable[..., SimpleNamespace]


@pytest.fixture(params=["ROS 2", "ROS 1 of rosbags"])
def info(request: pytest.FixtureRequest) -> Info:
    """Return a function that makes messages: TUM freiburg1, but for the fields that are given."""

    def make(**changes: object) -> SimpleNamespace:
        fields: dict[str, Any] = {
            "width": 640,
            "height": 480,
            "distortion_model": "plumb_bob",
            "d": TUM_D,
            "k": k_of(517.3, 516.5, 318.6, 255.3),
            "r": np.eye(3).ravel().tolist(),
            "p": [0.0] * 12,
            "binning_x": 0,
            "binning_y": 0,
            "roi": region(),
        } | changes
        if request.param != "ROS 2":
            fields |= {name.upper(): np.array(fields.pop(name), np.float64) for name in "dkrp"}
        return SimpleNamespace(**fields)

    return make


def region(
    x_offset: int = 0, y_offset: int = 0, width: int = 0, height: int = 0
) -> SimpleNamespace:
    return SimpleNamespace(x_offset=x_offset, y_offset=y_offset, width=width, height=height)


def camera(fx: float, fy: float, cx: float, cy: float, width: int, height: int) -> Intrinsics:
    return Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)


def test_k_is_the_camera_where_p_is_zero(info: Info) -> None:
    calibration = calibration_from_info(info(), 640, 480)
    assert calibration is not None
    assert calibration.intrinsics == camera(517.3, 516.5, 318.6, 255.3, 640, 480)
    assert calibration.rectifier is None


def test_p_is_the_camera_of_a_rectified_image(info: Info) -> None:
    msg = info(p=p_of(500.0, 501.0, 320.0, 240.0, tx=-60.0))  # the right camera of a stereo pair
    calibration = calibration_from_info(msg, 640, 480)
    assert calibration is not None
    assert calibration.intrinsics == camera(500.0, 501.0, 320.0, 240.0, 640, 480)


def test_an_uncalibrated_camera_has_no_calibration(info: Info) -> None:
    msg = info(width=0, height=0, distortion_model="", d=[], k=[0.0] * 9, r=[0.0] * 9)
    assert calibration_from_info(msg, 640, 480) is None
    assert calibration_from_info(msg, 640, 480, rectify=True) is None


def test_binning_keeps_pixel_edges_in_place(info: Info) -> None:
    calibration = calibration_from_info(info(binning_x=2, binning_y=4), 320, 120)
    assert calibration is not None
    # The centre of the first bin of 2 pixels is column 0.5 of the sensor.
    assert calibration.intrinsics == camera(
        258.65, 129.125, (318.6 - 0.5) / 2, (255.3 - 1.5) / 4, 320, 120
    )


def test_a_region_of_interest_moves_the_principal_point(info: Info) -> None:
    roi = region(x_offset=100, y_offset=50, width=200, height=300)
    msg = info(roi=roi, p=p_of(500.0, 501.0, 320.0, 240.0))
    calibration = calibration_from_info(msg, 200, 300)
    assert calibration is not None
    assert calibration.intrinsics == camera(500.0, 501.0, 220.0, 190.0, 200, 300)


def test_region_and_binning_see_the_same_rays_as_the_whole_sensor(info: Info) -> None:
    roi = region(x_offset=100, y_offset=50, width=200, height=300)
    whole = calibration_from_info(info(), 640, 480)
    part = calibration_from_info(info(roi=roi, binning_x=2, binning_y=2), 100, 150)
    assert whole is not None
    assert part is not None
    # Pixel 10 of the part covers sensor columns 120 and 121, so its centre is 120.5.
    part_x = (10 - part.intrinsics.cx) / part.intrinsics.fx
    whole_x = (120.5 - whole.intrinsics.cx) / whole.intrinsics.fx
    assert part_x == pytest.approx(whole_x, abs=1e-12)


@pytest.mark.parametrize(
    ("model", "d"),
    [
        ("plumb_bob", TUM_D),
        ("plumb_bob", TUM_D[:4]),
        ("plumb_bob", [*TUM_D, 0.0, 0.0, 0.0]),
        ("plumb_bob", [0.4, -0.2, 1e-3, -5e-4, 0.03, 0.7, -0.2, 0.05]),
        ("rational_polynomial", [0.4, -0.2, 1e-3, -5e-4, 0.03, 0.7, -0.2, 0.05]),
        ("rational_polynomial", [0.4, -0.2, 1e-3, -5e-4, 0.03, 0.7, -0.2, 0.05, *[0.001] * 4]),
        ("rational_polynomial", [0.4, -0.2, 1e-3, -5e-4, 0.03, 0.7, -0.2, 0.05, *[0.001] * 6]),
        ("rational_polynomial", TUM_D),
        ("equidistant", [0.05, -0.02, 0.004, -0.001, 0.0]),
        ("equidistant", [0.05, -0.02, 0.004, -0.001]),
        ("fisheye", [0.05, -0.02, 0.004, -0.001]),
    ],
)
def test_every_known_lens_is_rectified(model: str, d: list[float], info: Info) -> None:
    calibration = calibration_from_info(info(distortion_model=model, d=d), 640, 480, rectify=True)
    assert calibration is not None
    assert calibration.rectifier is not None
    assert calibration.rectifier.intrinsics == calibration.intrinsics
    rgb = calibration.rectifier.apply(np.full((480, 640, 3), 90, np.uint8))
    assert rgb[240, 320].tolist() == [90, 90, 90]


@pytest.mark.parametrize(
    ("model", "d"),
    [("", []), ("none", []), ("", [0.0] * 5), ("plumb_bob", []), ("plumb_bob", [0.0] * 5)],
)
def test_no_distortion_needs_no_rectifier(model: str, d: list[float], info: Info) -> None:
    calibration = calibration_from_info(info(distortion_model=model, d=d), 640, 480, rectify=True)
    assert calibration is not None
    assert calibration.rectifier is None


def test_another_p_needs_a_rectifier_even_without_distortion(info: Info) -> None:
    msg = info(d=[0.0] * 5, p=p_of(258.65, 258.25, 318.6, 255.3))
    calibration = calibration_from_info(msg, 640, 480, rectify=True)
    assert calibration is not None
    assert calibration.rectifier is not None
    marked = np.zeros((480, 640, 3), np.uint8)
    marked[250:261, 410:431] = 255  # centre (420, 255)
    columns = np.nonzero(calibration.rectifier.apply(marked)[255, :, 0] > 127)[0]
    # Half the focal length: half as far from the principal point.
    assert columns.mean() == pytest.approx(318.6 + (420 - 318.6) / 2, abs=0.5)


def test_the_maps_are_computed_once_for_a_camera(info: Info) -> None:
    first = calibration_from_info(info(), 640, 480, rectify=True)
    second = calibration_from_info(info(), 640, 480, rectify=True)
    assert first is not None
    assert second is not None
    assert first.rectifier is second.rectifier


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"k": k_of(NAN, 516.5, 318.6, 255.3)}, "K of camera_info is not finite"),
        ({"k": k_of(517.3, 516.5, math.inf, 255.3)}, "K of camera_info is not finite"),
        ({"k": k_of(-517.3, 516.5, 318.6, 255.3)}, "fx, fy, skew = -517.3, 516.5, 0, expected > 0"),
        ({"k": k_of(517.3, 0.0, 318.6, 255.3)}, "fx, fy, skew = 517.3, 0, 0"),
        (
            {"k": [517.3, 200.0, *K[2:]]},
            "skew = 517.3, 516.5, 200, expected > 0, > 0, at most 0.05",
        ),
        ({"p": p_of(NAN, 501.0, 320.0, 240.0)}, "P of camera_info is not finite"),
        ({"p": p_of(500.0, -501.0, 320.0, 240.0)}, "P of camera_info has fx, fy, skew = 500, -501"),
        ({"width": 1280, "height": 720}, "image of 640x480, but camera_info is for 1280x720"),
        ({"width": 0, "height": 0}, "image of 640x480, but camera_info is for 0x0"),
        ({"binning_x": 2, "binning_y": 2}, "image of 640x480, but camera_info is for 320x240"),
        (
            {"roi": region(width=320, height=240)},
            r"is for 320x240 \(640x480, region 320x240, binning 1x1\)",
        ),
        (
            {"roi": region(x_offset=400, width=320, height=240)},
            "region of interest 320x240 at 400, 0 leaves the 640x480 image",
        ),
        (
            {"distortion_model": "omni"},
            "distortion model 'omni' of camera_info, expected one of plumb",
        ),
        ({"distortion_model": ""}, "distortion model '' of camera_info"),
        ({"d": [0.1, 0.2, 0.3]}, "D of camera_info has 3 numbers, plumb_bob has 4, 5, 8, 12 or 14"),
        ({"distortion_model": "equidistant"}, "has 5 numbers, equidistant has 4"),
        ({"d": [0.1, NAN, 0.0, 0.0, 0.0]}, "D of camera_info is not finite"),
        ({"r": [2.0] * 9}, "R of camera_info is not a rotation"),
    ],
)
def test_an_impossible_calibration_is_refused(
    changes: dict[str, object], text: str, info: Info
) -> None:
    with pytest.raises(FrameError, match=text):
        calibration_from_info(info(**changes), 640, 480, rectify=True)


def test_the_lens_of_a_rectified_image_does_not_matter(info: Info) -> None:
    assert calibration_from_info(info(distortion_model="omni"), 640, 480) is not None


def test_where_p_is_given_a_rectified_image_asks_nothing_of_k(info: Info) -> None:
    for k in ([0.0] * 9, SKEWED_K, [K[0], 400.0, *K[2:]], [NAN] * 9):
        calibration = calibration_from_info(info(k=k, p=P), 640, 480)
        assert calibration is not None
        assert calibration.intrinsics == camera(500.0, 501.0, 320.0, 240.0, 640, 480)


def test_to_rectify_an_image_k_is_needed_even_where_p_is_given(info: Info) -> None:
    assert calibration_from_info(info(k=[0.0] * 9, p=P), 640, 480, rectify=True) is None


def test_a_small_skew_of_p_or_of_k_alone_does_not_matter_to_a_rectified_image(info: Info) -> None:
    for changes in ({"p": [500.0, -0.966, *P[2:]]}, {"k": SKEWED_K}):
        assert calibration_from_info(info(**changes), 640, 480) is not None
    with pytest.raises(FrameError, match="skew = 500, 501, 9, expected"):
        calibration_from_info(info(p=[500.0, 9.0, *P[2:]]), 640, 480)


@pytest.mark.parametrize(
    ("model", "d"), [("fisheye", [0.05, -0.02, 0.004, -0.001]), ("plumb_bob", TUM_D), ("", [])]
)
def test_the_skew_of_k_is_taken_out_of_the_image(model: str, d: list[float], info: Info) -> None:
    skewed = info(distortion_model=model, d=d, k=[K[0], 10.0, *K[2:]], p=P)
    plain = info(distortion_model=model, d=d, p=P)
    columns = np.tile(np.arange(640, dtype=np.float32), (480, 1))
    rows = np.tile(np.arange(480, dtype=np.float32)[:, None], (1, 640))
    sheared, straight = (
        calibration_from_info(msg, 640, 480, rectify=True) for msg in (skewed, plain)
    )
    assert sheared is not None
    assert sheared.rectifier is not None
    assert straight is not None
    assert straight.rectifier is not None
    inside = np.s_[60:-60, 60:-60]
    raw_rows = straight.rectifier.apply_to_depth(rows)[inside]
    moved = (
        sheared.rectifier.apply_to_depth(columns) - straight.rectifier.apply_to_depth(columns)
    )[inside]
    # u = fx x + skew y + cx, and y = (v - cy) / fy
    np.testing.assert_allclose(moved, 10.0 * (raw_rows - K[5]) / K[4], atol=1.1)

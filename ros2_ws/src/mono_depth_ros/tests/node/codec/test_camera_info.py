"""camera_info messages of ROS, made and read back."""

from __future__ import annotations

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.messages.camera_info import calibration_from_info
from mono_depth_ros.codec.camera_info import camera_info_from, camera_info_like
from written_bags import Messages

pytestmark = pytest.mark.ros

TUM_K = [517.3, 0.0, 318.6, 0.0, 516.5, 255.3, 0.0, 0.0, 1.0]
LENSES = [
    ("plumb_bob", [0.2624, -0.9531, -0.0054, 0.0026, 1.1633]),
    ("rational_polynomial", [0.4, -0.2, 1e-3, -5e-4, 0.03, 0.7, -0.2, 0.05]),
    ("equidistant", [0.05, -0.02, 0.004, -0.001]),
    ("fisheye", [0.05, -0.02, 0.004, -0.001]),
]


def info(**changes: object) -> CameraInfo:
    """Return the calibration of TUM freiburg1, but for the fields that are given."""
    fields: dict[str, object] = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": LENSES[0][1],
        "k": TUM_K,
        "r": np.eye(3).ravel().tolist(),
    }
    return CameraInfo(**{**fields, **changes})


@pytest.mark.parametrize(("model", "d"), LENSES)
def test_every_lens_of_ros_is_read(model: str, d: list[float]) -> None:
    calibration = calibration_from_info(info(distortion_model=model, d=d), 640, 480, rectify=True)
    assert calibration is not None
    assert calibration.rectifier is not None
    assert calibration.intrinsics.fx == 517.3


def test_an_empty_camera_info_is_that_of_an_uncalibrated_camera() -> None:
    assert calibration_from_info(CameraInfo(), 640, 480) is None
    assert calibration_from_info(CameraInfo(), 640, 480, rectify=True) is None


def test_the_maps_are_computed_once_whatever_the_header_says() -> None:
    first = calibration_from_info(info(header=Header(frame_id="a")), 640, 480, rectify=True)
    second = calibration_from_info(info(header=Header(frame_id="b")), 640, 480, rectify=True)
    assert first is not None
    assert second is not None
    assert first.rectifier is second.rectifier


def test_region_and_binning_are_read() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=50, width=200, height=300)
    calibration = calibration_from_info(info(roi=roi, binning_x=2, binning_y=2), 100, 150)
    assert calibration is not None
    assert (calibration.intrinsics.width, calibration.intrinsics.fx) == (100, 517.3 / 2)
    outside = RegionOfInterest(x_offset=500, width=200, height=300)
    with pytest.raises(FrameError, match="region of interest 200x300 at 500, 0 leaves the 640x480"):
        calibration_from_info(info(roi=outside), 200, 300)


def test_a_camera_info_of_another_package_is_made_one_of_ros() -> None:
    pytest.importorskip("rosbags", reason="the package rosbags makes these messages")
    for ros1 in (False, True):
        make = Messages(ros1=ros1)
        stored = make.info(640, 480, distortion_model="plumb_bob", d=LENSES[0][1], k=TUM_K)
        stored.roi.x_offset, stored.roi.width, stored.binning_x = 8, 320, 2
        msg = camera_info_like(stored)
        assert (msg.width, msg.height, msg.distortion_model) == (640, 480, "plumb_bob")
        assert list(msg.d) == LENSES[0][1]
        assert list(msg.k) == TUM_K
        assert (msg.roi.x_offset, msg.roi.width, msg.binning_x) == (8, 320, 2)
        assert calibration_from_info(msg, 160, 480, rectify=True) == calibration_from_info(
            stored, 160, 480, rectify=True
        )


def test_camera_info_of_the_output_says_what_the_pixels_are() -> None:
    header = Header(frame_id="camera_optical")
    header.stamp.sec, header.stamp.nanosec = 12, 345
    intrinsics = Intrinsics(width=640, height=480, fx=500.0, fy=501.0, cx=320.0, cy=240.0)
    msg = camera_info_from(intrinsics, header)
    assert msg.header == header
    assert (msg.width, msg.height, msg.distortion_model) == (640, 480, "plumb_bob")
    assert list(msg.d) == [0.0] * 5
    assert list(msg.k) == [500.0, 0.0, 320.0, 0.0, 501.0, 240.0, 0.0, 0.0, 1.0]
    assert list(msg.r) == np.eye(3).ravel().tolist()
    assert list(msg.p) == [500.0, 0.0, 320.0, 0.0, 0.0, 501.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    back = calibration_from_info(msg, 640, 480, rectify=True)
    assert back is not None
    assert back.intrinsics == intrinsics
    assert back.rectifier is None

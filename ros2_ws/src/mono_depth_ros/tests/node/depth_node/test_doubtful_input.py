"""Images that can be read, but whose depth would be wrong, are told: in the log and as WARN."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros

GREY = np.linspace(200, 4000, 48).round().astype(np.uint16).reshape(6, 8)
IMAGE = np.dstack([np.arange(100, 148, dtype=np.uint8).reshape(6, 8)] * 3)


def grey16(bench) -> Image:
    return bench.image(IMAGE, encoding="mono16", step=16, data=GREY.tobytes())


def test_images_of_12_bits_in_16_are_told_and_right_once_the_bits_are_set(depth_bench):
    bench = depth_bench()
    bench.calibrate()
    bench.listen("depth/image")
    for _ in range(30):
        sent = grey16(bench)
        bench.process(sent)
    said = "images of 16 bits never exceed 4095: they look like 12 bits; set image.significant_bits"
    bench.wait_for_log(said)
    bench.wait_for_status(DiagnosticStatus.WARN, said)
    dark = np.frombuffer(bench.output("depth/image", sent).data, np.float32)

    assert bench.set_parameters(**{"image.significant_bits": 12}) == ""
    sent = grey16(bench)
    bench.process(sent)
    right = np.frombuffer(bench.output("depth/image", sent).data, np.float32)

    np.testing.assert_allclose(right, (GREY.reshape(-1) >> 4) / 25, atol=0.05)
    assert np.nanmax(dark) < 0.1 * np.nanmax(right)
    bench.wait_for_status(DiagnosticStatus.OK, "running", since=len(bench.diagnostics))
    assert len(bench.log_lines(said)) == 1


def test_a_distorted_image_while_rectify_is_off_is_told_once(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    other = [7.0, 0.0, 3.5, 0.0, 0.0, 7.0, 2.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    for _ in range(3):
        bench.calibrate(d=[-0.35, 0.1, 0.0, 0.0, 0.0], p=other)
        bench.process(bench.image(IMAGE))
    said = "/image may be distorted: camera_info has a distortion, and P (focal length 7)"
    bench.wait_for_log(said)
    bench.wait_for_status(DiagnosticStatus.WARN, said)
    assert len(bench.log_lines(said)) == 1

    bench.calibrate()
    bench.process(bench.image(IMAGE))
    bench.wait_for_status(DiagnosticStatus.OK, "running", since=len(bench.diagnostics))


def test_k_of_another_resolution_is_told(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate(k=[20.0, 0.0, 7.5, 0.0, 20.0, 5.5, 0.0, 0.0, 1.0], p=[0.0] * 12)
    bench.process(bench.image(IMAGE))
    bench.wait_for_status(
        DiagnosticStatus.WARN, "K of camera_info looks like that of 16x12 pixels, but the image has"
    )


def test_p_is_enough_for_a_rectified_image_where_k_is_zero(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate(k=[0.0] * 9)
    sent = bench.image(IMAGE)
    bench.process(sent)
    assert not np.isnan(np.frombuffer(bench.output("depth/image", sent).data, np.float32)).any()

"""Bad input of a node with other parameters than `test_bad_input` has, and many bad frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image

pytestmark = pytest.mark.ros

# tiny_fickle makes (R - 50) / 25 metres: 2 m in the left half, 5 m in the right one.
GOOD = np.full((6, 8, 3), 100, np.uint8)
GOOD[:, 4:] = 175
NAN = float("nan")


def depth_of(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def assert_two_walls(depth_m: np.ndarray) -> None:
    np.testing.assert_allclose(depth_m[:, :4], 2.0, rtol=1e-3)
    np.testing.assert_allclose(depth_m[:, 4:], 5.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("calibration", "cause"),
    [
        ({"distortion_model": "fancy", "d": [0.1]}, "distortion model 'fancy' of camera_info"),
        ({"d": [0.1] * 3}, "D of camera_info has 3 numbers, plumb_bob has 4, 5, 8, 12 or 14"),
        ({"d": [NAN] * 5}, "D of camera_info is not finite"),
        ({"d": [0.1] * 5, "r": [1.0] * 9}, "R of camera_info is not a rotation"),
    ],
)
def test_a_lens_that_cannot_be_corrected_is_told(depth_bench, calibration, cause):
    bench = depth_bench(model="tiny_fickle", rectify=True)
    bench.listen("depth/image")
    bench.calibrate(**calibration)

    assert cause in bench.process(bench.image(GOOD)).last_skip

    bench.calibrate()
    good = bench.image(GOOD)
    bench.process(good)
    assert_two_walls(depth_of(bench.output("depth/image", good)))
    assert len(bench.heard["depth/image"]) == 1


def jpeg() -> bytes:
    return bytes(cv2.imencode(".jpg", GOOD, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes())


def png() -> bytes:
    return bytes(cv2.imencode(".png", GOOD)[1].tobytes())


def with_size(data: bytes, side: int) -> bytes:
    """Forge the size in the header of a JPEG."""
    at = data.index(b"\xff\xc0") + 5  # start of frame: length, precision, height, width
    return data[:at] + side.to_bytes(2, "big") * 2 + data[at + 4 :]


def test_damaged_compressed_images_are_skipped_with_their_cause(depth_bench):
    bench = depth_bench(model="tiny_fickle", image_transport="compressed")
    bench.listen("depth/image")
    bench.calibrate()
    damaged = {
        "0 bytes": b"",
        "garbage": bytes(range(256)),
        "text": b"<html>404 not found</html>",
        "first half of a JPEG": jpeg()[: len(jpeg()) // 2],
        "JPEG without its end": jpeg()[:-20],
        "first half of a PNG": png()[: len(png()) // 2],
        "header of a JPEG": jpeg()[:2],
        "JPEG of 65535x65535": with_size(jpeg(), 65535),
        "JPEG of 0x0": with_size(jpeg(), 0),
    }

    def message(data: bytes) -> CompressedImage:
        message = CompressedImage(format="jpeg", header=bench.image(GOOD).header)
        message.data.frombytes(data)
        return message

    for count, (name, data) in enumerate(damaged.items(), start=1):
        stats = bench.process(message(data))
        assert (stats.received, stats.skipped) == (count, count), name
        assert bench.wait_for_cause(stats.last_skip).startswith("frame skipped: "), name
    assert bench.log_lines("65535x65535 pixels, expected at most")

    good = message(png())
    assert bench.process(good).published == 1
    assert_two_walls(depth_of(bench.output("depth/image", good)))
    assert len(bench.heard["depth/image"]) == 1


def test_the_same_cause_is_logged_once_in_a_while_not_for_every_frame(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()

    for height in (1, 2, 3, 4, 5):
        bench.process(bench.image(GOOD, height=height))
    bench.process(bench.image(GOOD, encoding="later"))

    bench.wait_for_log("encoding 'later' is not a camera image")
    lines = bench.log_lines("has 144 bytes")
    assert lines == ["frame skipped: 8x1 rgb8 image with step 24 has 144 bytes, expected 24"]


@pytest.mark.parametrize("mode", ["none", "static"])
def test_a_frame_with_holes_leaves_no_holes_in_the_next(depth_bench, mode):
    bench = depth_bench(model="tiny_fickle", **{"temporal.mode": mode})
    bench.listen("depth/image")
    bench.calibrate()
    holed = GOOD.copy()
    holed[:3, :, 1] = 250  # NaN
    holed[3, :, 2] = 250  # Inf
    holed[4, :, 0] = 10  # negative

    bench.process(bench.image(GOOD))
    with_holes = bench.image(holed)
    bench.process(with_holes)
    after = bench.image(GOOD)
    bench.process(after)

    holes = depth_of(bench.output("depth/image", with_holes))
    assert np.isnan(holes[:5]).all()
    assert_two_walls(holes[5:])
    assert_two_walls(depth_of(bench.output("depth/image", after)))


def test_mostly_unknown_depth_is_warned_of(depth_bench):
    bench = depth_bench(model="tiny_fickle")
    bench.listen("depth/image")
    bench.calibrate()
    holed = GOOD.copy()
    holed[:4, :, 1] = 250  # NaN in two thirds

    bench.process(bench.image(holed))

    bench.wait_for_status(DiagnosticStatus.WARN, "67 % of the pixels have no depth")

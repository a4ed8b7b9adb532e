"""Whatever a camera sends: a defined result, or a counted rejection that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros

# tiny_fickle makes (R - 50) / 25 metres: 2 m in the left half, 5 m in the right one.
HALVES = np.full((6, 8), 100, np.uint8)
HALVES[:, 4:] = 175
GOOD = np.dstack([HALVES] * 3)
EIGHT_K = HALVES.repeat(720, axis=0).repeat(960, axis=1)  # 7680x4320

COLOR = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "8UC3": 3, "8UC4": 4}
DEEP_COLOR = {"rgb16": 3, "bgr16": 3, "rgba16": 4, "bgra16": 4, "16UC3": 3, "16UC4": 4}
MONO = ["mono8", "8UC1", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"]
DEEP_MONO = ["mono16", "16UC1", "bayer_rggb16", "bayer_bggr16", "bayer_gbrg16", "bayer_grbg16"]
YUV = ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"]
ENCODINGS = [*COLOR, *MONO, *YUV, *DEEP_COLOR, *DEEP_MONO]
CASES = [
    pytest.param(encoding, big, padding, id=f"{encoding} {'big' * big} {padding or ''}".strip())
    for encoding in ENCODINGS
    for big in ((False, True) if "16" in encoding else (False,))
    for padding in (0, 6)
]


@pytest.fixture(scope="module")
def module_bench(shared_depth_bench):
    """A node of its own for this module."""
    bench = shared_depth_bench(model="tiny_fickle")
    bench.listen("depth/image", "relative/image")
    return bench


@pytest.fixture
def bench(module_bench):
    """The node with a calibrated camera that works; `heard` is empty, and nothing is under way."""
    if module_bench.calibration != {"width": 8, "height": 6}:
        module_bench.calibrate()
    good = module_bench.image(GOOD)
    module_bench.process(good)
    for topic, heard in module_bench.heard.items():
        module_bench.output(topic, good)  # the last of all
        heard.clear()
    return module_bench


def rows_of(grey: np.ndarray, encoding: str, *, big: bool) -> list[bytes]:
    """Write a grey image row by row."""
    channels = {**COLOR, **DEEP_COLOR}.get(encoding, 1)
    if "16" in encoding:
        samples = grey.repeat(channels, axis=1).astype(np.uint16) * 256
        return [row.astype(">u2" if big else "<u2").tobytes() for row in samples]
    if encoding not in YUV:
        return [row.tobytes() for row in grey.repeat(channels, axis=1)]
    luma = np.rint(16 + 219 / 255 * grey).astype(np.uint8)
    no_color = np.full_like(luma, 128)
    if encoding in ("uyvy", "yuv422"):
        return [row.tobytes() for row in np.stack((no_color, luma), -1)]
    if encoding in ("yuyv", "yuv422_yuy2"):
        return [row.tobytes() for row in np.stack((luma, no_color), -1)]
    chroma = np.stack((no_color, no_color), -1)
    chroma = chroma if encoding == "nv24" else chroma[::2, ::2]
    return [row.tobytes() for row in (*luma, *chroma)]


def encoded(bench, grey: np.ndarray, encoding: str, *, big: bool = False, padding: int = 0):
    """Make a stamped message of a grey image."""
    message = bench.image(GOOD)
    message.height, message.width = grey.shape
    message.encoding, message.is_bigendian = encoding, int(big)
    rows = rows_of(grey, encoding, big=big)
    row_bytes = min(map(len, rows))
    message.step = row_bytes + padding
    message.data = b"".join(row + b"\xaa" * (padding * len(row) // row_bytes) for row in rows)
    return message


def depth_of(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def assert_two_walls(depth_m: np.ndarray) -> None:
    """Check 2 m on the left and 5 m on the right, within the rounding of YUV."""
    width = depth_m.shape[1]
    left, right = depth_m[:, : width * 3 // 8], depth_m[:, -width * 3 // 8 :]
    np.testing.assert_allclose(left, 2.0, atol=0.13)
    np.testing.assert_allclose(right, 5.0, atol=0.13)


def assert_good_frame_is_next(bench) -> None:
    """Check that a good frame comes through, and nothing came before it."""
    good = bench.image(GOOD)
    bench.process(good)
    assert_two_walls(depth_of(bench.output("depth/image", good)))
    bench.output("relative/image", good)
    assert [len(heard) for heard in bench.heard.values()] == [1, 1]


def assert_rejected(bench, bad: Any, cause: str) -> None:
    """Check that a frame is counted as skipped, its cause told, and the next one works."""
    before = bench.node.stats

    after = bench.process(bad)

    assert cause in after.last_skip
    assert after.received == before.received + 1
    assert (after.published, after.dropped) == (before.published, before.dropped)
    assert after.skipped == before.skipped + 1
    assert_good_frame_is_next(bench)
    assert bench.wait_for_cause(cause).startswith("frame skipped: ")


# E2.1, encodings


@pytest.mark.parametrize(("encoding", "big", "padding"), CASES)
def test_every_encoding_gives_the_same_depth(bench, encoding, big, padding):
    sent = encoded(bench, HALVES, encoding, big=big, padding=padding)

    bench.process(sent)

    assert_two_walls(depth_of(bench.output("depth/image", sent)))


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "bayer_rggb8"])
def test_an_odd_size_is_no_problem_without_shared_chroma(bench, encoding):
    bench.calibrate(7, 5)
    sent = encoded(bench, HALVES[:5, :7], encoding)

    bench.process(sent)

    depth_m = depth_of(bench.output("depth/image", sent))
    assert depth_m.shape == (5, 7)
    np.testing.assert_allclose(depth_m[:, 0], 2.0, atol=0.13)
    np.testing.assert_allclose(depth_m[:, -1], 5.0, atol=0.13)


@pytest.mark.parametrize(("width", "height"), [(8, 5), (7, 6), (7, 5)])
@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_an_odd_size_is_refused_where_pixels_share_chroma(bench, encoding, width, height):
    bad = encoded(bench, HALVES[:height, :width], encoding)

    assert_rejected(bench, bad, "expected an even")


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "rgb16"])
def test_one_pixel_says_nothing(bench, encoding):
    bench.calibrate(1, 1)
    bad = encoded(bench, HALVES[:1, :1], encoding)
    before = bench.node.stats

    after = bench.process(bad)

    assert (after.published, after.skipped) == (before.published, before.skipped + 1)
    assert after.last_skip == "the network gave the constant 2"
    bench.calibrate()
    assert_good_frame_is_next(bench)


def test_8k_is_within_the_limits(bench):
    bench.calibrate(7680, 4320)
    sent = encoded(bench, EIGHT_K, "mono8")

    bench.process(sent)

    output = bench.output("depth/image", sent)
    assert (output.width, output.height) == (7680, 4320)
    assert_two_walls(depth_of(output)[::720, ::960])


# E2.2, malformed messages


def changed(**changes: Any) -> Callable[[Any], Image]:
    return lambda bench: bench.image(GOOD, **changes)


def without_frame(bench) -> Image:
    message = bench.image(GOOD)
    message.header.frame_id = ""
    return message


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (changed(data=b""), "has 0 bytes, expected 144"),
        (changed(data=b"\0" * 143), "has 143 bytes, expected 144"),
        (changed(data=b"\0" * 145), "has 145 bytes, expected 144"),
        (changed(step=23), "has step 23, expected at least 24"),
        (changed(step=0), "has step 0, expected at least 24"),
        (changed(step=2**32 - 1), "has 144 bytes, expected"),
        (changed(width=0), "image of 0x6 pixels is empty"),
        (changed(height=0), "image of 8x0 pixels is empty"),
        (changed(width=2**32 - 1, height=2**32 - 1), "expected at most 64000000 pixels"),
        (changed(width=65536, height=65536), "expected at most 64000000 pixels"),
        (changed(height=5), "has 144 bytes, expected 120"),
        (changed(encoding="no such"), "encoding 'no such' is not a camera image"),
        (changed(encoding=""), "encoding '' is not a camera image"),
        (
            changed(encoding="32FC1", step=32, data=b"\0" * 192),
            "encoding '32FC1' is not a camera image",
        ),
        (without_frame, "header.frame_id is empty"),
    ],
)
def test_a_malformed_image_is_skipped_with_its_cause(bench, make, cause):
    assert_rejected(bench, make(bench), cause)


NAN = float("nan")
NO_P = [0.0] * 12  # then K is used


@pytest.mark.parametrize(
    ("calibration", "cause"),
    [
        ({"k": [NAN] * 9, "p": NO_P}, "K of camera_info is not finite"),
        (
            {"k": [10.0, 0.0, 3.5, 0.0, NAN, 2.5, 0.0, 0.0, 1.0], "p": NO_P},
            "K of camera_info is not finite",
        ),
        ({"p": [NAN] * 12}, "P of camera_info is not finite"),
        ({"p": [-10.0, 0.0, 3.5, 0.0] + [0.0] * 8}, "P of camera_info has fx, fy, skew = -10, 0"),
        ({"width": 640, "height": 480}, "image of 8x6, but camera_info is for 640x480"),
        ({"width": 0, "height": 0}, "image of 8x6, but camera_info is for 0x0"),
        ({"binning_x": 2}, "image of 8x6, but camera_info is for 4x6"),
        ({"binning_x": 2**32 - 1}, "image of 8x6, but camera_info is for 0x6"),
    ],
)
def test_a_wrong_calibration_is_told_and_a_good_one_mends_it(bench, calibration, cause):
    bench.calibrate(**calibration)
    before = bench.node.stats

    after = bench.process(bench.image(GOOD))

    assert (after.published, after.skipped) == (before.published, before.skipped + 1)
    assert cause in after.last_skip
    bench.wait_for_cause(cause)
    bench.calibrate()
    assert_good_frame_is_next(bench)


def test_a_zero_k_means_uncalibrated_and_gives_no_metres(bench):
    bench.calibrate(k=[0.0] * 9, p=NO_P)
    sent = bench.image(GOOD)

    bench.process(sent)

    assert depth_of(bench.output("relative/image", sent))[0, 0] == pytest.approx(0.5)
    bench.calibrate()
    good = bench.image(GOOD)
    bench.process(good)
    bench.output("depth/image", good)
    assert len(bench.heard["depth/image"]) == 1


def test_an_unknown_lens_matters_only_where_it_is_corrected(bench):
    bench.calibrate(distortion_model="fancy", d=[0.1, 0.2])
    sent = bench.image(GOOD)

    bench.process(sent)

    assert_two_walls(depth_of(bench.output("depth/image", sent)))


# E2.3, time


def stamps(bench, *steps_s: float) -> list[int]:
    """Send a good image for each step and return whether it was published, 1 or 0."""
    fates = []
    for step_s in steps_s:
        before = bench.node.stats
        after = bench.process(bench.image(GOOD, step_s=step_s))
        fates.append(after.published - before.published)
    return fates


def test_a_zero_stamp_is_refused(bench):
    bad = bench.image(GOOD)
    bad.header.stamp.sec = bad.header.stamp.nanosec = 0

    assert_rejected(bench, bad, "the stamp is zero: the camera driver does not stamp its images")


def test_a_negative_stamp_is_refused(bench):
    bad = bench.image(GOOD)
    bad.header.stamp.sec = -5

    assert_rejected(bench, bad, "the stamp is negative: -5 s")


def test_a_repeated_stamp_is_refused(bench):
    assert_rejected(bench, bench.image(GOOD, step_s=0.0), "the stamp repeats that of the frame")


def test_a_late_frame_is_skipped(bench):
    assert stamps(bench, 0.1, 0.2, -0.1, 0.2) == [1, 1, 0, 1]
    assert bench.node.stats.last_skip == "the frame is late: its stamp goes back by 0.100 s"


def test_a_jump_of_an_hour_and_back_starts_over_twice(bench):
    before = bench.node.stats

    assert stamps(bench, 3600.0, 0.1) == [1, 1]
    ahead = bench.node.stats
    assert stamps(bench, -3600.0, 0.1) == [1, 1]
    back = bench.node.stats

    assert (ahead.resets - before.resets, ahead.last_reset) == (1, "no frame for 3600.000 s")
    assert (back.resets - ahead.resets, back.last_reset) == (
        1,
        "the clock jumped back by 3600.000 s",
    )


def test_a_bag_that_loops_starts_over_with_each_loop(bench):
    before = bench.node.stats

    assert stamps(bench, 0.5, 0.5, -1.0, 0.5, 0.5, -1.0, 0.5, 0.5) == [1] * 8

    assert bench.node.stats.resets - before.resets == 2


def test_frames_out_of_order_never_turn_the_outputs_back(bench):
    assert stamps(bench, 0.1, 0.2, -0.1, 0.2, -0.05, 0.15) == [1, 1, 0, 1, 0, 1]

    bench.ros.wait_until(lambda: len(bench.heard["depth/image"]) == 4)
    heard = [message.header.stamp for message in bench.heard["depth/image"]]
    times = [stamp.sec * 10**9 + stamp.nanosec for stamp in heard]
    assert times == sorted(times)


def test_ten_seconds_between_frames_is_a_new_start_each_time(bench):
    before = bench.node.stats

    assert stamps(bench, 10.0, 10.0, 10.0) == [1, 1, 1]

    assert bench.node.stats.resets - before.resets == 3


def test_120_frames_a_second_are_one_stream(bench):
    before = bench.node.stats

    assert stamps(bench, *[1 / 120] * 12) == [1] * 12

    assert bench.node.stats.resets == before.resets


def test_after_a_dropout_of_five_seconds_nothing_old_is_published(bench):
    before = bench.node.stats

    after_gap = bench.image(GOOD, step_s=5.0)
    after = bench.process(after_gap)

    bench.output("depth/image", after_gap)
    assert len(bench.heard["depth/image"]) == 1
    assert (after.resets - before.resets, after.last_reset) == (1, "no frame for 5.000 s")


# E2.4, numbers of the network


def painted(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((6, 8, 3), (red, green, blue), np.uint8)


@pytest.mark.parametrize(
    ("rgb", "cause"),
    [
        (painted(100, 250, 0), "the network gave no finite value"),  # NaN
        (painted(100, 0, 250), "the network gave no finite value"),  # Inf
        (painted(50, 0, 0), "the network gave no positive value (largest 0)"),
        (painted(0, 0, 0), "the network gave no positive value (largest -2)"),  # cap on the lens
        (painted(100, 0, 0), "the network gave the constant 2"),
        (painted(255, 0, 0), "indices element out of data bounds"),  # ONNX Runtime fails
    ],
    ids=["NaN", "Inf", "zero", "negative", "constant", "error"],
)
def test_useless_output_of_the_network_is_skipped_and_warned_of(bench, rgb, cause):
    told = len(bench.diagnostics)

    assert_rejected(bench, bench.image(rgb), cause)

    status = bench.wait_for_status(DiagnosticStatus.WARN, "the last: ", since=told)
    assert cause in status.message

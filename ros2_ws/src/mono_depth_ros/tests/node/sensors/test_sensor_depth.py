"""Depth of a depth camera finds its image, and what cannot be used is told."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mono_depth.camera.rectify import Lens, LensModel, Rectifier
from mono_depth.data import Intrinsics
from mono_depth.errors import FrameError
from mono_depth.messages.decode_compressed_depth import decode_compressed_depth
from mono_depth_ros.codec.encode import encode_compressed_depth, encode_depth
from mono_depth_ros.config import SensorDepthConfig
from mono_depth_ros.sensors.sensor_depth import SensorDepth

pytestmark = pytest.mark.ros

NAN, INF = float("nan"), float("inf")
DEPTH_M = np.float32([[1.0, 2.0, NAN, 4.0], [0.5, NAN, NAN, 8.0], [1.0, 1.0, 1.0, 1.0]])
CONFIG = SensorDepthConfig()
SECOND = 10**9


def header(at_ns: int = SECOND, frame: str = "camera") -> Header:
    return Header(frame_id=frame, stamp=Time(nanoseconds=at_ns).to_msg())


def at(
    kept: SensorDepth,
    at_ns: int = SECOND,
    *,
    width: int = 4,
    height: int = 3,
    config: SensorDepthConfig = CONFIG,
    **options: Any,
) -> np.ndarray | None:
    options = {"rectifier": None, "max_pixels": 1000, **options}
    return kept.at(header(at_ns), width, height, config=config, **options)


def keeping(*messages: Image | CompressedImage) -> SensorDepth:
    kept = SensorDepth()
    for message in messages:
        kept.on_depth(message)
    return kept


def millimetres(values_mm: list[list[int]], *, big: bool, pad: int) -> Image:
    """Make a 16UC1 message with padded rows."""
    rows = [np.array(row, ">u2" if big else "<u2").tobytes() + b"\xff" * pad for row in values_mm]
    message = Image(header=header(), height=len(rows), width=len(values_mm[0]), encoding="16UC1")
    message.step, message.is_bigendian = len(rows[0]), int(big)
    message.data = b"".join(rows)
    return message


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 3])
def test_millimetres_are_read_whatever_their_bytes_and_rows(big, pad):
    message = millimetres([[1000, 2000, 0, 4000], [500, 0, 0, 8000], [1000] * 4], big=big, pad=pad)

    np.testing.assert_array_equal(at(keeping(message)), DEPTH_M)


@pytest.mark.parametrize("hole", [NAN, 0.0, -1.0, INF])
def test_metres_are_read_and_their_holes(hole):
    message = encode_depth(DEPTH_M, header())
    message.data = np.where(np.isnan(DEPTH_M), np.float32(hole), DEPTH_M).tobytes()

    np.testing.assert_array_equal(at(keeping(message)), DEPTH_M)


@pytest.mark.parametrize(("encoding", "rtol"), [("16UC1", 0.0), ("32FC1", 0.01)])
def test_the_compressed_transport_is_read(encoding, rtol):
    message = encode_compressed_depth(DEPTH_M, header(), depth_max_m=10.0, encoding=encoding)

    np.testing.assert_allclose(at(keeping(message)), DEPTH_M, rtol=rtol)


@pytest.mark.parametrize(
    ("format_", "cut", "cause"),
    [
        (
            "rgb8; jpeg compressed bgr8",
            None,
            "format 'rgb8; jpeg compressed bgr8', expected '16UC1",
        ),
        ("16UC1; compressedDepth rvl", None, "set the publisher to png"),
        ("16UC1; compressedDepth png", 60, "is damaged, cut off or not one channel of 16 bit"),
        ("16UC1; compressedDepth png", 5, "begins with nothing, expected JPEG, PNG"),
    ],
)
def test_compressed_depth_that_cannot_be_read_is_told(format_, cut, cause):
    message = encode_compressed_depth(DEPTH_M, header(), depth_max_m=10.0, encoding="16UC1")
    message.format, message.data = format_, message.data[:cut]

    with pytest.raises(FrameError, match=cause):
        decode_compressed_depth(message, max_pixels=1000)


def test_too_large_compressed_depth_is_refused_before_it_is_decoded():
    message = encode_compressed_depth(DEPTH_M, header(), depth_max_m=10.0)

    with pytest.raises(FrameError, match=r"depth of 4x3 in \d+ bytes, expected at most 11 pixels"):
        decode_compressed_depth(message, max_pixels=11)


def test_the_nearest_stamp_is_taken():
    late, early, near = (SECOND + shift for shift in (15_000_000, -10_000_000, 5_000_000))
    kept = keeping(*(encode_depth(DEPTH_M * (i + 1), header(ns))
                     for i, ns in enumerate((early, near, late))))  # fmt: skip

    np.testing.assert_array_equal(at(kept), 2 * DEPTH_M)
    assert kept.report().used == 1


def test_depth_too_far_away_in_time_is_missed():
    kept = keeping(encode_depth(DEPTH_M, header(SECOND + 30_000_000)))

    assert at(kept) is None
    report = kept.report()
    assert (report.used, report.missed, report.skipped) == (0, 1, 0)
    assert report.problem.startswith("no sensor_depth at the stamp of the image: the nearest is 0.")
    assert at(kept, config=SensorDepthConfig(max_apart_s=0.03)) is not None
    assert kept.report().problem == ""


def test_without_a_depth_camera_nothing_is_missed():
    kept = SensorDepth()

    kept.wait_for(SECOND, SensorDepthConfig(max_wait_s=1.0))

    assert at(kept) is None
    assert kept.report() == SensorDepth().report()


def test_only_the_newest_messages_are_kept():
    kept = keeping(*(encode_depth(DEPTH_M, header(i * SECOND)) for i in range(1, 12)))

    assert at(kept, 1 * SECOND) is None
    assert at(kept, 2 * SECOND) is not None


def test_a_clock_that_starts_over_leaves_nothing_behind():
    kept = keeping(*(encode_depth(DEPTH_M, header(i * SECOND)) for i in (5, 6, 1)))

    assert at(kept, 6 * SECOND) is None
    assert at(kept, 1 * SECOND) is not None


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"encoding": "rgb8"}, "depth encoding 'rgb8', expected 16UC1 or 32FC1"),
        ({"step": 15}, "has step 15, expected at least 16"),
        ({"data": b"\0" * 47}, "has 47 bytes, expected 48"),
        ({"header": header(frame="depth_eye")}, "it is in frame depth_eye, the image in camera"),
    ],
)
def test_what_cannot_be_used_is_skipped_and_counted(change, cause):
    message = encode_depth(DEPTH_M, header())
    for name, value in change.items():
        setattr(message, name, value)
    kept = keeping(message)

    assert at(kept) is None
    report = kept.report()
    assert (report.used, report.missed, report.skipped) == (0, 0, 1)
    assert report.problem.startswith("sensor_depth skipped: ")
    assert cause in report.problem


@pytest.mark.parametrize(("width", "height"), [(8, 6), (2, 1)])
def test_another_resolution_of_the_same_view_is_taken_as_it_is(width, height):
    depth_m = np.ones((3 * height, 2 * width), np.float32)

    taken = at(keeping(encode_depth(depth_m, header())), width=width * 50, height=height * 75)

    np.testing.assert_array_equal(taken, depth_m)


def test_another_view_is_skipped():
    kept = keeping(encode_depth(DEPTH_M, header()))

    assert at(kept, width=640, height=360) is None
    assert "depth of 4x3 is not the view of an image of 640x360" in kept.report().problem


def test_with_a_rectified_image_depth_is_rectified_too():
    camera = Intrinsics(width=64, height=48, fx=40.0, fy=40.0, cx=31.5, cy=23.5)
    lens = Lens(model=LensModel.POLYNOMIAL, coefficients=(0.2, 0.0, 0.0, 0.0))
    rectifier = Rectifier(raw=camera, lens=lens, rectified=camera)
    half_m = np.ones((24, 32), np.float32)
    half_m[:, 16:] = 2.0
    half_m[:, 28:] = 3.0

    taken = at(
        keeping(encode_depth(half_m, header())),
        width=64, height=48, rectifier=rectifier, max_pixels=64 * 48,
    )  # fmt: skip

    full_m = np.repeat(np.repeat(half_m, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(taken, rectifier.apply_to_depth(full_m))
    assert not np.array_equal(taken, full_m, equal_nan=True)


def test_an_image_waits_for_its_depth_and_no_longer():
    kept = keeping(encode_depth(DEPTH_M, header(SECOND - 33_000_000)))
    late = threading.Timer(0.1, lambda: kept.on_depth(encode_depth(DEPTH_M, header())))
    late.start()

    kept.wait_for(SECOND, SensorDepthConfig(max_wait_s=1.0))

    assert at(kept) is not None
    asked_s = time.monotonic()
    kept.wait_for(SECOND, SensorDepthConfig(max_wait_s=1.0))  # it is there
    assert time.monotonic() - asked_s < 0.5


def test_an_image_does_not_wait_longer_than_it_may():
    kept = keeping(encode_depth(DEPTH_M, header(SECOND - 33_000_000)))
    asked_s = time.monotonic()

    kept.wait_for(SECOND, SensorDepthConfig(max_wait_s=0.1))

    assert 0.1 <= time.monotonic() - asked_s < 1.0


# The node

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
GREY = np.uint8(100 + 2 * COLUMNS + ROWS)  # tiny_metric makes GREY / 25 metres of it
IMAGE = np.dstack([GREY] * 3)
DEPTH_OF_IMAGE_M = np.float32(GREY / 25)


class DepthCamera:
    """Sends depth with the stamp of an image."""

    def __init__(self, bench: Any, kind: type = Image, topic: str = "sensor_depth") -> None:
        self._bench = bench
        self.depth = bench.peer.create_publisher(kind, topic, 5)
        bench.ros.wait_until(self.depth.get_subscription_count, what=f"{topic} is heard")

    def frame(self, rgb: np.ndarray, make: Any, *, late: bool = False) -> dict[str, str]:
        """Send an image and `make(header)`; return what the diagnostics say of it."""
        bench = self._bench
        image = bench.image(rgb)
        if not late:
            before = self._received()
            self.depth.publish(make(image.header))
            bench.ros.wait_until(lambda: self._received() > before, what="depth arrives")
        bench.send(image)
        if late:
            self.depth.publish(make(image.header))
        bench.settle()
        told = len(bench.diagnostics)
        bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1, what="diagnostics")
        self.image = image
        return bench.stream_values()

    def _received(self) -> int:
        return int(self._bench.stream_values().get("sensor_depth_received", 0))


@pytest.fixture
def completing(depth_bench, completing_models):
    bench = depth_bench(
        model="small_lingbot",
        engine="torch",
        registry=str(completing_models),
        **{"sensor_depth.max_wait_s": 1.0},
    )
    bench.calibrate(width=128, height=96)
    bench.listen("depth/image")
    return bench


NOISE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
WALL_M = np.full((96, 128), 2.0, np.float32)
WALL_M[:, 64:] = np.nan


def test_the_node_completes_the_depth_of_a_camera_that_comes_after_its_image(completing):
    camera = DepthCamera(completing)
    camera.frame(NOISE, lambda head: encode_depth(WALL_M, head, "16UC1"))

    values = camera.frame(NOISE, lambda head: encode_depth(WALL_M, head, "16UC1"), late=True)

    assert values["completed"] == "sensor_depth"
    assert (values["sensor_depth_received"], values["sensor_depth_used"]) == ("2", "2")
    assert completing.output("depth/image", camera.image).width == 128


def test_depth_that_cannot_be_used_is_told_and_the_image_is_processed_without(completing):
    camera = DepthCamera(completing)

    values = camera.frame(NOISE, lambda head: encode_depth(WALL_M[:, :60], head))

    assert values["completed"] == "guess"
    assert values["sensor_depth_skipped"] == "1"
    completing.output("depth/image", camera.image)
    problem = "sensor_depth skipped: depth of 60x96 is not the view of an image of 128x96"
    completing.wait_for_status(DiagnosticStatus.WARN, problem)
    completing.wait_for_log(problem)

    values = camera.frame(NOISE, lambda head: encode_depth(WALL_M, head))
    assert values["completed"] == "sensor_depth"
    completing.wait_for_status(DiagnosticStatus.OK, "running")


def test_compressed_depth_comes_on_a_topic_of_that_name(depth_bench, completing_models):
    topic = "/eye/aligned/compressedDepth"
    bench = depth_bench(
        model="small_lingbot",
        engine="torch",
        registry=str(completing_models),
        cli=["-r", f"sensor_depth:={topic}"],
    )
    bench.calibrate(width=128, height=96)
    bench.listen("depth/image")
    camera = DepthCamera(bench, CompressedImage, topic)

    values = camera.frame(
        NOISE, lambda head: encode_compressed_depth(WALL_M, head, depth_max_m=10.0)
    )

    assert values["completed"] == "sensor_depth"


def test_a_depth_camera_gives_the_scale_of_a_network(depth_bench):
    bench = depth_bench(**{"scale.source": "sparse_points"})
    bench.calibrate()
    bench.listen("depth/image", "relative/image")
    camera = DepthCamera(bench)
    true_m = np.float32(2.0 * GREY / 25)

    for _ in range(4):
        values = camera.frame(IMAGE, lambda head: encode_depth(true_m, head))

    assert (values["scale_source"], values["scale_state"]) == ("sparse_points", "valid")
    message = bench.output("depth/image", camera.image)
    depth_m = np.frombuffer(message.data, np.float32).reshape(6, 8)
    np.testing.assert_allclose(depth_m, true_m, rtol=0.01)


def test_every_image_of_a_stream_finds_the_depth_that_lags_behind_it(depth_bench):
    """Both at 30 Hz, depth 10 ms late, an image that comes meanwhile replaces one that waits."""
    bench = depth_bench(**{"sensor_depth.max_wait_s": 1.0})
    bench.calibrate()
    bench.listen("depth/image")
    camera = DepthCamera(bench)
    camera.frame(IMAGE, lambda head: encode_depth(DEPTH_OF_IMAGE_M, head))

    for _ in range(30):
        image = bench.image(IMAGE, step_s=1 / 30)
        bench.images.publish(image)
        time.sleep(0.01)
        camera.depth.publish(encode_depth(DEPTH_OF_IMAGE_M, image.header))
        time.sleep(0.023)
    bench.ros.wait_until(lambda: bench.node.stats.received == 31, what="all images")
    stats = bench.settle()
    told = len(bench.diagnostics)
    bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1, what="diagnostics")

    values = bench.stream_values()
    assert stats.published > 5
    assert (values["sensor_depth_missed"], values["sensor_depth_skipped"]) == ("0", "0")
    assert int(values["sensor_depth_used"]) == stats.published


ROOM_M = np.linspace(0.8, 4.4, 48 * 64, dtype=np.float32).reshape(48, 64)


def room(none: float, *, encoding: str = "32FC1", per_m: float = 1.0) -> Image:
    """Return depth of a room whose right quarter has no measurement."""
    depth_m = ROOM_M * np.float32(per_m)
    depth_m[:, 48:] = none
    if encoding == "32FC1":
        return encode_depth(depth_m, header())
    message = millimetres(np.round(depth_m).astype(int).tolist(), big=False, pad=0)
    message.header = header()
    return message


def room_at(kept: SensorDepth) -> np.ndarray | None:
    return at(kept, width=64, height=48, max_pixels=4000, max_depth_m=50.0)


@pytest.mark.parametrize(
    ("none", "encoding", "per_m", "said"),
    [
        (65535, "16UC1", 1000.0, "25 % of its depth is 65535: no measurement"),
        (10_000, "16UC1", 1000.0, "25 % of its depth is exactly 10 m: a far clip"),
        (10.0, "32FC1", 1.0, "25 % of its depth is exactly 10 m: a far clip"),
        (1000.0, "32FC1", 1.0, "25 % of its depth is exactly 1000 m: a far clip"),
    ],
)
def test_values_that_stand_for_no_measurement_become_holes_and_are_told(
    none, encoding, per_m, said
):
    kept = keeping(room(none, encoding=encoding, per_m=per_m))

    depth_m = room_at(kept)

    np.testing.assert_allclose(depth_m[:, :48], ROOM_M[:, :48], atol=6e-4)
    assert np.isnan(depth_m[:, 48:]).all()
    assert said in kept.report().doubt
    assert kept.report().problem == ""


@pytest.mark.parametrize("per_m", [1000.0, 10_000.0, 100.0])
def test_depth_in_another_unit_is_refused_with_the_median(per_m):
    kept = keeping(room(NAN, per_m=per_m))

    assert room_at(kept) is None
    assert kept.report().skipped == 1
    assert (
        "sensor_depth skipped: 32FC1 is metres (REP 118), but its median" in kept.report().problem
    )
    assert "publish 32FC1 in metres or 16UC1 in millimetres" in kept.report().problem

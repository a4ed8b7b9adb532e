"""Every parameter of the depth node has an effect; wrong values are refused with the reason."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from mono_depth.config import flatten, params
from mono_depth.errors import ConfigError
from mono_depth_ros.codec import encode
from mono_depth_ros.config import NodeConfig
from mono_depth_ros.depth_node import node as depth_node
from mono_depth_ros.depth_node import parameter_table as reference
from mono_depth_ros.depth_node.node import DepthNode
from mono_depth_ros.sensors.camera_poses import CameraPoses

pytestmark = pytest.mark.ros

DEFAULTS = flatten(NodeConfig())
TABLE = params(NodeConfig())
LIVE = [name for name, param in TABLE.items() if param.live]
RELOADING = [name for name, param in TABLE.items() if param.reloads]
FIXED = [name for name, param in TABLE.items() if not param.live and not param.reloads]
PACKAGE = Path(reference.__file__).resolve().parents[2]

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
GREY = np.uint8(100 + 2 * COLUMNS + ROWS)
IMAGE = np.dstack([GREY] * 3)
DEPTH_M = GREY / 25  # 4.0 to 4.76 m

# The effects of completion need a network that completes:
# tests/library/pipeline/test_completion.py, that of level_ground one that is guided:
# tests/library/pipeline/test_guided.py;
# those of sensor_depth, imu and frames in test_sensor_depth.py, test_imu.py, test_optical_frame.py,
# that of the watchdog in test_recovery.py; those of scan in tests/library/outputs/test_scan.py and
# test_obstacle_points.py.
PROVED: set[str] = {
    *(name for name in DEFAULTS if name.startswith("scan.")),
    "frames.optical_frame",
    "imu.camera_in_imu",
    "imu.enabled",
    "watchdog.limit_s",
    "sensor_depth.max_apart_s",
    "sensor_depth.max_wait_s",
    "completion.source",
    "completion.min_points",
    "completion.guess_model",
    "completion.max_jump",
    "completion.min_confidence",
    "completion.level_ground",
}


def proves(*names: str) -> Callable[[Any], Any]:
    """Mark a test as the proof that parameters have an effect."""
    PROVED.update(names)
    return lambda test: test


def test_every_parameter_has_a_test_of_its_effect():
    assert set(DEFAULTS) - PROVED == set(), "without a test of their effect"
    assert PROVED - set(DEFAULTS) == set(), "no longer parameters"


@pytest.fixture(scope="module")
def module_bench(shared_depth_bench):
    return shared_depth_bench()


@pytest.fixture
def bench(module_bench):
    """The shared node, at the start of a stream, with the parameters it started with."""
    module_bench.calibrate()
    yield module_bench
    for topic in list(module_bench.heard):
        module_bench.forget(topic)


@contextmanager
def live(bench, **changes: Any) -> Iterator[None]:
    """Change parameters of the running node for a while."""
    before = {name: bench.node.get_parameter(name).value for name in changes}
    assert bench.set_parameters(**changes) == ""
    try:
        yield
    finally:
        assert bench.set_parameters(**before) == ""


def output(bench, topic: str, rgb: np.ndarray = IMAGE, *, step_s: float = 0.1) -> Any:
    """Return what the node makes of an image."""
    if topic not in bench.heard:
        bench.listen(topic)
    sent = bench.image(rgb, step_s=step_s)
    bench.process(sent)
    return bench.output(topic, sent)


def pixels(image: Image) -> np.ndarray:
    if image.encoding == "rgb8":
        return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
    return np.frombuffer(image.data, np.float32).reshape(image.height, image.width)


def depth_m(bench, rgb: np.ndarray = IMAGE, *, step_s: float = 0.1) -> np.ndarray:
    return pixels(output(bench, "depth/image", rgb, step_s=step_s))


def points(bench) -> np.ndarray:
    cloud = output(bench, "points")
    return np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, -1)


# Depth


@proves("min_depth_m", "max_depth_m", "out_of_range")
def test_depth_outside_the_limits_has_no_value(bench):
    with live(bench, min_depth_m=4.21, max_depth_m=4.51):
        limited = depth_m(bench)
        with live(bench, out_of_range="inf"):
            infinite = depth_m(bench)

    np.testing.assert_array_equal(np.isnan(limited), (DEPTH_M < 4.21) | (DEPTH_M > 4.51))
    np.testing.assert_array_equal(np.isnan(infinite), DEPTH_M < 4.21)
    np.testing.assert_array_equal(np.isinf(infinite), DEPTH_M > 4.51)
    assert not np.isnan(depth_m(bench)).any()


@proves("depth_encoding")
def test_depth_encoding_changes_from_one_frame_to_the_next(bench):
    with live(bench, depth_encoding="16UC1"):
        assert output(bench, "depth/image").encoding == "16UC1"
    assert output(bench, "depth/image").encoding == "32FC1"


@proves("max_pixels")
def test_larger_images_than_max_pixels_are_refused(bench):
    bench.listen("depth/image")
    with live(bench, max_pixels=47):
        stats = bench.process(bench.image(IMAGE))

    assert stats.last_skip == "image of 8x6 pixels, expected at most 47 pixels"


@proves("image.significant_bits")
def test_of_16_bit_images_the_significant_bits_are_seen(bench):
    bench.listen("depth/image")
    words = (GREY.astype(np.uint16) << 4).tobytes()
    with live(bench, **{"image.significant_bits": 12}):
        sent = bench.image(IMAGE, encoding="mono16", step=16, data=words)
        bench.process(sent)
    np.testing.assert_allclose(pixels(bench.output("depth/image", sent)), DEPTH_M, rtol=1e-3)


@proves("max_age_s")
def test_older_images_than_max_age_s_are_skipped(bench):
    bench.listen("depth/image")
    with live(bench, max_age_s=5.0):
        stats = bench.process(bench.image(IMAGE))  # stamped in 1970

    assert "s old, max_age_s is 5.0" in stats.last_skip


# Stream


@proves("stream.reset_gap_s")
def test_a_gap_longer_than_reset_gap_s_starts_over(bench):
    def resets_after_gap() -> int:
        before = bench.node.stats.resets
        depth_m(bench, step_s=0.5)
        return bench.node.stats.resets - before

    depth_m(bench)
    assert resets_after_gap() == 0
    with live(bench, **{"stream.reset_gap_s": 0.3}):
        assert resets_after_gap() == 1


@proves("stream.late_s")
def test_a_frame_later_than_late_s_is_a_jump_of_the_clock(bench):
    depth_m(bench, step_s=1.0)
    skipped = bench.process(bench.image(IMAGE, step_s=-0.3)).skipped
    with live(bench, **{"stream.late_s": 0.1}):
        assert depth_m(bench, step_s=-0.1).shape == (6, 8)

    assert bench.node.stats.skipped == skipped
    assert bench.node.stats.last_reset == "the clock jumped back by 0.400 s"


# Scale


@proves("scale.source", "scale.factor", "scale.shift")
def test_a_fixed_scale_is_applied_to_the_next_frame(bench):
    with live(bench, **{"scale.source": "fixed", "scale.factor": 2.0, "scale.shift": -1.0}):
        np.testing.assert_allclose(depth_m(bench), 2.0 * DEPTH_M - 1.0, rtol=1e-5)
    np.testing.assert_allclose(depth_m(bench), DEPTH_M, rtol=1e-5)


@proves("scale.reference_focal")
def test_depth_follows_the_focal_length(bench):
    # The camera's focal length is 10 / 8 = 1.25 widths, half of the reference.
    with live(bench, **{"scale.source": "model_focal", "scale.reference_focal": 2.5}):
        np.testing.assert_allclose(depth_m(bench), 0.5 * DEPTH_M, rtol=1e-5)


@proves("scale.camera_height_m")
def test_the_ground_plane_needs_the_height_of_the_camera(bench):
    with live(bench, **{"scale.source": "ground_plane"}):
        output(bench, "relative/image")
        bench.ros.wait_until(lambda: "height of the camera is unknown" in scale_reason(bench))
        with live(bench, **{"scale.camera_height_m": 1.5}):
            output(bench, "relative/image")
            bench.ros.wait_until(
                lambda: scale_reason(bench) and "unknown" not in scale_reason(bench)
            )


def scale_reason(bench) -> str:
    return bench.stream_values().get("scale_reason", "")


class Landmarks:
    """Points with each image, twice as far as the network says."""

    def __init__(self, bench) -> None:
        self._bench = bench
        self._clouds = bench.peer.create_publisher(PointCloud2, "sparse_points", 5)
        self._echo: list[PointCloud2] = []
        self._ear = bench.peer.create_subscription(
            PointCloud2, "sparse_points", self._echo.append, 5
        )
        bench.ros.wait_until(lambda: self._clouds.get_subscription_count() == 2)
        bench.listen("relative/image", "depth/image")
        assert bench.trigger("reset").success

    def __enter__(self) -> Landmarks:
        return self

    def __exit__(self, *_: object) -> None:
        peer, ros = self._bench.peer, self._bench.ros
        ros.destroy(peer.destroy_publisher, self._clouds)
        ros.destroy(peer.destroy_subscription, self._ear)
        assert self._bench.trigger("reset").success

    def frame(self, count: int = 48, *, step_s: float = 0.1, lag_s: float = 0.0) -> dict[str, str]:
        """Send an image with `count` points; return what the diagnostics say of it."""
        bench = self._bench
        self.image = image = bench.image(IMAGE, step_s=step_s)
        if count:
            self._publish(count, image.header, lag_s)
        stats = bench.process(image)
        told = len(bench.diagnostics)
        bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1, what="diagnostics")
        self.skipped = stats.skipped
        return bench.stream_values()

    def frames(self, number: int) -> dict[str, str]:
        """Send several images with points."""
        return [self.frame() for _ in range(number)][-1]

    def _publish(self, count: int, header: Header, lag_s: float) -> None:
        z = 2.0 * DEPTH_M
        xyz = np.dstack(((COLUMNS - 3.5) / 10 * z, (ROWS - 2.5) / 10 * z, z)).reshape(1, -1, 3)
        chosen = np.linspace(0, 47, count).round().astype(int)
        cloud = encode.encode_cloud(xyz[:, chosen].astype(np.float32), header, has_rgb=False)
        stamp_ns = Time.from_msg(header.stamp).nanoseconds - round(lag_s * 1e9)
        cloud.header = Header(frame_id=header.frame_id, stamp=Time(nanoseconds=stamp_ns).to_msg())
        heard = len(self._echo)
        self._clouds.publish(cloud)
        self._bench.ros.wait_until(lambda: len(self._echo) > heard, what="the points")


FROM_POINTS = {"scale.source": "sparse_points"}


def test_points_give_the_scale(bench):
    with live(bench, **FROM_POINTS), Landmarks(bench) as landmarks:
        values = landmarks.frames(4)

        assert (values["scale_source"], values["scale_state"]) == ("sparse_points", "valid")
        bench.output("depth/image", landmarks.image)
        np.testing.assert_allclose(depth_m_again(bench), 2.0 * DEPTH_M, rtol=0.01)


def depth_m_again(bench) -> np.ndarray:
    return pixels(bench.heard["depth/image"][-1])


@proves("scale.min_points")
def test_fewer_points_than_min_points_are_refused(bench):
    with live(bench, **FROM_POINTS), Landmarks(bench) as landmarks:
        enough = landmarks.frame(count=9)
        with live(bench, **{"scale.min_points": 10}):
            few = landmarks.frame(count=9)

    assert enough["scale_last_reject"] == ""
    assert few["scale_last_reject"] == "9 usable points, at least 10 needed"


@proves("scale.max_correction")
def test_a_larger_factor_than_max_correction_is_refused(bench):
    with live(bench, **FROM_POINTS), Landmarks(bench) as landmarks:
        accepted = landmarks.frame()
        with live(bench, **{"scale.max_correction": 1.5}):
            refused = landmarks.frame()

    assert accepted["scale_last_reject"] == ""
    assert "scale.max_correction = 1.5 allows" in refused["scale_last_reject"]


@proves("scale.valid_sigma", "scale.lost_sigma")
def test_a_doubtful_scale_is_degraded_or_lost(bench):
    with live(bench, **FROM_POINTS), Landmarks(bench) as landmarks:
        states = [landmarks.frames(4)["scale_state"]]
        with live(bench, **{"scale.valid_sigma": 0.001}):
            states.append(landmarks.frame()["scale_state"])
            with live(bench, **{"scale.lost_sigma": 0.001}):
                states.append(landmarks.frame()["scale_state"])

    assert states == ["valid", "degraded", "lost"]


@proves("scale.stale_s", "scale.lost_s")
def test_an_old_scale_is_degraded_then_lost(bench):
    any_sigma = {"scale.valid_sigma": 10.0, "scale.lost_sigma": 10.0}
    with live(bench, **FROM_POINTS, **any_sigma), Landmarks(bench) as landmarks:
        states = [landmarks.frames(4)["scale_state"]]
        states.append(landmarks.frame(count=0, step_s=0.8)["scale_state"])
        with live(bench, **{"scale.stale_s": 0.5}):
            states.append(landmarks.frame(count=0)["scale_state"])
            with live(bench, **{"scale.lost_s": 0.5}):
                states.append(landmarks.frame(count=0)["scale_state"])

    assert states == ["valid", "valid", "degraded", "lost"]


@proves("scale.on_loss")
@pytest.mark.parametrize(
    ("on_loss", "expected_m"),
    [("model", DEPTH_M), ("hold", 2.0 * DEPTH_M), ("relative", None), ("stop", None)],
)
def test_on_loss_decides_what_is_published_without_a_scale(bench, on_loss, expected_m):
    with (
        live(bench, **FROM_POINTS, **{"scale.on_loss": on_loss}),
        Landmarks(bench) as landmarks,
    ):
        landmarks.frames(4)
        for topic, heard in bench.heard.items():
            bench.output(topic, landmarks.image)
            heard.clear()
        skipped = landmarks.skipped
        with live(bench, **{"scale.stale_s": 0.5, "scale.lost_s": 0.5}):
            lost = landmarks.frame(count=0, step_s=0.8)

        assert lost["scale_state"] == "lost"
        assert lost["planner_use"] == ("none" if expected_m is None else "mark")
        assert landmarks.skipped - skipped == (1 if on_loss == "stop" else 0)
        if on_loss != "stop":
            bench.output("relative/image", landmarks.image)
        if expected_m is not None:
            bench.output("depth/image", landmarks.image)
        assert len(bench.heard["relative/image"]) == (0 if on_loss == "stop" else 1)
        assert len(bench.heard["depth/image"]) == (0 if expected_m is None else 1)
        if expected_m is not None:
            np.testing.assert_allclose(depth_m_again(bench), expected_m, rtol=0.01)


@proves("scale.keep")
@pytest.mark.parametrize(
    ("keep", "state", "factor"), [(True, "held", 2.0), (False, "assumed", 1.0)]
)
def test_a_kept_scale_is_held_in_the_next_run(depth_bench, tmp_path, keep, state, factor):
    bench = depth_bench(**{"scale.keep": keep, "weights_dir": str(tmp_path)})
    bench.calibrate()
    with Landmarks(bench) as landmarks:
        measured = landmarks.frames(4)
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert bench.change_state(transition)
    bench.wait_for_inputs()
    bench.calibrate()
    with Landmarks(bench) as landmarks:
        begun = landmarks.frame(count=0)
        bench.output("depth/image", landmarks.image)
        np.testing.assert_allclose(depth_m_again(bench), factor * DEPTH_M, rtol=0.02)

    assert (measured["scale_state"], measured["planner_use"]) == ("valid", "mark_and_clear")
    assert (begun["scale_state"], begun["planner_use"]) == (state, "mark")
    assert len(list((tmp_path / "scales").glob("*"))) == (1 if keep else 0)


@proves("odometry.points_max_age_s")
def test_points_older_than_points_max_age_s_are_not_used(bench):
    with live(bench, **FROM_POINTS), Landmarks(bench) as landmarks:
        used = landmarks.frame(lag_s=0.1)
        with live(bench, **{"odometry.points_max_age_s": 0.05}):
            unused = landmarks.frame(lag_s=0.1)

    assert used["scale_last_reject"] == ""
    assert unused["scale_last_reject"] == "no sparse points at the stamp of the image"


@proves("refine.mode")
def test_guided_edges_of_depth_lie_on_those_of_the_image(depth_bench):
    bench = depth_bench(
        **{"temporal.mode": "none", "refine.mode": "guided"}
    )  # the network runs at 8x6 pixels
    bench.calibrate(80, 60)
    step = np.full((60, 80, 3), 100, np.uint8)
    step[:, 36:] = 200

    def jump() -> float:
        values = depth_m(bench, step)
        return float(np.median(values[:, 37] - values[:, 34]))

    guided = jump()
    assert bench.set_parameters(**{"refine.mode": "none"}) == ""
    assert guided > 1.3 * jump()
    assert guided > 0.5


# Temporal filter. The camera stands still, and the network flickers.

DARK, BRIGHT = np.full((60, 80, 3), 100, np.uint8), np.full((60, 80, 3), 102, np.uint8)
CHECKERS = np.where(np.indices((60, 80)).sum(axis=0)[..., None] // 10 % 2, BRIGHT, DARK)
SLOPE = np.linspace(0, 40, 80, dtype=np.uint8)[None, :, None]  # so that no frame is constant


@pytest.fixture
def flickering(depth_bench):
    """A node whose network runs at the 80x60 pixels of these images."""
    bench = depth_bench(input_size=60, **{"temporal.mode": "static"})
    bench.listen("depth/image")
    bench.calibrate(80, 60)
    return bench


def change_seen(bench, first: np.ndarray, then: np.ndarray, *, frames: int = 5) -> float:
    """Return how much of a change of the network's depth is given out at once, 0..1."""
    assert bench.trigger("reset").success
    for _ in range(frames):
        before = depth_m(bench, first + SLOPE)
    after = depth_m(bench, then + SLOPE)
    changed = (then != first)[..., 0]
    raw = (then.astype(float) - first)[changed][:, 0] / 25
    return float(np.median((after - before)[changed] / raw))


@proves("temporal.mode", "temporal.memory_frames")
def test_a_longer_memory_is_calmer(flickering):
    assert change_seen(flickering, CHECKERS, DARK) < 0.25
    assert flickering.set_parameters(**{"temporal.memory_frames": 1}) == ""
    assert change_seen(flickering, CHECKERS, DARK) == pytest.approx(0.5, abs=0.1)
    assert flickering.set_parameters(**{"temporal.mode": "none"}) == ""
    assert change_seen(flickering, CHECKERS, DARK) == pytest.approx(1.0, abs=1e-3)


@proves("temporal.scale_time_constant_s")
def test_a_change_of_scale_is_followed_within_the_time_constant(flickering):
    assert change_seen(flickering, DARK, BRIGHT) < 0.05
    assert flickering.set_parameters(**{"temporal.scale_time_constant_s": 0.01}) == ""
    # The scale is that of the present; depth is the mean of six frames.
    assert change_seen(flickering, DARK, BRIGHT) == pytest.approx(1 / 6, abs=0.03)


@proves("temporal.max_gap_s")
def test_a_gap_longer_than_max_gap_s_starts_the_filter_over(flickering):
    depth_m(flickering, DARK + SLOPE)
    before = flickering.node.stats.resets
    depth_m(flickering, DARK + SLOPE, step_s=0.3)
    assert flickering.node.stats.resets == before
    assert flickering.set_parameters(**{"temporal.max_gap_s": 0.2}) == ""
    depth_m(flickering, DARK + SLOPE, step_s=0.3)
    assert flickering.node.stats.resets == before + 1


# Cloud, colours, compressed depth


@proves("cloud.rgb", "cloud.stride")
def test_color_and_stride_of_the_cloud(bench):
    assert points(bench).shape == (6, 8, 4)
    with live(bench, **{"cloud.rgb": False, "cloud.stride": 2}):
        assert points(bench).shape == (3, 4, 3)


@proves("cloud.min_depth_m", "cloud.max_depth_m")
def test_points_outside_the_limits_are_unknown(bench):
    with live(bench, **{"cloud.min_depth_m": 4.21, "cloud.max_depth_m": 4.51}):
        z = points(bench)[..., 2]
        np.testing.assert_array_equal(np.isnan(z), (DEPTH_M < 4.21) | (DEPTH_M > 4.51))
        assert not np.isnan(depth_m(bench)).any()


@proves("cloud.max_jump")
def test_pixels_between_two_surfaces_give_no_point(bench):
    with live(bench, **{"cloud.max_jump": 0.0183}):
        z = points(bench)[..., 2]  # from column to column depth grows by 2 % down to 1.7 %
    jumps = DEPTH_M[:, 1:] > 1.0183 * DEPTH_M[:, :-1]
    expected = np.pad(jumps, ((0, 0), (1, 0)))  # the near side stays
    assert 0 < expected.sum() < 48
    np.testing.assert_array_equal(np.isnan(z), expected)
    assert not np.isnan(points(bench)[..., 2]).any()


@proves("color.colormap", "color.blend")
def test_the_image_of_depth_follows_its_parameters(bench):
    with live(bench, **{"color.colormap": "gray"}):
        grey = pixels(output(bench, "depth/color"))
        with live(bench, **{"color.blend": 1.0}):
            camera = pixels(output(bench, "depth/color"))
    color = pixels(output(bench, "depth/color"))

    np.testing.assert_array_equal(np.ptp(grey, axis=2), 0)
    np.testing.assert_array_equal(camera, IMAGE)
    assert np.ptp(color, axis=2).max() > 0


@proves("color.near_m", "color.far_m")
def test_the_range_of_colors_can_be_fixed(bench):
    def grey() -> np.ndarray:
        return pixels(output(bench, "depth/color"))[..., 0]

    with live(bench, **{"color.colormap": "gray"}):
        with live(bench, **{"color.near_m": 4.5}):
            near = grey()
        with live(bench, **{"color.far_m": 4.2}):
            far = grey()
        with live(bench, **{"color.near_m": 100.0}):  # beyond what there is to see
            beyond = grey()

    np.testing.assert_array_equal(near == 255, DEPTH_M <= 4.5)
    np.testing.assert_array_equal(far == far.min(), DEPTH_M >= 4.2)
    assert (beyond == 255).all()


@proves("compressed_depth.png_level", "compressed_depth.quantization")
def test_compressed_depth_follows_its_parameters(bench):
    def payload() -> bytes:
        return bytes(output(bench, "depth/image/compressedDepth").data)

    default = payload()
    with live(bench, **{"compressed_depth.png_level": 9}):
        small = payload()
    with live(bench, **{"compressed_depth.quantization": 10.0}):
        coarse = payload()

    def inverse(data: bytes) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)

    assert small != default
    np.testing.assert_array_equal(inverse(small), inverse(default))
    assert np.unique(inverse(coarse)).size < np.unique(inverse(default)).size


# Diagnostics and files


@proves("diagnostics.period_s")
def test_diagnostics_come_in_their_period(bench):
    with live(bench, **{"diagnostics.period_s": 60.0}):
        told = len(bench.diagnostics)
        output(bench, "relative/image")
        time.sleep(0.5)
        assert len(bench.diagnostics) <= told + 1
    told = len(bench.diagnostics)
    bench.ros.wait_until(lambda: len(bench.diagnostics) > told, what="diagnostics again")


@proves("diagnostics.nan_ratio_warn")
def test_the_share_of_unknown_pixels_that_is_warned_of(depth_bench):
    bench = depth_bench()  # one that expects no points, of which it would warn
    bench.listen("depth/image")
    bench.calibrate()
    with live(bench, min_depth_m=4.21):
        unknown = np.isnan(depth_m(bench)).mean()
        bench.wait_for_status(b"\x00", "running")
        with live(bench, **{"diagnostics.nan_ratio_warn": 0.1}):
            percent = f"{100 * unknown:.0f} % of the pixels have no depth"
            bench.wait_for_status(b"\x01", percent)


@proves("snapshot_dir")
def test_snapshots_go_to_their_folder(bench, tmp_path):
    bench.listen("depth/image")
    client = bench.peer.create_client(Trigger, "/mono_depth/snapshot")
    bench.ros.wait_until(client.service_is_ready)
    with live(bench, snapshot_dir=str(tmp_path)):
        answer = client.call_async(Trigger.Request())
        while not answer.done():
            bench.process(bench.image(IMAGE))

    assert Path(answer.result().message).parent == tmp_path


# Fixed while configured


def problem_at_configure(depth_bench, **parameters: Any) -> str:
    bench = depth_bench(active=False, **parameters)
    assert not bench.change_state("configure")
    return str(bench.wait_for_status(b"\x02", "on_configure failed").message)


def model_facts(bench) -> dict[str, str]:
    def facts() -> dict[str, str]:
        newest = bench.diagnostics[-1].status if bench.diagnostics else []
        return {
            pair.key: pair.value
            for status in newest
            if status.name == "mono_depth: model"
            for pair in status.values
        }

    bench.ros.wait_until(facts, what="a model in the diagnostics")
    return facts()


@proves("model")
def test_model_chooses_the_network(depth_bench):
    facts = model_facts(depth_bench(model="tiny_inverse"))
    assert (facts["model"], facts["kind"]) == ("tiny_inverse", "inverse_affine")


@proves("device")
def test_device_chooses_where_the_network_runs(depth_bench):
    assert model_facts(depth_bench(device="cpu"))["device"] == "cpu"


def test_a_device_that_is_not_there_is_told(depth_bench):
    problem = problem_at_configure(depth_bench, device="abacus")
    assert "'abacus' is not one of auto, cpu, cuda, cuda:N" in problem


@proves("engine", "precision")
@pytest.mark.parametrize(
    ("engine", "precision", "why"),
    [
        ("torch", "fp32", "as configured"),
        ("openvino", "fp32", r"openvino fp32: .* ms, torch fp32 .* ms, error below 0.001 %.*"),
        ("onnxruntime", "fp32", r"onnxruntime fp32: .* ms, torch fp32 .* ms, error below .*"),
    ],
)
def test_engine_and_precision_choose_what_runs_the_network(depth_bench, engine, precision, why):
    facts = model_facts(depth_bench(model="nano", engine=engine, precision=precision))
    assert (facts["engine"], facts["precision"]) == (engine, precision)
    assert re.fullmatch(why, facts["engine_why"])
    assert facts["engine_refused"] == ""


def test_a_precision_that_the_engine_lacks_is_told(depth_bench):
    problem = problem_at_configure(depth_bench, engine="torch", precision="int8")
    assert "engine torch has no int8: use engine openvino" in problem


@proves("input_size")
def test_input_size_sets_the_resolution_of_the_network(depth_bench):
    dot = np.full((6, 8, 3), 100, np.uint8)
    dot[2, 3] = 250
    at_full_size = depth_bench(input_size=6)
    at_full_size.calibrate()
    assert depth_m(at_full_size, dot).max() == pytest.approx(10.0)
    at_full_size.change_state("deactivate")
    at_full_size.change_state("cleanup")

    assert at_full_size.set_parameters(input_size=3) == ""
    at_full_size.change_state("configure")
    at_full_size.change_state("activate")
    at_full_size.wait_for_inputs()
    at_full_size.calibrate()
    at_full_size.heard.clear()
    assert depth_m(at_full_size, dot).max() < 8.0


@proves("threads")
def test_threads_limits_the_network(depth_bench):
    bench = depth_bench(threads=2)

    options = bench.node._pipeline.model.net.module.session.get_session_options()

    assert options.intra_op_num_threads == 2


@proves("registry")
def test_registry_adds_models(depth_bench):
    assert model_facts(depth_bench())["model"] == "tiny_metric"


def test_without_the_registry_its_models_are_unknown(depth_bench):
    assert "no model 'tiny_metric'" in problem_at_configure(depth_bench, registry="")


@proves("weights_dir")
def test_weights_are_looked_for_in_weights_dir(depth_bench, tmp_path):
    problem = problem_at_configure(depth_bench, model="tiny_absent", weights_dir=str(tmp_path))
    assert f"no weights at {tmp_path}/tiny_absent/mean.onnx" in problem


@proves("allow_noncommercial")
def test_weights_for_research_need_a_word(depth_bench):
    bench = depth_bench(active=False, model="tiny_forbidden")
    assert not bench.change_state("configure")
    bench.wait_for_status(b"\x02", "set allow_noncommercial to true")

    assert bench.set_parameters(allow_noncommercial=True) == ""
    assert bench.change_state("configure")


@proves("completion.source", "completion.min_points")
def test_completion_takes_the_depth_it_is_told_to_take(depth_bench, completing_models):
    bench = depth_bench(model="small_lingbot", engine="torch", registry=str(completing_models))
    bench.calibrate(width=128, height=96)
    rgb = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    guessed = depth_m(bench, rgb)
    assert np.isfinite(guessed).any()

    with live(bench, **{"completion.source": "sparse_points", "completion.min_points": 7}):
        stats = bench.process(bench.image(rgb))

    assert "the frame has 0 points" in stats.last_skip
    assert "fewer than completion.min_points = 7" in stats.last_skip


@proves("completion.guess_model")
def test_the_model_of_the_first_guess_must_be_known(depth_bench, completing_models):
    problem = problem_at_configure(
        depth_bench,
        model="small_lingbot",
        engine="torch",
        registry=str(completing_models),
        **{"completion.guess_model": "nanu"},
    )
    assert "no model 'nanu' in the registry: did you mean nano?" in problem


@proves("completion.max_jump", "completion.min_confidence")
def test_what_of_the_first_guess_is_doubtful_changes_its_completion(depth_bench, completing_models):
    rgb = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    bench = depth_bench(
        active=False, model="small_lingbot", engine="torch", registry=str(completing_models)
    )

    def completed(max_jump: float, min_confidence: float) -> np.ndarray:
        limits = {"completion.max_jump": max_jump, "completion.min_confidence": min_confidence}
        assert bench.set_parameters(**limits) == ""
        bench.change_state("configure")
        bench.change_state("activate")
        bench.wait_for_inputs()
        bench.calibrate(width=128, height=96)
        depth = depth_m(bench, rgb)
        bench.change_state("deactivate")
        bench.change_state("cleanup")
        bench.heard.clear()
        return depth

    nothing_hidden = completed(1000.0, 0.0)
    assert not np.allclose(completed(0.001, 0.0), nothing_hidden, equal_nan=True)
    assert not np.allclose(completed(1000.0, 1.0), nothing_hidden, equal_nan=True)


@proves("image_transport")
def test_image_transport_sets_the_type_of_the_input(depth_bench):
    bench = depth_bench(image_transport="compressed")
    types = {item.topic_name: item.msg_type for item in bench.node.subscriptions}
    assert types["/image"] is CompressedImage
    assert types["/image/compressed"] is CompressedImage  # as image_transport names it


@proves("rectify")
def test_rectify_needs_a_calibration(depth_bench):
    bench = depth_bench(rectify=True)
    bench.listen("relative/image")
    stats = bench.process(bench.image(IMAGE))
    assert stats.last_skip == "rectify is on, but there is no calibration on camera_info"


@proves("odometry.source")
@pytest.mark.parametrize(("source", "listens"), [("odom", True), ("none", False)])
def test_odometry_source_chooses_the_inputs(depth_bench, source, listens):
    bench = depth_bench(**{"odometry.source": source})
    assert ("/odom" in {item.topic_name for item in bench.node.subscriptions}) is listens


def frame_with_pose(bench, odometry):
    """Process an image whose pose is told; the body stands."""
    image = bench.image(IMAGE, step_s=0.05)
    message = Odometry(header=Header(frame_id="odom", stamp=image.header.stamp))
    message.child_frame_id = "base"
    message.pose.pose.orientation.w = 1.0
    odometry.publish(message)
    bench.process(image)
    return bench.stream_values()


def with_odometry(depth_bench, **parameters):
    """Start a node whose camera is the body, and who tells its odometry."""
    bench = depth_bench(**{"odometry.camera_in_body": "0 0 0 0 0 0", **parameters})
    bench.listen("depth/image")
    bench.calibrate()
    odometry = bench.peer.create_publisher(Odometry, "odom", 5)
    bench.ros.wait_until(odometry.get_subscription_count)
    return bench, odometry


@proves("odometry.camera_in_body")
def test_poses_come_from_odometry_and_the_place_of_the_camera(depth_bench):
    bench, odometry = with_odometry(depth_bench, **{"temporal.mode": "pose"})

    bench.ros.wait_until(
        lambda: frame_with_pose(bench, odometry)["temporal_mode"] == "pose",
        what="poses for the temporal filter",
    )


@proves("motion.mode")
def test_points_of_the_camera_s_motion_are_made_or_not(depth_bench):
    bench, odometry = with_odometry(depth_bench)
    bench.listen("landmarks")

    def motion() -> str:
        return frame_with_pose(bench, odometry)["motion"]

    assert motion() == ""
    assert bench.set_parameters(**{"motion.mode": "auto"}) == ""
    bench.ros.wait_until(motion, what="a word about motion")
    bench.ros.wait_until(lambda: bench.heard["landmarks"], what="a cloud, if an empty one")
    assert bench.set_parameters(**{"motion.mode": "off"}) == ""
    bench.ros.wait_until(lambda: motion() == "", what="no word about motion")
    heard = len(bench.heard["landmarks"])
    assert motion() == ""
    assert len(bench.heard["landmarks"]) == heard


def stack_of_frames(**parameters: str) -> CameraPoses:
    """Return poses in which map, odom, base_footprint and camera stand on one another."""
    poses = CameraPoses(camera_in_body=None, **parameters)
    links = (
        ("map", "odom", 5.0),
        ("odom", "base_footprint", 1.0),
        ("base_footprint", "camera", 0.5),
    )
    for parent, child, up_m in links:
        transform = TransformStamped(child_frame_id=child)
        transform.header.frame_id = parent
        transform.transform.translation.z = up_m
        transform.transform.rotation.w = 1.0
        poses.on_transforms([transform], static=True)
    return poses


@proves("odometry.max_wait_s")
@pytest.mark.parametrize(("max_wait_s", "is_known"), [(0.0, False), (0.4, True)])
def test_an_image_waits_for_odometry_that_lags_for_max_wait_s(max_wait_s, is_known):
    poses = CameraPoses(fixed_frame="odom", camera_in_body=np.eye(4))

    def odometry(at_s: float) -> None:
        stamp = Time(nanoseconds=round(at_s * 1e9)).to_msg()
        message = Odometry(header=Header(frame_id="odom", stamp=stamp), child_frame_id="base")
        message.pose.pose.orientation.w = 1.0
        poses.on_odometry(message)

    for at_s in (1.00, 1.05):
        odometry(at_s)
    poses.wait_for(1_250_000_000, "camera", max_wait_s)  # learns that it is 0.1 s short
    later = threading.Timer(0.05, odometry, [1.10])
    later.start()
    poses.wait_for(1_200_000_000, "camera", max_wait_s)
    known = poses.at(1_200_000_000, "camera") is not None
    later.join()
    assert known is is_known


@proves("odometry.fixed_frame")
def test_the_fixed_frame_is_where_poses_start():
    assert stack_of_frames(fixed_frame="odom").at(10**9, "camera")[2, 3] == 1.5
    assert stack_of_frames(fixed_frame="map").at(10**9, "camera")[2, 3] == 6.5


@proves("odometry.ground_frame")
def test_the_ground_frame_tells_the_height_of_the_camera():
    def over_ground(ground_frame: str) -> Any:
        poses = stack_of_frames(fixed_frame="odom", ground_frame=ground_frame)
        return poses.over_ground(10**9, "camera")

    assert over_ground("base_footprint")[0] == 0.5
    assert over_ground("") is None


@proves("autostart")
@pytest.mark.parametrize(("autostart", "state"), [("true", "active"), ("false", "unconfigured")])
def test_autostart_activates_the_executable(ros, tiny_models, autostart, state):
    parameters = {"model": "tiny_metric", "registry": tiny_models, "autostart": autostart}
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    main = threading.Thread(target=depth_node.main, args=(["--ros-args", *words],))
    main.start()
    try:
        peer = ros.node("peer")
        client = peer.create_client(GetState, "/mono_depth/get_state")
        ros.wait_until(client.service_is_ready, what="the node")
        answer = client.call_async(GetState.Request())
        ros.wait_until(answer.done)
        assert answer.result().current_state.label == state
    finally:
        rclpy.shutdown()
        main.join()


# What is refused


@pytest.mark.parametrize("name", LIVE)
def test_a_live_parameter_can_be_set_at_any_time(bench, name):
    assert bench.set_parameters(**{name: bench.node.get_parameter(name).value}) == ""


def test_what_loads_the_model_can_be_set_while_active_but_not_while_inactive(depth_bench):
    bench = depth_bench()
    same = {name: bench.node.get_parameter(name).value for name in RELOADING}

    assert bench.set_parameters(**same) == ""

    assert bench.change_state("deactivate")
    for name, value in same.items():
        reason = bench.set_parameters(**{name: value})
        assert reason == f"{name} can change only while the node is unconfigured or active"


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_parameter_changes_only_while_unconfigured(bench, name):
    reason = bench.set_parameters(**{name: bench.node.get_parameter(name).value})
    assert reason == f"{name} can change only while the node is unconfigured"


def test_unconfigured_everything_can_be_set(depth_bench):
    bench = depth_bench(active=False)
    values = {name: bench.node.get_parameter(name).value for name in [*FIXED, *RELOADING]}

    assert bench.set_parameters(**{**values, "model": "tiny_affine"}) == ""

    assert bench.node.config.model == "tiny_affine"


@pytest.mark.parametrize("name", [name for name in LIVE if TABLE[name].minimum is not None])
def test_values_outside_the_limits_are_refused(bench, name):
    param, kind = TABLE[name], type(DEFAULTS[name])
    step = 1 if kind is int else 1e-3 * max(1.0, abs(param.maximum))
    wrong = [kind(param.minimum - step), kind(param.maximum + step)]
    for value in [*wrong, *([math.nan] if kind is float else [])]:
        if kind is int and not -(2**63) <= value < 2**63:
            continue
        assert bench.set_parameters(**{name: value}) != "", value
        assert bench.node.get_parameter(name).value != value


@pytest.mark.parametrize("name", [name for name in LIVE if TABLE[name].choices])
def test_unknown_choices_are_refused_with_the_known_ones(bench, name):
    reason = bench.set_parameters(**{name: "nonsense"})
    assert "= 'nonsense' is not one of " in reason
    assert TABLE[name].choices[-1] in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"min_depth_m": 60.0}, "min_depth_m = 60.0 must be below max_depth_m = 50.0"),
        ({"cloud.min_depth_m": 60.0}, "cloud.min_depth_m = 60.0 must be below cloud.max_depth_m"),
        ({"color.near_m": 5.0, "color.far_m": 4.0}, "color.near_m = 5.0 must be below color.far_m"),
        ({"scale.valid_sigma": 0.5}, "scale.valid_sigma = 0.5 must not be above scale.lost_sigma"),
    ],
)
def test_contradictions_are_refused_with_the_reason(bench, changes, reason):
    assert reason in bench.set_parameters(**changes)


def test_what_contradicts_one_by_one_can_be_set_together(bench):
    with live(bench, min_depth_m=60.0, max_depth_m=70.0):
        assert bench.node.config.min_depth_m == 60.0


def test_a_value_of_another_type_is_refused(bench):
    assert bench.set_parameters(max_depth_m="far") != ""
    assert bench.set_parameters(**{"cloud.stride": 1.5}) != ""
    assert bench.node.config.max_depth_m == 50.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_depth_m": 10}, "of type 'INTEGER', expecting type "),
        ({"max_depth_m": 1e6}, "max_depth_m"),
        ({"min_depth_m": 60.0}, "min_depth_m = 60.0 must be below max_depth_m = 50.0"),
        ({"scale.source": "guess"}, "'guess' is not one of auto, "),
        ({"image.significant_bits": 7}, "image.significant_bits = 7 must be 0, or 8 to 16"),
        ({"image_transport": "zip"}, "'zip' is not one of raw, compressed"),
    ],
)
def test_a_wrong_value_at_start_stops_the_node_with_the_reason(ros, parameters, message):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    handlers = list(logging.getLogger("mono_depth").handlers)
    with pytest.raises(ConfigError, match=re.escape(message)):
        DepthNode(context=ros.context, parameter_overrides=overrides)
    assert logging.getLogger("mono_depth").handlers == handlers
    peer = ros.node("peer")
    ros.wait_until(lambda: "mono_depth" not in peer.get_node_names(), what="the end of the node")


def test_the_executable_ends_with_one_sentence_on_a_wrong_value(ros):
    with pytest.raises(SystemExit, match=r"mono_depth: .* write 1.0, not 1"):
        depth_node.main(["--ros-args", "-p", "max_depth_m:=10"])
    assert not rclpy.ok()


def test_a_storm_of_changes_loses_no_frame(bench):
    bench.listen("depth/image")
    for stride in range(1, 17):
        assert bench.set_parameters(**{"cloud.stride": stride}) == ""
        assert not np.isnan(depth_m(bench)).any()
    assert bench.set_parameters(**{"cloud.stride": 1}) == ""


# What is told of them


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_parameter_is_described_with_its_limits(bench, name):
    told = bench.node.describe_parameter(name)
    param = TABLE[name]
    assert told.description == param.description
    assert told.description.endswith(".")
    ranges = [*told.floating_point_range, *told.integer_range]
    limits = [(item.from_value, item.to_value) for item in ranges]
    assert limits == ([] if param.minimum is None else [(param.minimum, param.maximum)])
    constraints = told.additional_constraints
    is_fixed = not param.live and not param.reloads
    assert ("fixed while the node is configured" in constraints) is is_fixed
    assert ("the model is loaded anew with it" in constraints) is param.reloads
    assert all(choice in told.additional_constraints for choice in param.choices)


def test_the_parameter_file_is_the_one_that_is_printed(capsys):
    reference.main(["--yaml"])

    assert (PACKAGE / "config" / "mono_depth.yaml").read_text() == capsys.readouterr().out, (
        "write it anew: "
        "python -m mono_depth_ros.depth_node.parameter_table --yaml > config/mono_depth.yaml"
    )


def test_the_parameter_file_holds_the_defaults():
    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            name = f"{prefix}{key}"
            found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
        return found

    content = yaml.safe_load((PACKAGE / "config" / "mono_depth.yaml").read_text())
    assert flat(content["/**"]["ros__parameters"]) == DEFAULTS


def test_ros_reads_the_parameter_file(ros):
    arguments = ["--ros-args", "--params-file", str(PACKAGE / "config" / "mono_depth.yaml")]
    node = ros.add(DepthNode(context=ros.context, cli_args=arguments))
    assert flatten(node.config) == DEFAULTS


@pytest.mark.parametrize(
    ("document", "section", "option"),
    [
        ("docs/parameters.md", "parameters", "--markdown"),
        ("README.md", "chosen parameters", "--chosen"),
    ],
)
def test_the_tables_in_the_documents_are_those_that_are_printed(document, section, option, capsys):
    file = PACKAGE.parents[2] / document
    if not file.is_file():
        pytest.skip("the package is not in its repository")
    reference.main([option])

    between = file.read_text().partition(f"<!-- {section} -->\n")[2]
    table = between.partition(f"<!-- /{section} -->")[0]
    assert table.strip() == capsys.readouterr().out.strip(), (
        f"put the output of `python -m mono_depth_ros.depth_node.parameter_table {option}` "
        "between the markers"
    )

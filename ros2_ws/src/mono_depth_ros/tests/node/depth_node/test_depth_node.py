"""What the running depth node publishes, checked against depth computed by eye."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger

from mono_depth_ros.depth_node import snapshot_service

pytestmark = pytest.mark.ros

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
GREY = np.uint8(100 + 2 * COLUMNS + ROWS)
IMAGE = np.dstack((GREY + 10, GREY - 10, GREY)).astype(np.uint8)  # 8x6, mean of R, G, B is GREY
DEPTH_M = np.float32(GREY / 25)  # what tiny_metric makes of it: 4.0 to 4.76 m
INPUTS = {"depth/camera_info", "depth/image", "points", "confidence", "relative/image"}
OUTPUTS = sorted(INPUTS | {"depth/image/compressedDepth", "depth/color"})
BEST_EFFORT = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)


def values(image: Image) -> np.ndarray:
    """Return the pixels of a 32FC1 or 16UC1 message."""
    dtype = {"32FC1": np.float32, "16UC1": np.uint16}[image.encoding]
    return np.frombuffer(image.data, dtype).reshape(image.height, image.width)


def points(cloud) -> np.ndarray:
    """Return the (h, w, fields) float32 of a cloud."""
    shape = (cloud.height, cloud.width, cloud.point_step // 4)
    return np.frombuffer(cloud.data, np.float32).reshape(shape)


def back_projected(depth_m: np.ndarray, stride: int = 1) -> np.ndarray:
    """Return the points of an 8x6 camera with f = 10 px and its axis at (3.5, 2.5)."""
    z = depth_m[::stride, ::stride]
    rows, columns = ROWS[::stride, ::stride], COLUMNS[::stride, ::stride]
    return np.dstack(((columns - 3.5) / 10 * z, (rows - 2.5) / 10 * z, z))


def test_every_output_has_the_stamp_the_frame_and_the_size_of_the_image(depth_bench):
    bench = depth_bench()
    bench.listen(*OUTPUTS)
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    for topic in OUTPUTS:
        output = bench.output(topic, sent)
        assert output.header == sent.header, topic
        if not isinstance(output, CompressedImage):
            assert (output.width, output.height) == (8, 6), topic


def test_depth_is_what_the_network_says_in_metres(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image", "relative/image")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    depth = bench.output("depth/image", sent)
    assert (depth.encoding, depth.step, depth.is_bigendian) == ("32FC1", 32, 0)
    np.testing.assert_allclose(values(depth), DEPTH_M, rtol=1e-6)
    relative = bench.output("relative/image", sent)
    np.testing.assert_allclose(values(relative), 1 / DEPTH_M, rtol=1e-6)


def test_a_smaller_network_output_is_interpolated_with_pixel_edges_in_place(depth_bench):
    bench = depth_bench(model="tiny_half")
    bench.listen("depth/image")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    # Halving a linear image and doubling it again gives it back, but for the border.
    depth_m = values(bench.output("depth/image", sent))
    np.testing.assert_allclose(depth_m[1:-1, 1:-1], DEPTH_M[1:-1, 1:-1], rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 3])
def test_the_cloud_is_the_depth_image_projected_back(depth_bench, stride):
    bench = depth_bench(**{"cloud.stride": stride, "cloud.rgb": False})
    bench.listen("depth/image", "points")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    cloud = bench.output("points", sent)
    size = {1: (8, 6), 3: (3, 2)}[stride]
    assert (cloud.width, cloud.height, cloud.point_step) == (*size, 12)
    assert cloud.row_step == 12 * cloud.width
    assert [(field.name, field.offset) for field in cloud.fields] == [("x", 0), ("y", 4), ("z", 8)]
    expected = back_projected(values(bench.output("depth/image", sent)), stride)
    np.testing.assert_allclose(points(cloud), expected, rtol=1e-4)


def test_every_point_has_the_color_of_its_pixel(depth_bench):
    bench = depth_bench()
    bench.listen("points")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    cloud = bench.output("points", sent)
    assert [(field.name, field.offset) for field in cloud.fields][3] == ("rgb", 12)
    assert cloud.point_step == 16
    np.testing.assert_allclose(points(cloud)[..., :3], back_projected(DEPTH_M), rtol=1e-4)
    blue_green_red_zero = np.frombuffer(cloud.data, np.uint8).reshape(6, 8, 16)[..., 12:]
    expected = np.dstack((IMAGE[..., ::-1], np.zeros((6, 8), np.uint8)))
    np.testing.assert_array_equal(blue_green_red_zero, expected)


def test_millimetres_are_published_on_demand(depth_bench):
    bench = depth_bench(depth_encoding="16UC1")
    bench.listen("depth/image")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    depth = bench.output("depth/image", sent)
    assert (depth.encoding, depth.step) == ("16UC1", 16)
    np.testing.assert_array_equal(values(depth), GREY.astype(np.uint16) * 40)


@pytest.mark.parametrize(
    ("parameters", "calibration", "reason"),
    [
        ({"model": "tiny_metric"}, None, "no usable camera_info: the camera is uncalibrated"),
        ({"model": "tiny_metric"}, {"k": [0.0] * 9, "p": [0.0] * 12}, "no usable camera_info"),
        ({"model": "tiny_inverse"}, {}, "the model gives inverse_affine; set scale.source"),
        ({"model": "tiny_affine"}, {}, "the model gives depth_affine; set scale.source"),
        ({"model": "tiny_metric", "scale.source": "none"}, {}, "scale.source is none"),
    ],
    ids=["no camera_info", "K is zero", "inverse depth", "depth without scale", "not wanted"],
)
def test_without_a_metric_scale_there_is_only_relative_depth(
    depth_bench, parameters, calibration, reason
):
    bench = depth_bench(**parameters)
    bench.listen(*OUTPUTS)
    if calibration is not None:
        bench.calibrate(**calibration)
    first, second = bench.image(IMAGE), bench.image(IMAGE)

    bench.process(first)
    bench.process(second)

    bench.output("depth/color", second)  # the last of the topics, in the order of publishing
    metric = ["depth/image", "points", "depth/image/compressedDepth"]
    assert [bench.heard[topic] for topic in metric] == [[], [], []]
    relative = values(bench.output("relative/image", second))
    is_inverse = parameters["model"] == "tiny_inverse"
    np.testing.assert_allclose(relative, DEPTH_M if is_inverse else 1 / DEPTH_M, rtol=1e-6)
    bench.wait_for_status(DiagnosticStatus.WARN, f"no metric depth: {reason}")


def test_a_frame_that_gives_nothing_for_its_subscribers_counts_as_skipped(depth_bench):
    bench = depth_bench(model="tiny_inverse")
    bench.listen("depth/image")
    bench.calibrate()

    stats = bench.process(bench.image(IMAGE))

    assert (stats.received, stats.published, stats.skipped) == (1, 0, 1)
    assert stats.last_skip == (
        "nothing to publish on depth/image: the model gives inverse_affine; "
        "set scale.source to fixed for metres"
    )


@pytest.mark.parametrize(
    ("model", "expected_m"),
    [
        # tiny_inverse says 4.0 at the first pixel: 1 / (0.05 * 4 + 0.05) = 4 m
        ("tiny_inverse", 1 / (0.05 * DEPTH_M + 0.05)),
        # tiny_affine says 4.0 at the first pixel: 0.05 * 4 + 0.05 = 0.25 m
        ("tiny_affine", 0.05 * DEPTH_M + 0.05),
    ],
)
def test_a_fixed_scale_makes_metres_of_relative_depth(depth_bench, model, expected_m):
    scale = {"scale.source": "fixed", "scale.factor": 0.05, "scale.shift": 0.05}
    bench = depth_bench(model=model, **scale)
    bench.listen("depth/image")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    np.testing.assert_allclose(values(bench.output("depth/image", sent)), expected_m, rtol=1e-5)
    bench.ros.wait_until(lambda: bench.stream_values().get("scale_source") == "fixed")


def test_pixels_without_depth_have_no_confidence_no_point_and_no_value(depth_bench):
    bench = depth_bench(model="tiny_fickle", **{"cloud.max_jump": 0.0})
    bench.listen("depth/image", "confidence", "points", "relative/image")
    bench.calibrate()
    rgb = IMAGE.copy()
    rgb[1, 2] = (0, 250, 0)  # NaN
    rgb[3, 4] = (0, 0, 250)  # +Inf
    rgb[4, 4] = (0, 0, 0)  # -2 m
    rgb[5, 4] = (50, 0, 0)  # 0 m
    unknown = np.zeros((6, 8), bool)
    unknown[[1, 3, 4, 5], [2, 4, 4, 4]] = True
    sent = bench.image(rgb)

    bench.process(sent)

    depth_m = values(bench.output("depth/image", sent))
    np.testing.assert_array_equal(np.isnan(depth_m), unknown)
    np.testing.assert_allclose(depth_m[~unknown], (GREY[~unknown] - 40.0) / 25, rtol=1e-5)
    confidence = values(bench.output("confidence", sent))
    np.testing.assert_array_equal(confidence > 0.0, ~unknown)
    cloud = points(bench.output("points", sent))
    np.testing.assert_array_equal(np.isnan(cloud[..., :3]).all(axis=-1), unknown)
    np.testing.assert_array_equal(np.isnan(values(bench.output("relative/image", sent))), unknown)


def test_camera_info_describes_pixels_without_distortion(depth_bench):
    bench = depth_bench()
    bench.listen("depth/camera_info", "points")
    p = [20.0, 0.0, 3.0, 0.0, 0.0, 20.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    bench.calibrate(d=[0.1, 0.01, 0.0, 0.0, 0.0], p=p)
    sent = bench.image(IMAGE)

    bench.process(sent)

    info = bench.output("depth/camera_info", sent)
    assert list(info.p) == p
    assert list(info.k) == [20.0, 0.0, 3.0, 0.0, 20.0, 2.0, 0.0, 0.0, 1.0]
    assert list(info.r) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert (info.distortion_model, list(info.d)) == ("plumb_bob", [0.0] * 5)
    corner = points(bench.output("points", sent))[0, 0, :3]
    np.testing.assert_allclose(corner, [-3 / 20 * 4.0, -2 / 20 * 4.0, 4.0], rtol=1e-4)


def test_compressed_depth_decodes_to_the_depth_image(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image/compressedDepth")
    bench.calibrate()
    sent = bench.image(IMAGE)

    bench.process(sent)

    message = bench.output("depth/image/compressedDepth", sent)
    assert message.format == "32FC1; compressedDepth png"
    kind, scale, offset = struct.unpack_from("<iff", message.data)
    assert kind == 0
    assert scale == 100 * 101
    inverse = cv2.imdecode(np.frombuffer(message.data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(scale / (inverse - offset), DEPTH_M, atol=0.003)


def test_an_output_without_subscriber_is_not_encoded(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image", "confidence")
    bench.calibrate()

    bench.process(bench.image(IMAGE))

    bench.ros.wait_until(lambda: bench.stream_values().get("published") == "1")
    timed = {key.removesuffix("_p50_ms") for key in bench.stream_values() if "_p50_ms" in key}
    assert timed & set(OUTPUTS) == {"depth/image", "confidence"}


def test_without_any_subscriber_the_network_does_not_run(depth_bench):
    bench = depth_bench(model="tiny_fickle")  # which would fail on this image
    bench.calibrate()
    failing = np.full((6, 8, 3), 255, np.uint8)

    stats = bench.process(bench.image(failing))

    assert (stats.received, stats.skipped, stats.idle, stats.last_skip) == (1, 1, 1, "")
    bench.wait_for_status(DiagnosticStatus.OK, "idle: nothing subscribes to an output")
    assert not [key for key in bench.stream_values() if key.startswith("infer")]


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 1e-6), (".jpg", 0.02)])
def test_compressed_images_are_accepted(depth_bench, suffix, tolerance):
    bench = depth_bench(image_transport="compressed")
    bench.listen("depth/image")
    bench.calibrate()
    rgb = np.dstack((GREY, GREY, GREY))
    kind = {".png": "png", ".jpg": "jpeg"}[suffix]
    sent = CompressedImage(format=f"rgb8; {kind} compressed bgr8")
    sent.header = bench.image(rgb).header
    _, encoded = cv2.imencode(suffix, rgb, [cv2.IMWRITE_JPEG_QUALITY, 100])
    sent.data.frombytes(encoded.tobytes())

    bench.process(sent)

    depth = bench.output("depth/image", sent)
    assert depth.header == sent.header
    np.testing.assert_allclose(values(depth), DEPTH_M, rtol=tolerance)


def test_rectify_makes_depth_of_the_undistorted_image(depth_bench):
    bench = depth_bench(rectify=True)
    bench.listen("depth/image", "depth/camera_info")
    # The rectified camera looks one pixel to the left of the raw one.
    bench.calibrate(p=[10.0, 0.0, 4.5, 0.0, 0.0, 10.0, 2.5, 0.0, 0.0, 0.0, 1.0, 0.0])
    sent = bench.image(IMAGE)

    bench.process(sent)

    depth_m = values(bench.output("depth/image", sent))
    np.testing.assert_allclose(depth_m[:, 1:], DEPTH_M[:, :-1], rtol=1e-5)
    assert np.isnan(depth_m[:, 0]).all()  # the camera did not see that column: black
    assert bench.output("depth/camera_info", sent).k[2] == 4.5


def test_rectify_without_calibration_is_refused_with_the_reason(depth_bench):
    bench = depth_bench(rectify=True)
    bench.listen("relative/image")

    stats = bench.process(bench.image(IMAGE))

    assert stats.skipped == 1
    assert stats.last_skip == "rectify is on, but there is no calibration on camera_info"


def test_qos_of_an_output_can_be_overridden_and_a_misfit_is_told(depth_bench):
    topic = "/mono_depth/depth/image"
    bench = depth_bench(**{f"qos_overrides.{topic}.publisher.reliability": "best_effort"})
    bench.listen("depth/image", qos=BEST_EFFORT)
    bench.peer.create_subscription(Image, topic, lambda _: None, 5)  # asks for reliable
    bench.calibrate()

    log = bench.wait_for_log("has an incompatible")

    assert log == (
        f"a subscriber of {topic} has an incompatible reliability policy, so no message passes "
        f"between us; compare with `ros2 topic info -v {topic}` and set qos_overrides.{topic}"
    )
    sent = bench.image(IMAGE)
    bench.process(sent)
    assert bench.output("depth/image", sent).encoding == "32FC1"


def test_a_camera_whose_qos_does_not_fit_is_told(depth_bench):
    name = "qos_overrides./image.subscription.reliability"
    bench = depth_bench(active=False, **{name: "reliable"})
    bench.peer.create_publisher(Image, "image", BEST_EFFORT)
    bench.change_state("configure")
    bench.change_state("activate")

    log = bench.wait_for_log("has an incompatible")

    assert log.startswith("a publisher of /image has an incompatible reliability policy")


def test_outputs_are_reliable_and_volatile_by_default(depth_bench):
    bench = depth_bench()
    topic = "/mono_depth/depth/image"
    bench.ros.wait_until(lambda: bench.peer.get_publishers_info_by_topic(topic))

    (endpoint,) = bench.peer.get_publishers_info_by_topic(topic)

    assert endpoint.qos_profile.reliability == QoSReliabilityPolicy.RELIABLE
    assert endpoint.qos_profile.durability == QoSDurabilityPolicy.VOLATILE


def test_reset_forgets_the_past_before_the_next_frame(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()
    before = bench.process(bench.image(IMAGE))

    answer = bench.trigger("reset")
    after = bench.process(bench.image(IMAGE))

    assert answer.success
    assert (before.resets, before.last_reset) == (1, "activated")
    assert (after.resets, after.last_reset) == (2, "reset service")


def test_snapshot_writes_the_next_frame_without_any_subscriber(depth_bench, tmp_path):
    bench = depth_bench(snapshot_dir=str(tmp_path))
    bench.calibrate()
    client = bench.peer.create_client(Trigger, "/mono_depth/snapshot")
    bench.ros.wait_until(client.service_is_ready)
    answer = client.call_async(Trigger.Request())
    while not answer.done():  # a frame sent before the request is taken is not the next one
        sent = bench.image(IMAGE)
        bench.process(sent)

    assert answer.result().success
    folder = Path(answer.result().message)
    assert folder.parent == tmp_path
    np.testing.assert_allclose(np.load(folder / "depth_m.npy"), DEPTH_M, rtol=1e-6)
    rgb = cv2.imread(str(folder / "rgb.png"))[..., ::-1]
    np.testing.assert_array_equal(rgb, IMAGE)
    depth_mm = cv2.imread(str(folder / "depth_mm.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(depth_mm, GREY.astype(np.uint16) * 40)
    info = json.loads((folder / "info.json").read_text())
    assert info["frame_id"] == "camera"
    assert info["scale"] == {"source": "model", "state": "assumed"}
    assert info["planner_use"] == "mark"
    assert b"element vertex 48" in (folder / "cloud.ply").read_bytes()
    assert cv2.imread(str(folder / "color.png")).shape[0] >= 6


def test_snapshot_answers_why_there_is_none(depth_bench, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot_service, "_PATIENCE_S", 1.0)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    bench = depth_bench(active=False, snapshot_dir=str(blocked))
    bench.change_state("configure")

    assert bench.trigger("snapshot").message == "the node is not active"
    assert bench.trigger("reset").message == "the node is not active"

    bench.change_state("activate")
    late = bench.trigger("snapshot")  # no camera is running
    assert (late.success, late.message) == (False, "no usable image within 1 s")


def test_while_the_network_works_only_the_newest_image_waits(depth_bench):
    bench = depth_bench(model="tiny_slow")
    bench.listen("depth/image")
    bench.calibrate()
    slow = IMAGE.copy()
    slow[..., 2] = 210  # 10 rounds
    first, *waiting = [bench.image(slow)] + [bench.image(IMAGE) for _ in range(5)]

    bench.send(first)
    bench.ros.wait_until(lambda: bench.node.stats.busy_s > 0)
    for image in waiting:
        bench.send(image)
    stats = bench.settle()

    assert (stats.received, stats.published, stats.dropped, stats.skipped) == (6, 2, 4, 0)
    bench.output("depth/image", waiting[-1])
    heard = [message.header.stamp for message in bench.heard["depth/image"]]
    assert heard == [first.header.stamp, waiting[-1].header.stamp]


def test_services_and_diagnostics_answer_while_the_network_works(depth_bench):
    bench = depth_bench(model="tiny_slow")
    bench.listen("depth/image")
    bench.calibrate()
    slow = IMAGE.copy()
    slow[..., 2] = 240  # 40 rounds

    bench.send(bench.image(slow))
    bench.ros.wait_until(lambda: bench.node.stats.busy_s > 0)
    answer = bench.trigger("reset")
    bench.wait_for_status(DiagnosticStatus.OK, "running")

    assert answer.success
    assert bench.node.stats.published == 0  # still at work
    assert bench.settle().published == 1


def test_a_new_resolution_and_calibration_take_effect_at_run_time(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image", "depth/camera_info")
    bench.calibrate()
    small = bench.image(IMAGE)
    bench.process(small)

    large = bench.image(IMAGE.repeat(2, axis=0).repeat(2, axis=1))
    mismatch = bench.process(large)
    bench.calibrate(16, 12)
    larger = bench.image(IMAGE.repeat(2, axis=0).repeat(2, axis=1))
    bench.process(larger)

    assert bench.output("depth/image", small).width == 8
    assert mismatch.skipped == 1
    assert "image of 16x12, but camera_info is for 8x6" in mismatch.last_skip
    assert bench.output("depth/image", larger).width == 16
    assert bench.output("depth/camera_info", larger).k[2] == 7.5
    assert isinstance(bench.heard["depth/camera_info"][0], CameraInfo)

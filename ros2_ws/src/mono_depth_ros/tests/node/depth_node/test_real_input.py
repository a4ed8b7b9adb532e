"""Real images, a really trained network, real transport: camera, node and checker apart.

The depth of the node is compared with the same network run here on the same images, with a
preprocessing of its own: a shift by half a pixel, exchanged colours or another resize show up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message

from mono_depth_ros.bench.run import ros_arguments
from mono_depth_ros.depth_node.publishers import TOPICS

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.alone]

CONFIG = Path(__file__).resolve().parents[3] / "config"
# Those that have the size of the image.
OUTPUTS = (
    "depth/camera_info",
    "depth/image",
    "points",
    "confidence",
    "relative/image",
    "depth/image/compressedDepth",
    "depth/color",
)
ATTEMPTS = 3
FRAME_ID = "tum_camera_optical_frame"
# Source: the README of the recordings.
FX, FY, CX, CY = 517.3, 516.5, 318.6, 255.3
DISTORTION = (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
CALIBRATION = f"""
image_width: 640
image_height: 480
camera_name: tum
distortion_model: plumb_bob
distortion_coefficients: {{rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}}
camera_matrix: {{rows: 3, cols: 3, data: [{FX}, 0, {CX}, 0, {FY}, {CY}, 0, 0, 1]}}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [{FX}, 0, {CX}, 0, 0, {FY}, {CY}, 0, 0, 0, 1, 0]}}
"""


@dataclass
class Recording:
    """What came out of the node, by topic and stamp, and what it says about itself.

    Best effort loses messages to a checker that gets no processor for some frames. On a machine
    that has much else to do, the images are therefore played again, at most `ATTEMPTS` times.
    """

    sent: Mapping[int, Any]  # stamp_ns -> rectified RGB image
    heard: Mapping[str, Mapping[int, Any]]
    said: Mapping[str, str]
    received: int  # images in the last play, the one that was heard
    published: int


@pytest.fixture(scope="module")
def images(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of rectified images, their names are their stamps."""
    if not (shared_data / "fastdepth").is_dir():
        pytest.skip("no FastDepth among the real recordings")
    folder = tmp_path_factory.mktemp("tum")
    K = np.array([[FX, 0.0, CX], [0.0, FY, CY], [0.0, 0.0, 1.0]])
    for file in sorted((shared_data / "tum_fr1_rpy" / "rgb").glob("*.png")):
        rectified = cv2.undistort(cv2.imread(str(file)), K, np.array(DISTORTION))
        cv2.imwrite(str(folder / file.name), rectified, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


@pytest.fixture(scope="module")
def recording(shared_ros: Any, shared_data: Path, images: Path) -> Recording:
    """Play all images at 30 Hz through the node and hear everything it publishes."""
    ros, lock = shared_ros, threading.Lock()
    heard: dict[str, list[bytes]] = {name: [] for name in OUTPUTS}
    said: dict[str, str] = {}

    def keep(name: str, data: bytes) -> None:
        with lock:
            heard[name].append(data)

    def note(message: DiagnosticArray) -> None:
        for status in message.status:
            said.update((value.key, value.value) for value in status.values)

    checker = ros.node("checker")
    qos = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    outputs = [
        checker.create_subscription(
            TOPICS[name],
            f"/mono_depth/{name}",
            lambda data, name=name: keep(name, data),
            qos,
            raw=True,
        )
        for name in OUTPUTS
    ]
    checker.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
    profile = str(CONFIG / "fastdds_large_messages.xml")
    profiles = {
        "FASTRTPS_DEFAULT_PROFILES_FILE": profile,
        "FASTDDS_DEFAULT_PROFILES_FILE": profile,
    }
    parameters = {
        "model": "fastdepth",
        "registry": _registry(shared_data, images.parent),
        "threads": 1,
        "temporal.mode": "none",  # depth of each image by itself
        "precision": "fp32",  # as offline
        "diagnostics.period_s": 0.1,
        "cloud.max_jump": 0.0,  # a point for every pixel
    }
    node = ros.run("-m", "mono_depth_ros.depth_node.node", *ros_arguments(parameters), **profiles)
    ros.wait_until(
        lambda: said.get("lifecycle") == "active" or node.poll() is not None, 60.0, what="active"
    )
    assert node.poll() is None, ros.output(node)
    for output in outputs:
        ros.wait_until(lambda o=output: checker.count_publishers(o.topic_name), what="publisher")
    calibration = images.parent / "tum.yaml"
    calibration.write_text(CALIBRATION)
    camera = {
        "source": images,
        "rate_hz": 30.0,
        "loop": False,
        "stamps": "recording",
        "frame_id": FRAME_ID,
        "camera_info_file": calibration,
        "min_subscribers": 1,
    }
    for _ in range(ATTEMPTS):
        before = _counts(said)
        with lock:
            for messages in heard.values():
                messages.clear()
        process = ros.run(
            "-m", "mono_depth_ros.cameras.camera_node", *ros_arguments(camera), **profiles
        )
        ros.wait_until(lambda p=process: p.poll() is not None, 60.0, what="end of the recording")
        _wait_while_messages_come(heard)
        ros.wait_until(lambda: _in_work(said) == 0, what="the node done with every image")
        _wait_while_messages_come(heard)
        received, published = (
            _counts(said)[name] - before[name] for name in ("received", "published")
        )
        if all(len(messages) == published for messages in heard.values()):
            break
    with lock:
        by_stamp = {
            name: {_stamp_ns(message): message for message in _read(messages, TOPICS[name])}
            for name, messages in heard.items()
        }
    sent = {_stamp_of_name(file): _read_rgb(file) for file in sorted(images.glob("*.png"))}
    return Recording(
        sent=sent, heard=by_stamp, said=dict(said), received=received, published=published
    )


class FastDepth:
    """The network by itself, without this project's code."""

    def __init__(self, file: Path) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def predict(
        self,
        rgb: Any,
        *,
        shrink: Callable[[Any], Any] = lambda image: cv2.resize(image, (224, 224)),
        enlarge: Callable[[Any], Any] = lambda depth_m: cv2.resize(depth_m, (640, 480)),
    ) -> Any:
        small = shrink(rgb.astype(np.float32) / 255.0)
        (output,) = self._session.run(None, {self._input: small.transpose(2, 0, 1)[None]})
        return enlarge(output.squeeze())


@pytest.fixture(scope="module")
def fast_depth(shared_data: Path) -> FastDepth:
    return FastDepth(shared_data / "fastdepth" / "fastdepth_nyu_224.onnx")


def test_every_image_is_published_dropped_or_skipped_and_none_is_lost_on_the_way(
    recording: Recording,
) -> None:
    counts = _counts(recording.said)
    assert counts["received"] == counts["published"] + counts["dropped"] + counts["skipped"]
    assert len(recording.sent) == 60
    # The node asks for the newest image only, so a few may be overwritten on the way to it.
    assert 45 <= recording.received <= 60
    assert counts["skipped"] == 0, recording.said["last_skip"]
    assert recording.published >= 10
    for name, messages in recording.heard.items():
        assert len(messages) == recording.published, name


def test_every_output_has_the_stamp_frame_and_size_of_its_image(recording: Recording) -> None:
    for name, messages in recording.heard.items():
        assert messages.keys() <= recording.sent.keys(), name
        for message in messages.values():
            assert message.header.frame_id == FRAME_ID
            if name != "depth/image/compressedDepth":
                assert (message.width, message.height) == (640, 480), name
    for message in recording.heard["depth/image/compressedDepth"].values():
        png = np.frombuffer(message.data, np.uint8)[12:]
        assert cv2.imdecode(png, cv2.IMREAD_UNCHANGED).shape == (480, 640)


def test_the_calibration_comes_through_unchanged(recording: Recording) -> None:
    for info in recording.heard["depth/camera_info"].values():
        assert info.k.tolist() == [FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0]
        assert info.p.tolist() == [FX, 0.0, CX, 0.0, 0.0, FY, CY, 0.0, 0.0, 0.0, 1.0, 0.0]
        assert list(info.d) == [0.0] * 5


def test_the_cloud_is_the_back_projected_depth_image(recording: Recording) -> None:
    columns, rows = np.meshgrid(np.arange(640.0), np.arange(480.0))
    for stamp, cloud in recording.heard["points"].items():
        depth_m = _floats(recording.heard["depth/image"][stamp]).astype(np.float64)
        expected = np.stack(
            [(columns - CX) / FX * depth_m, (rows - CY) / FY * depth_m, depth_m], axis=-1
        )
        points = np.frombuffer(cloud.data, np.float32).reshape(480, 640, 4)[..., :3]
        distance = np.linalg.norm(points - expected, axis=-1)
        assert np.isfinite(depth_m).mean() > 0.9
        assert np.array_equal(np.isnan(points[..., 2]), np.isnan(depth_m))
        assert np.nanmax(distance / np.linalg.norm(expected, axis=-1)) < 1e-4


def test_the_points_have_the_colors_of_the_image(recording: Recording) -> None:
    for stamp, cloud in recording.heard["points"].items():
        bgr0 = np.frombuffer(cloud.data, np.uint8).reshape(480, 640, 16)[..., 12:]
        assert np.array_equal(bgr0[..., 2::-1], recording.sent[stamp])
        assert not bgr0[..., 3].any()


def test_each_row_and_column_is_what_the_network_gives_offline(
    recording: Recording, fast_depth: FastDepth
) -> None:
    for stamp, message in recording.heard["depth/image"].items():
        expected_m = fast_depth.predict(recording.sent[stamp])
        assert _worst_line(_floats(message), expected_m) < 1e-3


def _enlarge_from_corner_to_corner(depth_m: Any) -> Any:
    columns, rows = np.meshgrid(np.linspace(0, 223, 640), np.linspace(0, 223, 480))
    maps = columns.astype(np.float32), rows.astype(np.float32)
    return cv2.remap(depth_m, *maps, cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    "mistake",
    [
        {"enlarge": _enlarge_from_corner_to_corner},
        {"enlarge": lambda depth_m: cv2.resize(depth_m, (640, 480), interpolation=cv2.INTER_CUBIC)},
        {"shrink": lambda image: cv2.resize(image, (224, 224), interpolation=cv2.INTER_NEAREST)},
        {"shrink": lambda image: cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)},
        {"shrink": lambda image: cv2.resize(image, (224, 224))[..., ::-1]},
    ],
    ids=["half a pixel off", "cubic depth", "nearest pixel", "averaged pixels", "blue for red"],
)
def test_a_wrong_resize_or_channel_order_would_be_seen(
    mistake: dict[str, Any], recording: Recording, fast_depth: FastDepth
) -> None:
    stamp, message = next(iter(recording.heard["depth/image"].items()))
    wrong_m = fast_depth.predict(recording.sent[stamp], **mistake)
    assert _worst_line(_floats(message), wrong_m) > 1e-3


def _worst_line(depth_m: Any, expected_m: Any) -> float:
    """Return the largest of the median relative differences of all rows and columns."""
    difference = np.abs(depth_m - expected_m) / expected_m
    return float(max(np.median(difference, axis=axis).max() for axis in (0, 1)))


def _registry(shared_data: Path, folder: Path) -> Path:
    entry = yaml.safe_load((CONFIG / "fastdepth_registry.example.yaml").read_text())
    weights = shared_data / "fastdepth" / "fastdepth_nyu_224.onnx"
    entry["models"]["fastdepth"]["weights"]["file"] = str(weights)
    registry = folder / "registry.yaml"
    registry.write_text(yaml.safe_dump(entry))
    return registry


def _counts(said: Mapping[str, str]) -> dict[str, int]:
    return {name: int(said[name]) for name in ("received", "published", "dropped", "skipped")}


def _in_work(said: Mapping[str, str]) -> int:
    counts = _counts(said)
    return counts["received"] - counts["published"] - counts["dropped"] - counts["skipped"]


def _wait_while_messages_come(heard: Mapping[str, list[bytes]]) -> None:
    before = -1
    while before != (before := sum(map(len, heard.values()))):
        time.sleep(0.5)


def _read(messages: list[bytes], kind: type) -> Iterator[Any]:
    return (deserialize_message(data, kind) for data in messages)


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def _stamp_of_name(file: Path) -> int:
    seconds, fraction = file.stem.split(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def _read_rgb(file: Path) -> Any:
    return cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)


def _floats(message: Any) -> Any:
    assert message.encoding == "32FC1"
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)

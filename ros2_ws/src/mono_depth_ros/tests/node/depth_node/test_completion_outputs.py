"""The masks of completion on their topics, for the depth camera's real holes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from mono_depth_ros.codec.encode import encode_depth

pytestmark = pytest.mark.ros

HOLE, EDGE, UNSURE = 255, 170, 85


def pixels(message: Image) -> np.ndarray:
    shape = (message.height, message.width, message.step // message.width)
    return np.frombuffer(message.data, np.uint8).reshape(shape).squeeze()


@pytest.fixture
def completing(depth_bench, completing_models):
    bench = depth_bench(
        model="small_lingbot",
        engine="torch",
        registry=str(completing_models),
        **{"sensor_depth.max_wait_s": 1.0},
    )
    bench.listen("completion/mask", "completion/color")
    return bench


def test_holes_and_edges_of_a_real_depth_camera_are_shown(completing, shared_data):
    """A kitchen with glasses, a polished counter and black cupboards."""
    folder = shared_data / "lingbot_rgbd" / "6"
    rgb = cv2.cvtColor(cv2.imread(str(folder / "rgb.jpg")), cv2.COLOR_BGR2RGB)
    depth_mm = cv2.imread(str(folder / "raw_depth.png"), cv2.IMREAD_UNCHANGED)
    k = np.loadtxt(folder / "intrinsics.txt").reshape(-1)
    completing.calibrate(width=640, height=480, k=[*k], p=[*k[:3], 0, *k[3:6], 0, *k[6:], 0])
    depth = completing.peer.create_publisher(Image, "sensor_depth", 5)
    completing.ros.wait_until(depth.get_subscription_count, what="sensor_depth is heard")
    sent = completing.image(rgb)

    depth.publish(encode_depth(depth_mm.astype(np.float32) / 1000, sent.header, "16UC1"))
    completing.ros.wait_until(
        lambda: completing.stream_values().get("sensor_depth_received") == "1", what="depth"
    )
    completing.process(sent)

    mask = completing.output("completion/mask", sent)
    assert (mask.encoding, mask.width, mask.height) == ("mono8", 640, 480)
    assert mask.header == sent.header
    codes = pixels(mask)
    assert np.unique(codes).tolist() == [0, EDGE, HOLE]
    # The network sees every sixth pixel; in the middle of a hole or of a wall they agree.
    is_hole = (depth_mm == 0).astype(np.uint8)
    square = np.ones((13, 13), np.uint8)
    assert (codes[cv2.erode(is_hole, square) > 0] != 0).all()
    assert (codes[cv2.dilate(is_hole, square) == 0] == 0).all()
    color = completing.output("completion/color", sent)
    assert (color.encoding, color.width, color.height) == ("rgb8", 640, 480)
    shown = pixels(color)[:400].astype(int)  # above the names of the tints
    is_grey = shown.max(axis=2) == shown.min(axis=2)
    np.testing.assert_array_equal(is_grey, codes[:400] == 0)


def test_the_doubts_about_a_first_guess_are_shown(completing, shared_data):
    rgb = cv2.imread(str(shared_data / "lingbot_rgbd" / "6" / "rgb.jpg"))[..., ::-1]
    completing.calibrate(width=640, height=480)
    sent = completing.image(np.ascontiguousarray(rgb))

    completing.process(sent)

    codes = pixels(completing.output("completion/mask", sent))
    assert set(np.unique(codes)) <= {0, HOLE, EDGE, UNSURE}
    assert (codes == EDGE).any()
    assert (codes == UNSURE).any()


def test_a_model_that_completes_nothing_says_so(depth_bench):
    bench = depth_bench()
    bench.listen("completion/mask")
    bench.calibrate()
    rgb = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)

    stats = bench.process(bench.image(rgb))

    assert stats.skipped == 1
    assert stats.last_skip.endswith("on completion/mask: tiny_metric completes no depth")
    assert bench.heard["completion/mask"] == []

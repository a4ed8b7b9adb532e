"""The example that listens to the depth node, beside a depth node that runs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Range

EXAMPLE = Path(__file__).resolve().parents[5] / "examples" / "nearest_ahead.py"

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(not EXAMPLE.is_file(), reason="the package is not in its repository"),
]

# tiny_fickle makes (R - 50) / 25 metres, and NaN where G >= 200. It sees 8x6 pixels.
UNKNOWN = (0, 255, 0)
K = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
P = [60.0, 0.0, 31.5, 0.0, 0.0, 60.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0]


def view(middle: tuple[int, int, int]) -> np.ndarray:
    """Return a wall 6.0 m away, 6.4 m on the left, with something else in the middle."""
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[..., 0] = 200
    rgb[:, :8, 0] = 210  # a network that says one number everywhere is not believed
    rgb[8:40, 16:48] = middle
    return rgb


@pytest.fixture(scope="module")
def bench(shared_ros, shared_depth_bench):
    """Start a depth node, and the example beside it."""
    bench = shared_depth_bench(model="tiny_fickle", max_depth_m=8.0)
    bench.heard["range"] = []
    bench.peer.create_subscription(Range, "/nearest_ahead/range", bench.heard["range"].append, 10)
    shared_ros.run(str(EXAMPLE))
    for topic in ("depth/camera_info", "depth/image"):
        (publisher,) = (p for p in bench.node.publishers if p.topic_name.endswith(f"/{topic}"))
        shared_ros.wait_until(
            publisher.get_subscription_count, 60.0, what=f"the example hears {topic}"
        )
    bench.calibrate(64, 48, k=K, p=P)
    return bench


def range_of(bench, rgb: np.ndarray) -> Range:
    """Show an image until the example answers: the first ones may come before camera_info."""
    sent = []

    def answers() -> list[Range]:
        sent.append(bench.image(rgb))
        bench.process(sent[-1])
        stamps = [image.header.stamp for image in sent]
        return [answer for answer in bench.heard["range"] if answer.header.stamp in stamps]

    bench.ros.wait_until(answers, what="the example says how near the nearest thing is")
    return answers()[0]


def test_the_nearest_thing_ahead_is_told_with_the_stamp_and_frame_of_its_image(bench):
    answer = range_of(bench, view(middle=(100, 0, 0)))

    assert answer.range == pytest.approx(2.0, abs=0.01)
    assert answer.header.frame_id == "camera"
    assert range_of(bench, view(middle=(125, 0, 0))).range == pytest.approx(3.0, abs=0.01)


def test_a_free_way_is_infinite_and_an_unknown_one_is_not_free(bench):
    assert range_of(bench, view(middle=(200, 0, 0))).range == math.inf
    assert math.isnan(range_of(bench, view(middle=UNKNOWN)).range)


def test_depth_in_millimetres_is_read_as_well(bench):
    bench.set_parameters(depth_encoding="16UC1")

    assert range_of(bench, view(middle=(100, 0, 0))).range == pytest.approx(2.0, abs=0.01)
    assert math.isnan(range_of(bench, view(middle=UNKNOWN)).range)

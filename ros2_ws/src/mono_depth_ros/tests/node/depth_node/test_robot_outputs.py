"""Scan, obstacles and free space on ROS: what they say, and when they fall silent."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry

from mono_depth.camera.poses import pose_from
from mono_depth_ros.depth_node.robot_outputs import ROBOT_TOPICS

pytestmark = pytest.mark.ros

# A level camera of 8 x 6 pixels, f = 10 px, 0.4 m over the ground. The rows from the fourth on
# look down; the fifth meets the ground at 2.68 m, the last at 1.6 m.
OPEN_M = np.tile(np.array([[10.0], [10.0], [10.0], [8.0], [2.68], [1.6]]), (1, 8))
WALL_M = np.minimum(OPEN_M, 2.0)
SETTINGS = {
    "scale.source": "fixed",
    "scale.camera_height_m": 0.4,
    "odometry.camera_in_body": "0 0 0.4 -1.5707963 0 -1.5707963",
    "odometry.max_wait_s": 0.0,
    "scan.max_height_m": 0.7,
    "scan.range_max_m": 4.0,
    "scan.nearest_count": 1,
    "scan.min_confidence": 0.0,  # all of so small an image lies beside something nearer
}


def picture(depth_m: np.ndarray) -> np.ndarray:
    """Return the image that tiny_metric sees this depth in."""
    return np.dstack([np.round(25.0 * depth_m).astype(np.uint8)] * 3)


@pytest.fixture(scope="module")
def module_bench(shared_depth_bench):
    return shared_depth_bench(**SETTINGS)


@pytest.fixture
def bench(module_bench):
    module_bench.calibrate()
    yield module_bench
    for topic in list(module_bench.heard):
        module_bench.forget(topic)


def show(bench: Any, depth_m: np.ndarray, *, has_odometry: bool = True) -> Any:
    """Let the node see depth from a level camera; return the image message."""
    sent = bench.image(picture(depth_m))
    if has_odometry:
        odometry = Odometry(header=sent.header, child_frame_id="base_link")
        odometry.header.frame_id = "odom"
        odometry.pose.pose.orientation.w = 1.0
        bench.node._stream.poses.on_odometry(odometry)
        sent.header.frame_id = "camera"
    bench.process(sent)
    return sent


def points(cloud: Any) -> np.ndarray:
    return np.frombuffer(cloud.data, np.float32).reshape(cloud.width, 4)


def wait_for_silence(bench: Any, why: str) -> None:
    """Return once the diagnostics say why the robot's outputs are silent."""
    bench.ros.wait_until(
        lambda: why in bench.stream_values().get("robot_silence", ""), what=f"silence: {why}"
    )


def test_a_wall_is_in_the_scan_in_a_level_frame(bench):
    bench.listen("scan", "level_frame")
    sent = show(bench, WALL_M)

    scan = bench.output("scan", sent)
    ranges = np.array(scan.ranges)
    bearings = scan.angle_min + scan.angle_increment * np.arange(len(ranges))
    assert scan.header.frame_id == "camera_level"
    assert scan.angle_max == pytest.approx(bearings[-1], abs=1e-4)
    assert (scan.range_min, scan.range_max) == (pytest.approx(0.15), 4.0)
    assert len(scan.intensities) == 0
    np.testing.assert_allclose(ranges[1:-1], 2.0 / np.cos(bearings[1:-1]), atol=0.12)

    frame = bench.output("level_frame", sent)
    turn = frame.transform.rotation
    T = pose_from((0.0, 0.0, 0.0), (turn.x, turn.y, turn.z, turn.w))
    assert (frame.header.frame_id, frame.child_frame_id) == ("camera", "camera_level")
    np.testing.assert_allclose(T[:3, 0], [0.0, 0.0, 1.0], atol=1e-6)  # ahead is z of the camera
    np.testing.assert_allclose(T[:3, 2], [0.0, -1.0, 0.0], atol=1e-6)  # up is against its y


def test_an_obstacle_on_the_left_has_a_positive_bearing(bench):
    bench.listen("scan")
    depth_m = OPEN_M.copy()
    depth_m[:4, :3] = 2.0
    scan = bench.output("scan", show(bench, depth_m))

    ranges = np.array(scan.ranges)
    assert np.isfinite(ranges[-2])
    assert np.isinf(ranges[1])


def test_obstacle_points_are_dense_and_have_their_height(bench):
    bench.listen("points_obstacles")
    sent = show(bench, WALL_M)
    cloud = bench.output("points_obstacles", sent)

    assert cloud.header == sent.header
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "height"]
    assert cloud.is_dense
    assert (cloud.height, cloud.row_step) == (1, 16 * cloud.width)
    x, y, z, height = points(cloud).T
    np.testing.assert_allclose(z, 2.0, atol=1e-3)
    np.testing.assert_allclose(height, 0.4 - y, atol=1e-3)
    assert np.abs(x).max() < 0.8


def test_a_clear_view_gives_an_empty_cloud_and_points_that_clear(bench):
    bench.listen("points_obstacles", "points_clearing", "scan")
    sent = show(bench, OPEN_M)

    assert bench.output("points_obstacles", sent).width == 0
    cleared = points(bench.output("points_clearing", sent))
    assert np.isfinite(cleared).all()
    assert np.hypot(cleared[:, 0], cleared[:, 2]).max() == pytest.approx(4.0, abs=0.1)
    assert np.isinf(np.array(bench.output("scan", sent).ranges)).any()
    bench.ros.wait_until(lambda: bench.stream_values()["robot_silence"] == "")


def test_assumed_metres_mark_but_do_not_clear(bench):
    bench.listen("scan", "points_obstacles", "points_clearing")
    try:
        assert bench.set_parameters(**{"scale.source": "model"}) == ""
        marked = show(bench, WALL_M)
        scan = bench.output("scan", marked)
        assert not np.isinf(np.array(scan.ranges)).any()
        assert bench.output("points_obstacles", marked).width > 0
        clear = show(bench, OPEN_M)
        wait_for_silence(bench, "that the way is clear cannot be told: the metres are assumed")
    finally:
        assert bench.set_parameters(**{"scale.source": "fixed"}) == ""

    said = [message.header.stamp for topic in bench.heard for message in bench.heard[topic]]
    assert clear.header.stamp not in said  # an empty message would read as "all clear"
    assert bench.heard["points_clearing"] == []


def test_without_gravity_there_is_silence_and_an_error_that_says_why(bench):
    bench.listen(*ROBOT_TOPICS)
    since = len(bench.diagnostics)
    assert bench.trigger("reset").success
    bench._stamp_ns += 10**9  # odometry of before does not reach so far
    for _ in range(3):
        show(bench, WALL_M, has_odometry=False)
        time.sleep(0.05)

    text = "level_frame, scan, points_obstacles, points_clearing: which way is down is not known"
    status = bench.wait_for_status(DiagnosticStatus.ERROR, text, since=since)
    assert status.message.startswith("no scan and no obstacles")
    assert all(heard == [] for heard in bench.heard.values())


def test_unknown_depth_in_the_way_of_the_robot_is_silence(bench):
    bench.listen(*ROBOT_TOPICS)
    holes_m = OPEN_M.copy()
    holes_m[4:, 3:5] = 0.0  # depth of 0 is none
    show(bench, holes_m)

    wait_for_silence(bench, "no depth in a part of the robot's way")
    assert all(heard == [] for heard in bench.heard.values())


def test_lost_metres_are_silence(bench):
    bench.listen(*ROBOT_TOPICS)
    try:
        assert bench.set_parameters(**{"scale.source": "none"}) == ""
        show(bench, WALL_M)
        wait_for_silence(bench, "scale.source is none")
    finally:
        assert bench.set_parameters(**{"scale.source": "fixed"}) == ""

    assert all(heard == [] for heard in bench.heard.values())


def test_depth_goes_on_while_the_robot_outputs_are_silent(bench):
    bench.listen("depth/image", "scan")
    holes_m = WALL_M.copy()
    holes_m[:, :5] = 0.0
    sent = show(bench, holes_m)

    assert bench.output("depth/image", sent).width == 8
    assert bench.heard["scan"] == []


def test_nothing_of_them_is_computed_without_subscribers(bench, monkeypatch):
    def must_not_be_called(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("mono_depth.outputs.robot_view.RobotViews.of", must_not_be_called)
    bench.listen("depth/image")
    sent = show(bench, WALL_M)

    assert bench.output("depth/image", sent).width == 8
    bench.ros.wait_until(lambda: bench.stream_values()["robot_silence"] == "")


def test_limits_of_the_scan_are_live(bench):
    bench.listen("scan")
    try:
        assert bench.set_parameters(**{"scan.range_max_m": 1.5}) == ""
        near = bench.output("scan", show(bench, WALL_M))
    finally:
        assert bench.set_parameters(**{"scan.range_max_m": 4.0}) == ""

    assert near.range_max == 1.5
    assert not np.isfinite(np.array(near.ranges)).any()
    refused = bench.set_parameters(**{"scan.min_height_m": 0.9})
    assert "scan.min_height_m = 0.9 must be below scan.max_height_m = 0.7" in refused


def test_ranges_say_nothing_of_what_is_beside_the_view(bench):
    bench.listen("scan")
    scan = bench.output("scan", show(bench, WALL_M))

    assert math.degrees(scan.angle_max) < 25.0  # half of the view is 22 degrees
    assert math.degrees(scan.angle_min) > -25.0

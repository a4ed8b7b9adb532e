"""Inputs that callbacks of the depth node cannot use: in silence, skipped, or failed and told."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import PointCloud2, PointField

from mono_depth_ros.sensors.camera_poses import CameraPoses

pytestmark = pytest.mark.ros

IMAGE = np.full((6, 8, 3), 100, np.uint8)
IMAGE[:, 4:] = 175
XYZ = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate("xyz")]
POINT = np.ones(3, "<f4").tobytes()

EMPTY = {
    "of a filter that found nothing": {"width": 0, "height": 0, "point_step": 0, "fields": XYZ},
    "of one row": {"width": 0, "height": 1, "point_step": 12, "fields": XYZ},
    "without fields": {"width": 0, "height": 0},
    "of many columns and no row": {"width": 2**31, "height": 0, "point_step": 12, "fields": XYZ},
}
ODD = {
    "point_step 8 for 12 bytes": {"width": 2, "point_step": 8, "row_step": 16, "data": b"\0" * 16},
    "point_step 0": {"width": 2, "point_step": 0, "row_step": 0, "data": POINT * 2},
    "a field beyond its point": {
        "fields": [*XYZ[:2], PointField(name="z", offset=4000, datatype=7, count=1)],
    },
    "a field at the end of the address space": {
        "fields": [*XYZ[:2], PointField(name="z", offset=2**32 - 1, datatype=8, count=1)],
    },
    "z of a type that is none": {
        "fields": [*XYZ[:2], PointField(name="z", offset=8, datatype=99, count=1)],
    },
    "no fields": {"fields": []},
    "less data than it says": {"width": 1000, "row_step": 12000},
    "more points than fit into any memory": {"width": 2**32 - 1, "height": 2**32 - 1},
}


def cloud(bench, **changes) -> PointCloud2:
    good = {"height": 1, "width": 1, "fields": XYZ, "point_step": 12, "row_step": 12, "data": POINT}
    message = PointCloud2(**{**good, **changes})
    message.header.frame_id = "camera"
    message.header.stamp = bench.image(IMAGE).header.stamp
    return message


@pytest.fixture
def bench(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()
    return bench


def assert_goes_on(bench) -> None:
    good = bench.image(IMAGE)
    bench.process(good)
    bench.output("depth/image", good)
    assert bench.state() == "active"


def test_an_empty_cloud_is_no_points_in_silence(bench):
    clouds = bench.peer.create_publisher(PointCloud2, "sparse_points", 50)
    bench.ros.wait_until(clouds.get_subscription_count)
    for changes in EMPTY.values():
        clouds.publish(cloud(bench, **changes))

    assert_goes_on(bench)
    assert bench.node.guard.report().total == 0
    said = [line for line in bench.log_lines("sparse_points") if "scale assumed" not in line]
    assert said == []


def test_an_odd_cloud_is_skipped_counted_and_named(bench):
    clouds = bench.peer.create_publisher(PointCloud2, "sparse_points", 50)
    bench.ros.wait_until(clouds.get_subscription_count)
    for count, (case, changes) in enumerate(ODD.items(), start=1):
        clouds.publish(cloud(bench, **changes))
        bench.ros.wait_until(
            lambda count=count: bench.node.guard.report().skipped == {"sparse_points": count},
            what=f"skipped: {case}",
        )

    assert bench.node.guard.report().failed == {}
    assert_goes_on(bench)
    key = "sparse_points_skipped"
    bench.ros.wait_until(lambda: bench.stream_values().get(key) == str(len(ODD)), what=key)
    told = [s.message for m in bench.diagnostics for s in m.status if s.level == b"\x01"]
    assert any("not taken, the last: sparse_points skipped: cloud" in text for text in told)
    assert bench.log_lines("sparse_points skipped: cloud with point_step 8")


def test_an_error_of_our_own_in_a_callback_is_told_and_the_node_goes_on(depth_bench, monkeypatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of our own")

    monkeypatch.setattr(CameraPoses, "on_odometry", fail)
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()
    odometry = bench.peer.create_publisher(Odometry, "odom", 10)
    bench.ros.wait_until(odometry.get_subscription_count)
    seen = len(bench.diagnostics)
    odometry.publish(Odometry())

    text = (
        "1 messages or requests not taken, the last: odom failed: ZeroDivisionError('of our own')"
    )
    bench.wait_for_status(DiagnosticStatus.WARN, text, since=seen)
    assert "Traceback" in bench.wait_for_log("odom failed: ")
    assert bench.stream_values()["odom_failed"] == "1"
    assert_goes_on(bench)

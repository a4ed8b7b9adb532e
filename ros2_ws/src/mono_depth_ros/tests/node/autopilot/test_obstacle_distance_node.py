from __future__ import annotations

import math
import socket
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import LaserScan

from mono_depth.errors import ConfigError, FrameError
from mono_depth.outputs.obstacle_distance import SECTORS, ScanRays, obstacle_distance
from mono_depth_ros.autopilot.mavlink_link import MavlinkLink
from mono_depth_ros.autopilot.obstacle_distance import ObstacleDistanceNode
from mono_depth_ros.autopilot.px4_link import filled, odometry_from_px4

pytestmark = pytest.mark.ros

STEP_RAD = math.radians(0.5)
NO_PYMAVLINK = "pymavlink is not installed (extra mavlink)"


@pytest.fixture
def ground_station():
    """A UDP socket that decodes MAVLink."""
    common = pytest.importorskip("pymavlink.dialects.v20.common", reason=NO_PYMAVLINK)
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(5.0)
    parser = common.MAVLink(None)

    def receive(kind, timeout_s=5.0):
        receiver.settimeout(timeout_s)
        while True:
            for message in parser.parse_buffer(receiver.recv(512)) or []:
                if message.get_type() == kind:
                    return message

    yield SimpleNamespace(port=receiver.getsockname()[1], receive=receive, socket=receiver)
    receiver.close()


def obstacle_to_the_left(stamp=None) -> LaserScan:
    """See 90 degrees, clear but for an obstacle 20 degrees left and 2 m away."""
    scan = LaserScan(
        angle_min=math.radians(-45.0),
        angle_max=math.radians(45.0),
        angle_increment=STEP_RAD,
        range_min=0.2,
        range_max=8.0,
    )
    scan.header.frame_id = "level"
    bearings = math.radians(-45.0) + STEP_RAD * np.arange(181)
    near = np.abs(bearings - math.radians(20.0)) < math.radians(1.0)
    scan.ranges = np.where(near, 2.0, math.inf).astype(np.float32).tolist()
    if stamp is not None:
        scan.header.stamp = stamp
    return scan


class Robot:
    def __init__(self, ros, **parameters):
        self.ros, self.peer = ros, ros.node("robot")
        self.scans = self.peer.create_publisher(LaserScan, "scan", 5)
        self.diagnostics: list[DiagnosticStatus] = []
        self.peer.create_subscription(
            DiagnosticArray, "/diagnostics", lambda m: self.diagnostics.extend(m.status), 10
        )
        self.frd: list[LaserScan] = []
        self.peer.create_subscription(LaserScan, "scan_frd", self.frd.append, 10)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = ros.add(
            ObstacleDistanceNode(context=ros.context, parameter_overrides=overrides)
        )
        ros.wait_until(self.scans.get_subscription_count, what="subscriber of scan")

    def see(self, age_s: float = 0.0) -> None:
        now_ns = self.peer.get_clock().now().nanoseconds - int(age_s * 1e9)
        self.scans.publish(obstacle_to_the_left(Time(nanoseconds=now_ns).to_msg()))


def test_an_obstacle_20_degrees_left_decodes_at_minus_20(ros, ground_station):
    robot = Robot(ros, **{"mavlink.port": ground_station.port})

    ros.wait_until(lambda: robot.see() or robot.node.sent > 0)
    heard = ground_station.receive("OBSTACLE_DISTANCE")

    angles = [
        (heard.angle_offset + i * heard.increment_f + 180.0) % 360.0 - 180.0 for i in range(72)
    ]
    seen = {angle: cm for angle, cm in zip(angles, heard.distances, strict=True) if cm < 801}
    assert seen == {-20.0: 200}
    assert heard.distances[0] == 801
    assert heard.distances[36] == 65535
    assert (heard.increment, heard.increment_f, heard.frame) == (5, 5.0, 12)
    assert (heard.min_distance, heard.max_distance) == (20, 800)


def test_when_the_scan_is_old_it_is_silent_and_only_the_heartbeat_goes_on(ros, ground_station):
    robot = Robot(ros, **{"mavlink.port": ground_station.port})
    ros.wait_until(lambda: robot.see() or robot.node.sent > 0)
    ground_station.receive("OBSTACLE_DISTANCE")

    ros.wait_until(lambda: robot.diagnostics and "s old" in robot.diagnostics[-1].message)
    sent = robot.node.sent
    heartbeat = ground_station.receive("HEARTBEAT")  # the computer is there, what it saw is not

    assert heartbeat.get_srcComponent() == 196
    assert robot.diagnostics[-1].level == DiagnosticStatus.ERROR
    assert robot.node.sent == sent


def test_an_old_scan_and_one_of_the_future_are_not_sent(ros):
    robot = Robot(ros, protocol="none")

    robot.see(age_s=3.0)
    ros.wait_until(lambda: robot.node.refused == 1)
    robot.see(age_s=-3.0)
    ros.wait_until(lambda: robot.node.refused == 2)

    assert robot.node.sent == 0
    ros.wait_until(lambda: robot.diagnostics and "in the future" in robot.diagnostics[-1].message)


def test_a_scan_that_is_none_is_skipped_and_the_next_is_sent(ros):
    robot = Robot(ros, protocol="none")
    robot.scans.publish(LaserScan(ranges=[1.0]))
    ros.wait_until(lambda: robot.node.guard.report().total == 1)

    ros.wait_until(lambda: robot.see() or robot.node.sent > 0)


def test_mavros_gets_a_clockwise_scan_of_72_sectors(ros):
    robot = Robot(ros, protocol="none")
    ros.wait_until(lambda: robot.node.count_subscribers("scan_frd"))

    ros.wait_until(lambda: robot.see() or robot.frd, what="scan_frd")

    scan = robot.frd[0]
    assert scan.header.frame_id == "base_link_frd"
    assert len(scan.ranges) == SECTORS
    assert scan.ranges[68] == pytest.approx(2.0, abs=0.01)  # 340 degrees clockwise
    assert scan.ranges[0] > scan.range_max  # clear
    assert math.isnan(scan.ranges[36])


def message():
    rays = ScanRays.of_scan(
        obstacle_to_the_left().ranges,
        angle_min_rad=math.radians(-45.0),
        angle_step_rad=STEP_RAD,
        range_min_m=0.2,
        range_max_m=8.0,
        stamp_ns=1_700_000_000_123_456_789,
    )
    return obstacle_distance(rays)


def test_the_bytes_of_a_message_are_these(ground_station):
    link = MavlinkLink("127.0.0.1", ground_station.port, system_id=1)
    link.send(message())
    data = ground_station.socket.recv(512)
    link.close()

    sectors = "2103" * 9 + "ffff" * 55 + "2103" * 4 + "c800" + "2103" * 3
    assert data[:10].hex() == "fda700000001c44a0100"  # v2, 167 bytes, system 1, component 196
    assert data[10:18].hex() == (1_700_000_000_123_456).to_bytes(8, "little").hex()
    assert data[18:162].hex() == sectors
    assert data[162:177].hex() == "14002003" + "0405" + "0000a040" + "00000000" + "0c"


def test_nobody_who_listens_is_told_and_no_error():
    pytest.importorskip("pymavlink", reason=NO_PYMAVLINK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    link = MavlinkLink("127.0.0.1", port, system_id=1)

    for _ in range(3):
        link.beat()
        time.sleep(0.01)

    assert str(port) in link.problem
    link.close()


def test_without_pymavlink_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymavlink.dialects.v20", None)

    with pytest.raises(ConfigError, match=r"mono_depth_ros\[mavlink\]"):
        MavlinkLink("127.0.0.1", 14550, system_id=1)


def test_a_host_without_address_is_told():
    pytest.importorskip("pymavlink", reason=NO_PYMAVLINK)

    with pytest.raises(ConfigError, match=r"mavlink\.host 'no host' has no address"):
        MavlinkLink("no host", 14550, system_id=1)


def test_without_px4_msgs_the_error_says_where_they_are(ros, monkeypatch):
    monkeypatch.setitem(sys.modules, "px4_msgs.msg", None)
    monkeypatch.setitem(sys.modules, "px4_msgs", None)

    with pytest.raises(ConfigError, match=r"build https://github\.com/PX4/px4_msgs"):
        ObstacleDistanceNode(
            context=ros.context, parameter_overrides=[Parameter("protocol", value="px4")]
        )


def test_rates_that_contradict_each_other_are_refused(ros):
    overrides = [Parameter("min_rate_hz", value=20.0), Parameter("max_rate_hz", value=10.0)]

    with pytest.raises(ConfigError, match="must not be below min_rate_hz"):
        ObstacleDistanceNode(context=ros.context, parameter_overrides=overrides)


# px4_msgs has no wheel; its messages are plain fields, as here.


def test_px4_gets_the_same_sectors():
    px4 = filled(SimpleNamespace(), message())

    assert px4.timestamp == 1_700_000_000_123_456
    assert (px4.frame, px4.increment, px4.angle_offset) == (12, 5.0, 0.0)
    assert px4.distances[68] == 200
    assert px4.distances.dtype == np.uint16


def vehicle_odometry(**changes):
    values = {
        "timestamp_sample": 5_000_000,
        "pose_frame": 1,
        "position": np.float32([1.0, 2.0, -3.0]),
        "q": np.float32([1.0, 0.0, 0.0, 0.0]),
        "velocity_frame": 3,
        "velocity": np.float32([0.5, 0.1, 0.2]),
        "angular_velocity": np.float32([0.0, 0.0, 0.3]),
    }
    return SimpleNamespace(**{**values, **changes})


def test_odometry_of_px4_becomes_that_of_rep_103():
    odometry = odometry_from_px4(vehicle_odometry(), "odom", "base_link")

    place, turned = odometry.pose.pose.position, odometry.pose.pose.orientation
    assert (place.x, place.y, place.z) == (2.0, 1.0, 3.0)
    assert abs(turned.z) == pytest.approx(math.sqrt(0.5))  # north is 90 degrees from east
    assert odometry.header.stamp.sec == 5
    assert odometry.twist.twist.angular.z == pytest.approx(-0.3)
    assert odometry.twist.twist.linear.y == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"pose_frame": 0}, "neither NED nor FRD"), ({"q": [np.nan] * 4}, "no pose yet")],
)
def test_odometry_that_is_none_is_refused(change, words):
    with pytest.raises(FrameError, match=words):
        odometry_from_px4(vehicle_odometry(**change), "odom", "base_link")

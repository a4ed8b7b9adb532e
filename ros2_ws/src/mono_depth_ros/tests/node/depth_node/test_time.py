"""Clocks that jump, networks that are slow, odometry that lags, calibration that came once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header

from mono_depth_ros.bench.slow_node import RepeatedModel
from mono_depth_ros.codec import encode

pytestmark = pytest.mark.ros

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
GREY = np.uint8(100 + 2 * COLUMNS + ROWS)
IMAGE = np.dstack((GREY, GREY, GREY)).astype(np.uint8)
DEPTH_M = np.float32(GREY / 25)  # what tiny_metric makes of it
SECOND = 10**9
WAIT_S = {"odometry.camera_in_body": "0 0 0 -1.5708 0 -1.5708", "temporal.mode": "auto"}


class Robot:
    """Images, odometry along x at 1 m/s and points, stamped by a clock that can be set."""

    def __init__(self, bench) -> None:
        self._bench = bench
        self.now_s = 1000.0  # of the robot's clock
        self.x_m = 0.0
        self._odometry = self._clouds = None  # who sends nothing is warned of
        if bench.node.config.odometry.source != "none":
            self._odometry = self._publisher(Odometry, "odom", 50)

    def _publisher(self, kind: type, topic: str, depth: int):
        publisher = self._bench.peer.create_publisher(kind, topic, depth)
        self._bench.ros.wait_until(publisher.get_subscription_count, what=topic)
        return publisher

    def _header(self, frame: str) -> Header:
        return Header(frame_id=frame, stamp=Time(nanoseconds=round(self.now_s * SECOND)).to_msg())

    def pose(self) -> None:
        if self._odometry is None:
            return
        message = Odometry(header=self._header("odom"), child_frame_id="base")
        message.pose.pose.orientation.w = 1.0
        message.pose.pose.position.x = self.x_m
        self._odometry.publish(message)

    def cloud(self, factor: float) -> None:
        if self._clouds is None:
            self._clouds = self._publisher(PointCloud2, "sparse_points", 5)
        z = factor * DEPTH_M
        xyz = np.dstack(((COLUMNS - 3.5) / 10 * z, (ROWS - 2.5) / 10 * z, z)).reshape(1, -1, 3)
        message = encode.encode_cloud(xyz.astype(np.float32), Header(), has_rgb=False)
        message.header = self._header("camera")
        self._clouds.publish(message)

    def image(self) -> None:
        message = self._bench.image(IMAGE)
        message.header.stamp = self._header("camera").stamp
        self._bench.images.publish(message)

    def drive(self, seconds: float, *, points: float = 0.0) -> None:
        """Let time pass at its own speed: poses at 50 Hz, images and points at 10 Hz."""
        for i in range(round(seconds * 50)):
            self.now_s += 0.02
            self.x_m += 0.02
            self.pose()
            if i % 5 == 2:
                if points:
                    self.cloud(points)
                self.image()
            time.sleep(0.02)


def poses_used(bench):
    """Return x of the camera for each frame from now on, None = no pose."""
    stream, seen = bench.node._stream, []
    read = stream._reader.read

    def noted(*arguments):
        frame = read(*arguments)
        T = frame.T_odom_camera
        seen.append((frame.stamp_ns * 1e-9, None if T is None else float(T[0, 3])))
        return frame

    stream._reader.read = noted
    return seen


@pytest.mark.parametrize("jump_s", [-0.3, -3.0, -100.0, 3.0, 100.0])
def test_after_the_clock_was_set_no_pose_of_before_is_used(depth_bench, jump_s):
    bench = depth_bench(**WAIT_S)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    robot.drive(1.2)
    seen = poses_used(bench)
    robot.now_s += jump_s
    robot.x_m = 100.0

    robot.drive(1.6)

    bench.settle()
    assert len(seen) >= 8
    assert [x for _, x in seen if x is not None and x < 99.0] == []
    assert all(x is not None for _, x in seen[-5:])


def test_a_bag_of_two_seconds_that_loops_gives_each_image_the_pose_of_its_own_loop(depth_bench):
    bench = depth_bench(**WAIT_S)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    seen = poses_used(bench)
    for loop in range(3):
        robot.now_s, robot.x_m = 1000.0, 100.0 * loop
        first = len(seen)

        robot.drive(2.0)

        bench.settle()
        of_loop = [x for _, x in seen[first:] if x is not None]
        assert len(of_loop) >= 14
        assert all(100.0 * loop - 1.0 < x < 100.0 * loop + 5.0 for x in of_loop)


def test_one_image_stamped_far_ahead_costs_the_others_no_pose(depth_bench):
    bench = depth_bench(**WAIT_S)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    robot.drive(1.0)
    right_s = robot.now_s
    seen = poses_used(bench)
    robot.now_s = right_s + 1000.0
    robot.image()
    robot.now_s = right_s

    robot.drive(0.6)

    bench.settle()
    assert seen[0] == (pytest.approx(right_s + 1000.0), None)
    assert all(x is not None for _, x in seen[1:])


@pytest.mark.alone
@pytest.mark.parametrize("network_s", [0.6, 1.2])
def test_a_slow_network_keeps_the_scale_and_says_that_it_is_slow(depth_bench, network_s):
    """Images and points come at 10 Hz; the network takes one image in six or twelve."""
    bench = depth_bench(**{"odometry.source": "none", "temporal.mode": "static"})
    pipeline = bench.node._pipeline
    pipeline.model = RepeatedModel(pipeline.model, network_s)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)

    driving = threading.Thread(target=robot.drive, args=(6.5 * network_s,), kwargs={"points": 1.5})
    driving.start()
    driving.join()

    stats = bench.settle()
    depths = bench.heard["depth/image"]
    ratios = [
        float(np.median(np.frombuffer(depth.data, np.float32) / DEPTH_M.ravel()))
        for depth in depths
    ]
    assert len(ratios) >= 5
    assert stats.dropped > 3 * len(ratios)
    np.testing.assert_allclose(ratios[3:], 1.5, rtol=0.05)
    assert stats.last_reset == "activated"
    numbers = f"the network takes {network_s:.1f} s a frame, images come every 0.1 s"
    bench.wait_for_status(DiagnosticStatus.WARN, numbers, since=0)


def test_a_gap_of_the_images_themselves_starts_over_with_a_slow_network_too(depth_bench):
    bench = depth_bench(**{"odometry.source": "none"})
    pipeline = bench.node._pipeline
    pipeline.model = RepeatedModel(pipeline.model, 0.3)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    robot.drive(0.6)
    robot.now_s += 1.3
    time.sleep(1.3)

    robot.drive(0.4)

    assert bench.settle().last_reset.startswith("no frame for 1.4")


def test_odometry_that_is_150_ms_late_is_waited_for(depth_bench):
    bench = depth_bench(**WAIT_S)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    seen = poses_used(bench)
    for i in range(100):  # poses of 150 ms before, images of now
        robot.now_s += 0.02
        now_s = robot.now_s
        robot.now_s, robot.x_m = now_s - 0.15, now_s - 0.15
        robot.pose()
        robot.now_s = now_s
        if i % 10 == 0:
            robot.image()
        time.sleep(0.02)

    bench.settle()
    assert all(x is not None for _, x in seen[3:])
    assert [x - stamp_s for stamp_s, x in seen[3:]] == pytest.approx(
        [0.0] * (len(seen) - 3), abs=1e-3
    )


def test_simulated_time_that_nobody_tells_is_warned_of(depth_bench):
    bench = depth_bench(use_sim_time=True)
    bench.listen("depth/image")
    bench.calibrate()

    bench.process(bench.image(IMAGE))

    bench.wait_for_status(DiagnosticStatus.WARN, "use_sim_time is on, nothing came on /clock")
    assert bench.stream_values()["latency_p50_ms"] == "nan"


def test_a_simulation_that_is_reset_takes_the_poses_of_before_with_it(depth_bench):
    bench = depth_bench(**WAIT_S, use_sim_time=True)
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    clock = bench.peer.create_publisher(Clock, "/clock", 1)
    bench.ros.wait_until(clock.get_subscription_count, what="/clock")

    def drive(seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            clock.publish(Clock(clock=Time(nanoseconds=round(robot.now_s * SECOND)).to_msg()))
            robot.drive(0.1)

    drive(1.0)
    seen = poses_used(bench)
    robot.now_s, robot.x_m = 0.0, 100.0
    drive(1.5)

    bench.settle()
    assert [x for _, x in seen if x is not None and x < 99.0] == []
    assert all(x is not None for _, x in seen[-5:])
    bench.wait_for_status(DiagnosticStatus.OK, "running")
    assert float(bench.stream_values()["latency_p50_ms"]) < 1000.0


def calibration() -> CameraInfo:
    info = CameraInfo(width=8, height=6, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.frame_id = "camera"
    info.k = [10.0, 0.0, 3.5, 0.0, 10.0, 2.5, 0.0, 0.0, 1.0]
    info.p = [10.0, 0.0, 3.5, 0.0, 0.0, 10.0, 2.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def test_a_calibration_latched_before_the_node_listened_is_heard(depth_bench):
    bench = depth_bench(active=False)
    qos = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    latched = bench.peer.create_publisher(CameraInfo, "camera_info", qos)
    latched.publish(calibration())
    time.sleep(0.3)

    bench.node.autostart()

    bench.ros.wait_until(
        lambda: bench.stream_values().get("camera_info_age_s", "none received") != "none received",
        what="calibration",
    )
    assert bench.log_lines("incompatible") == []


def test_a_calibration_that_came_once_outlives_a_deactivation(depth_bench):
    bench = depth_bench()
    bench.calibrate()
    time.sleep(0.5)
    assert bench.change_state("deactivate")
    assert bench.change_state("activate")
    bench.wait_for_inputs()
    bench.listen("depth/image")
    time.sleep(0.3)

    sent = bench.image(IMAGE)
    bench.process(sent)

    assert bench.output("depth/image", sent)
    values = bench.stream_values()
    assert float(values["camera_info_age_s"]) >= 0.8
    assert (values["camera_info_received"], values["camera_info_reason"]) == ("1", "")


def test_images_without_stamps_are_told_with_numbers(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()
    for _ in range(3):
        message = bench.image(IMAGE)
        message.header.stamp = Time(nanoseconds=0).to_msg()
        bench.process(message)

    line = bench.wait_for_log("the stamp is zero: the camera driver does not stamp its images")
    assert line.endswith("; of 1 images 1 without a stamp")
    assert bench.node.stats.skipped == 3


def test_stamps_since_boot_are_told_with_numbers_and_give_no_latency(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()

    bench.process(bench.image(IMAGE))

    line = bench.wait_for_log("images are stamped 1000.100 s, the node's clock says 1")
    assert "stamps since boot" in line
    assert bench.stream_values()["latency_p50_ms"] == "nan"


def test_points_of_another_clock_are_told_with_numbers(depth_bench):
    bench = depth_bench()
    bench.listen("depth/image")
    bench.calibrate()
    robot = Robot(bench)
    robot.now_s += 37.0
    robot.cloud(1.5)
    robot.now_s -= 37.0
    time.sleep(0.2)

    robot.drive(3.0)

    text = "sparse_points: the newest cloud is 34."
    status = bench.wait_for_status(DiagnosticStatus.WARN, text, since=0)
    assert " s ahead of the image, odometry.points_max_age_s is 0.2" in status.message
    assert bench.log_lines("sparse_points: the newest cloud is 3")

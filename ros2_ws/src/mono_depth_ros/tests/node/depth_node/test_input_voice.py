"""An input that is there but not used has a voice: a WARN in the diagnostics with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image, Imu, LaserScan, PointCloud2
from std_msgs.msg import Header

from mono_depth_ros.codec import encode

pytestmark = pytest.mark.ros

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
GREY = np.uint8(100 + 2 * COLUMNS + ROWS)
IMAGE = np.dstack([GREY] * 3)
DEPTH_M = np.float32(GREY / 25)  # what tiny_metric makes of it
SECOND = 10**9


@pytest.fixture(scope="module")
def module_bench(shared_depth_bench):
    return shared_depth_bench()


@pytest.fixture
def bench(module_bench) -> Iterator[Any]:
    """The shared node, with a new stream and nobody but the camera on its inputs."""
    own = {id(item) for item in module_bench.peer.publishers}
    module_bench.change_state("deactivate")
    module_bench.change_state("activate")
    module_bench.wait_for_inputs()
    module_bench.calibrate()
    module_bench.listen("relative/image")
    yield module_bench
    for item in list(module_bench.peer.publishers):
        if id(item) not in own:
            module_bench.ros.destroy(module_bench.peer.destroy_publisher, item)
    for topic in list(module_bench.heard):
        module_bench.forget(topic)


@contextmanager
def stranger(ros: Any) -> Iterator[Node]:
    """A node with a participant of its own: within one, Fast DDS refuses a second type."""
    context = Context()
    rclpy.init(context=context, domain_id=ros.domain_id)
    node = Node("stranger", context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def publisher(bench: Any, kind: type, topic: str) -> Any:
    """Return a publisher, once the node hears it if it can."""
    made = bench.peer.create_publisher(kind, topic, 50)
    listens = {item.msg_type for item in bench.node.subscriptions if item.topic_name == f"/{topic}"}
    if kind in listens:
        bench.ros.wait_until(made.get_subscription_count, what=f"{topic} is heard")
    return made


def play(
    bench: Any, beside: Callable[[Header], None] = lambda _: None, **changes: Any
) -> Callable[[str], Any]:
    """Send images at 10 Hz until the stream status says a text; return its status."""

    def until(text: str, level: bytes = DiagnosticStatus.WARN) -> Any:
        seen, deadline_s = len(bench.diagnostics), time.monotonic() + 15.0
        while time.monotonic() < deadline_s:
            image = bench.image(IMAGE, **changes)
            beside(image.header)
            bench.process(image)
            for message in bench.diagnostics[seen:]:
                for status in message.status:
                    if status.name.endswith(": stream") and text in status.message:
                        assert status.level == level, status.message
                        return status
            time.sleep(0.1)
        last = bench.diagnostics[-1].status[0]
        pytest.fail(f"{text!r} was not said, but {last.message!r}; {bench.stream_values()}")

    return until


def values_of(status: Any) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def header_at(head: Header, frame: str, later_s: float = 0.0) -> Header:
    at_ns = Time.from_msg(head.stamp).nanoseconds + round(later_s * 1e9)
    return Header(frame_id=frame, stamp=Time(nanoseconds=at_ns).to_msg())


def cloud(header: Header, *, matrix: Any = None) -> PointCloud2:
    """Return points at twice the depth of the network, in the optical frame or turned by 3x3."""
    z = 2.0 * DEPTH_M
    xyz = np.dstack(((COLUMNS - 3.5) / 10 * z, (ROWS - 2.5) / 10 * z, z)).reshape(1, -1, 3)
    if matrix is not None:
        xyz = xyz @ np.asarray(matrix).T
    message = encode.encode_cloud(xyz.astype(np.float32), header, has_rgb=False)
    message.header = header
    return message


def odometry(header: Header, child: str) -> Odometry:
    message = Odometry(header=header, child_frame_id=child)
    message.pose.pose.orientation.w = 1.0
    return message


# sparse_points


@pytest.mark.parametrize(
    ("later_s", "reason"),
    [
        (37.0, "the newest cloud is 37.00 s ahead of the image: TAI is 37 s ahead of UTC"),
        (-3.0, "the newest cloud is 3.00 s behind the image, odometry.points_max_age_s is 0.2"),
    ],
    ids=["TAI", "late"],
)
def test_a_cloud_with_another_stamp_is_told_with_the_seconds(bench, later_s, reason):
    points = publisher(bench, PointCloud2, "sparse_points")

    status = play(bench, lambda head: points.publish(cloud(header_at(head, "camera", later_s))))(
        reason
    )

    values = values_of(status)
    assert int(values["sparse_points_received"]) > 1
    assert values["sparse_points_used"] == "0"
    assert reason in values["sparse_points_reason"]
    assert float(values["sparse_points_age_s"]) < 2.0


def test_a_cloud_whose_stamp_is_0_is_told(bench):
    points = publisher(bench, PointCloud2, "sparse_points")
    play(bench, lambda _: points.publish(cloud(Header(frame_id="camera"))))("its stamp is 0")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("velodyne", "sparse_points: no transform from velodyne to camera: none names velodyne"),
        ("", "sparse_points: the frame_id is empty"),
    ],
)
def test_a_cloud_that_nothing_places_is_told(bench, frame, reason):
    points = publisher(bench, PointCloud2, "sparse_points")
    play(bench, lambda head: points.publish(cloud(header_at(head, frame))))(reason)


def test_a_cloud_that_cannot_be_read_is_told_and_counted(bench):
    points = publisher(bench, PointCloud2, "sparse_points")

    def broken(head: Header) -> None:
        message = cloud(header_at(head, "camera"))
        message.fields = message.fields[:2]
        points.publish(message)

    until = play(bench, broken)
    until("1 messages or requests not taken, the last: sparse_points skipped: ")
    values = values_of(until("sparse_points skipped: "))
    assert int(values["sparse_points_refused"]) > 1


@pytest.mark.parametrize("slash", ["/", "//"])
def test_a_slash_before_a_frame_means_nothing(bench, slash):
    points = publisher(bench, PointCloud2, "sparse_points")
    bench.listen("depth/image")
    image = None
    for _ in range(6):
        image = bench.image(IMAGE)
        image.header.frame_id = f"{slash}camera"
        points.publish(cloud(header_at(image.header, "camera")))
        bench.process(image)

    assert bench.output("depth/image", image).header.frame_id == f"{slash}camera"
    told = len(bench.diagnostics)
    bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1)
    assert int(bench.stream_values()["sparse_points_used"]) >= 5


def test_points_of_before_a_jump_of_the_clock_are_told_to_be_gone(bench):
    points = publisher(bench, PointCloud2, "sparse_points")
    image = bench.image(IMAGE)
    points.publish(cloud(header_at(image.header, "camera")))
    bench.process(image)

    play(bench, step_s=100.0)(
        "no message received on sparse_points (/sparse_points) since the clock was set anew"
    )


def test_a_cloud_that_is_used_has_nothing_to_say(bench):
    points = publisher(bench, PointCloud2, "sparse_points")

    def beside(head: Header) -> None:
        points.publish(cloud(header_at(head, "camera")))

    for _ in range(25):
        image = bench.image(IMAGE)
        beside(image.header)
        bench.process(image)
        time.sleep(0.1)

    assert bench.stream_values()["sparse_points_reason"] == ""
    bench.wait_for_status(DiagnosticStatus.OK, "running", since=len(bench.diagnostics))


# Types


@pytest.mark.parametrize(
    ("topic", "kind", "expected"),
    [
        ("sensor_depth", CompressedImage, "sensor_msgs/msg/Image"),
        ("sparse_points", LaserScan, "sensor_msgs/msg/PointCloud2"),
        ("odom", PoseStamped, "nav_msgs/msg/Odometry"),
    ],
)
def test_publishers_of_another_type_are_told(bench, topic, kind, expected):
    package = kind.__module__.split(".")[0]
    with stranger(bench.ros) as node:
        node.create_publisher(kind, topic, 5)

        play(bench)(
            f"publishers of /{topic} send {package}/msg/{kind.__name__}, expected {expected}"
        )


def test_a_publisher_that_sends_nothing_is_told(bench):
    publisher(bench, Odometry, "odom")
    play(bench)("no message on /odom of peer")


# Odometry


@pytest.mark.parametrize(
    ("frame", "child", "reason"),
    [
        ("odom", "", "the child_frame_id of odometry is empty"),
        ("", "", "the child_frame_id of odometry is empty"),
        ("odom", "odom", "odometry is about odom, and nothing tells where camera is in it"),
        ("odom", "base_link", "odometry is about base_link, and nothing tells where camera is"),
    ],
)
def test_odometry_that_came_and_is_not_used_is_told_with_its_frame(bench, frame, child, reason):
    odom = publisher(bench, Odometry, "odom")

    status = play(bench, lambda head: odom.publish(odometry(header_at(head, frame), child)))(reason)

    assert "no odometry received" not in values_of(status)["pose_problem"]
    assert int(values_of(status)["odom_received"]) > 1


def test_the_advice_for_a_mount_names_tf_for_one_that_moves(bench):
    bench.node._stream.poses.tree.is_static_heard = True  # as with tf2_msgs installed
    odom = publisher(bench, Odometry, "odom")
    play(bench, lambda head: odom.publish(odometry(header_at(head, "odom"), "base_link")))(
        "if a joint of the mount moves, it is on /tf: set odometry.source to tf"
    )


def test_an_empty_child_frame_is_no_hindrance_where_the_mount_is_stated(depth_bench):
    bench = depth_bench(**{"odometry.camera_in_body": "0 0 0.5 -1.5708 0 -1.5708"})
    bench.listen("relative/image")
    bench.calibrate()
    odom = publisher(bench, Odometry, "odom")
    for _ in range(6):
        image = bench.image(IMAGE)
        odom.publish(odometry(header_at(image.header, ""), ""))
        bench.process(image)
    told = len(bench.diagnostics)
    bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1)

    assert int(bench.stream_values()["odom_used"]) >= 3
    assert bench.stream_values()["pose_problem"] == ""


def test_no_advice_leads_to_tf_where_tf_cannot_be_heard(bench):
    bench.node._stream.poses.tree.is_static_heard = False
    odom = publisher(bench, Odometry, "odom")
    status = play(bench, lambda head: odom.publish(odometry(header_at(head, "odom"), "base_link")))(
        "set odometry.camera_in_body if the camera is rigidly mounted"
    )
    assert "publish it on /tf_static" not in status.message


@pytest.mark.parametrize(
    ("later_s", "reason"), [(37.0, "37.00 s ahead of the image"), (-5.0, "5.00 s behind the image")]
)
def test_odometry_of_another_clock_is_told_with_the_seconds(bench, later_s, reason):
    odom = publisher(bench, Odometry, "odom")
    play(bench, lambda head: odom.publish(odometry(header_at(head, "odom", later_s), "camera")))(
        f"not reach the stamp of the image: the transform from camera to odom is {reason}"
    )


def test_odometry_without_a_rotation_is_told(bench):
    odom = publisher(bench, Odometry, "odom")

    def beside(head: Header) -> None:
        message = odometry(header_at(head, "odom"), "camera")
        message.pose.pose.orientation.w = 0.0
        odom.publish(message)

    values = values_of(play(bench, beside)("position or orientation of odometry is no pose"))
    assert int(values["odom_refused"]) > 1


def test_odometry_with_two_pairs_of_frames_is_told(bench):
    odom = publisher(bench, Odometry, "odom")

    def beside(head: Header) -> None:
        odom.publish(odometry(header_at(head, "odom"), "base"))
        odom.publish(odometry(header_at(head, "map"), "base"))

    play(bench, beside)("two pairs of frames that take turns: map to base and odom to base")


# Images and camera_info


def test_two_cameras_on_one_topic_are_told_and_the_past_is_forgotten(bench):
    for frame in ("left", "right", "left", "right", "left"):
        bench.process(bench.image(IMAGE, header=header_at(bench.image(IMAGE).header, frame)))

    bench.wait_for_status(
        DiagnosticStatus.WARN, "two frame_ids take turns on /image: left and right"
    )
    values = bench.stream_values()
    assert values["last_reset"].startswith("frame_id of the image changed from ")
    assert int(values["filter_resets"]) == 5  # with that of the activation


def test_one_change_of_the_frame_forgets_the_past_and_is_no_fault(bench):
    for frame in ("left", "right", "right"):
        bench.process(bench.image(IMAGE, header=header_at(bench.image(IMAGE).header, frame)))
    told = len(bench.diagnostics)
    bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1)

    assert bench.stream_values()["filter_resets"] == "2"
    assert bench.stream_values()["image_reason"] == ""


def test_a_change_of_the_frame_is_not_forgotten_over_an_image_that_is_skipped(bench):
    for frame, height in (("left", 6), ("right", 5), ("right", 6)):
        head = header_at(bench.image(IMAGE).header, frame)
        bench.process(bench.image(IMAGE, header=head, height=height))
    told = len(bench.diagnostics)
    bench.ros.wait_until(lambda: len(bench.diagnostics) > told + 1)

    assert bench.stream_values()["last_reset"] == (
        "frame_id of the image changed from left to right"
    )


def test_a_second_camera_driver_on_the_topic_is_told(bench):
    publisher(bench, Image, "image")
    play(bench)("2 publishers of /image (peer, peer), expected 1")


def test_k_of_zero_is_told_with_its_topic(bench):
    bench.calibrate(k=[0.0] * 9, p=[0.0] * 12)
    play(bench)("no usable camera_info: the camera is uncalibrated (K is 0 on /camera_info")


def test_no_message_on_camera_info_is_told_with_its_topic(depth_bench):
    bench = depth_bench()
    bench.listen("relative/image")
    play(bench)("no usable camera_info: the camera is uncalibrated (no message on /camera_info")


def test_images_of_the_other_transport_are_told(depth_bench):
    bench = depth_bench(cli=["-r", "image:=/cam/image_raw"], active=False)
    bench.change_state("configure")
    bench.change_state("activate")
    with stranger(bench.ros) as node:
        node.create_publisher(CompressedImage, "/cam/image_raw", 5)
        advice = "set image_transport to compressed (image_transport:=compressed)"
        bench.wait_for_status(DiagnosticStatus.WARN, advice)
        status = bench.wait_for_status(
            DiagnosticStatus.WARN, "no image on /cam/image_raw for ", since=len(bench.diagnostics)
        )

    assert advice in status.message
    assert (
        "publishers of /cam/image_raw send sensor_msgs/msg/CompressedImage, expected "
        "sensor_msgs/msg/Image" in status.message
    )


def test_raw_images_beside_a_transport_that_is_compressed_are_told(depth_bench):
    bench = depth_bench(image_transport="compressed", cli=["-r", "image:=/cam/image"], active=False)
    bench.change_state("configure")
    bench.change_state("activate")
    with stranger(bench.ros) as node:
        node.create_publisher(Image, "/cam/image", 5)
        bench.wait_for_status(
            DiagnosticStatus.WARN,
            "publishers of /cam/image send sensor_msgs/msg/Image, expected "
            "sensor_msgs/msg/CompressedImage: set image_transport to raw",
        )


def test_a_topic_named_compressed_is_heard_as_such(depth_bench):
    bench = depth_bench(cli=["-r", "image:=/cam/image_raw/compressed"], active=False)
    bench.change_state("configure")
    bench.change_state("activate")

    kinds = {item.topic_name: item.msg_type for item in bench.node.subscriptions}
    assert kinds["/cam/image_raw/compressed"] is CompressedImage


def test_a_remapped_input_that_nobody_sends_is_told(depth_bench):
    bench = depth_bench(cli=["-r", "odom:=/vio/odom", "-r", "imu:=/vio/imu"])
    bench.listen("relative/image")
    bench.calibrate()

    status = play(bench)("no message on /vio/odom: nothing publishes on it")

    assert "imu.enabled is off, so /vio/imu is not heard" in status.message


# IMU and TF


def test_an_imu_that_tells_neither_orientation_nor_acceleration_is_told(depth_bench):
    bench = depth_bench(**{"imu.enabled": True, "imu.camera_in_imu": "0 0 0"})
    bench.listen("relative/image")
    bench.calibrate()
    imu = publisher(bench, Imu, "imu")

    def beside(head: Header) -> None:
        message = Imu(header=header_at(head, "imu"))
        message.orientation_covariance[0] = message.linear_acceleration_covariance[0] = -1.0
        imu.publish(message)

    play(bench, beside)("neither an orientation nor an acceleration")


def link(parent: str, child: str, head: Header, later_s: float = 0.0) -> TransformStamped:
    made = TransformStamped(header=header_at(head, parent, later_s), child_frame_id=child)
    made.transform.rotation.w = 1.0
    return made


def test_with_source_tf_the_reason_names_frames_and_ages(depth_bench):
    bench = depth_bench(**{"odometry.source": "tf"})
    bench.listen("relative/image")
    bench.calibrate()
    play(bench)("tf2_msgs is not installed: /tf is not heard")
    poses = bench.node._stream.poses  # no wheel has tf2_msgs, so transforms are handed in

    def told(*links: tuple[str, str, float]) -> Callable[[Header], None]:
        return lambda head: poses.on_transforms(
            [link(parent, child, head, later_s) for parent, child, later_s in links], static=False
        )

    play(bench, told(("odom", "base", 0.0)))("no transform from camera to odom: none names camera")
    play(bench, told(("world", "camera", 0.0)))("one hangs under world, the other under odom")
    play(bench, told(("base", "camera", -5.0)))(
        "the transform from camera to base is 5.00 s behind the image"
    )


# Names


def test_the_statuses_of_two_robots_differ_in_their_names(depth_bench):
    bench = depth_bench(cli=["-r", "__ns:=/robot1"], active=False)
    bench.ros.wait_until(lambda: bench.diagnostics, what="diagnostics")

    names = [status.name for status in bench.diagnostics[-1].status]
    assert names == ["robot1/mono_depth: stream", "robot1/mono_depth: model"]

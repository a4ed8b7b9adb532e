"""A body frame that images are stamped with is noticed, not used, and can be turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.time import Time
from sensor_msgs.msg import Imu, PointCloud2
from std_msgs.msg import Header

from mono_depth.camera.poses import quaternion_of, rotation
from mono_depth.synthetic.trajectory import OPTICAL_IN_BODY
from mono_depth_ros.codec import encode
from mono_depth_ros.sensors.camera_geometry import CameraGeometry, Geometry
from mono_depth_ros.sensors.camera_poses import CameraPoses, parse_pose, parse_rotation
from mono_depth_ros.sensors.imu_gravity import ImuGravity
from mono_depth_ros.sensors.optical_frame import OpticalFrame
from mono_depth_ros.sensors.sparse_points import PointsBuffer

pytestmark = pytest.mark.ros

BODY, OPTICAL = np.eye(3), OPTICAL_IN_BODY
LOOKS_LIKE = "frame camera_link looks like a body frame"
ROWS, COLUMNS = np.mgrid[0:6, 0:8]
SECOND = 10**9


def header(at_s: float, frame: str) -> Header:
    return Header(frame_id=frame, stamp=Time(nanoseconds=round(at_s * 1e9)).to_msg())


def link(parent: str, child: str, matrix: np.ndarray, *, up_m: float = 0.0) -> TransformStamped:
    made = TransformStamped(header=header(1.0, parent), child_frame_id=child)
    made.transform.translation.z = up_m
    turn = made.transform.rotation
    turn.x, turn.y, turn.z, turn.w = quaternion_of(matrix)
    return made


class Robot:
    """What a node knows of a robot, as its messages tell it.

    Args:
        links: static transforms.
        chosen: frames.optical_frame.
        camera_in_imu: as the parameter; None = no IMU.
    """

    def __init__(
        self,
        *links: TransformStamped,
        chosen: str = "",
        camera_in_imu: str | None = None,
        **odometry: Any,
    ) -> None:
        self.poses = CameraPoses(
            fixed_frame="odom", **{"camera_in_body": None, "ground_frame": "", **odometry}
        )
        self.poses.on_transforms(links, static=True)
        tree = self.poses.tree
        self.gravity = None
        if camera_in_imu is not None:
            self.gravity = ImuGravity(tree, parse_rotation(camera_in_imu))
        self.points = PointsBuffer(self.poses)
        self._geometry = CameraGeometry(
            poses=self.poses,
            gravity=self.gravity,
            points=self.points,
            optical_frame=OpticalFrame(tree, chosen),
        )

    def drive(
        self,
        images: int,
        *,
        camera: str = "camera_link",
        tilt: Any = BODY,
        cloud: str = "",
        odometry: bool = True,
        imu: str = "",
    ) -> Geometry:
        """Send as many images at 10 Hz, and what is beside them; return what the last one gets."""
        for i in range(images):
            at_s = 10.0 + 0.1 * i
            if odometry:
                pose = Odometry(header=header(at_s, "odom"), child_frame_id="base_link")
                pose.pose.pose.position.x = 0.04 * i
                q = pose.pose.pose.orientation
                q.x, q.y, q.z, q.w = quaternion_of(tilt)
                self.poses.on_odometry(pose)
            if cloud:
                self.points.on_cloud(wall(header(at_s, cloud)))
            if imu and self.gravity is not None:
                self._feel(at_s, imu)
            known = self._geometry.at(round(at_s * 1e9), camera, 0.2)
        return known

    def _feel(self, at_s: float, frame: str) -> None:
        for i in range(20):
            message = Imu(header=header(at_s - 0.095 + 0.005 * i, frame))
            message.linear_acceleration.z = 9.81
            message.orientation_covariance[0] = -1.0
            self.gravity.on_imu(message)

    @property
    def problem(self) -> str:
        return self._geometry.problem


def wall(head: Header) -> PointCloud2:
    """Return a wall 4 m ahead of a LiDAR with x forward and z up."""
    y, z = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 6))
    xyz = np.dstack((np.full_like(y, 4.0), y, z)).astype(np.float32)
    message = encode.encode_cloud(xyz.reshape(1, -1, 3), head, has_rgb=False)
    message.header = head
    return message


IN_BODY = link("base_link", "camera_link", BODY)
IN_OPTICAL = link("base_link", "camera_link", OPTICAL)
LIDAR = link("base_link", "velodyne", BODY)


def test_odometry_through_a_body_frame_is_not_used_from_the_first_image_on():
    robot = Robot(IN_BODY)

    assert robot.drive(1).T_odom_camera is None
    assert robot.problem == ""  # one image may be a glitch
    robot.drive(8)

    assert robot.problem.startswith(LOOKS_LIKE)
    assert "frames.optical_frame" in robot.problem
    assert robot.poses.odom.used == 0
    assert robot.poses.odom.reason == robot.problem


def test_a_lidar_through_a_body_frame_is_not_used_without_any_odometry():
    robot = Robot(IN_BODY, LIDAR)

    known = robot.drive(10, odometry=False, cloud="velodyne")

    assert known.sparse_points_m is None
    assert robot.problem.startswith(LOOKS_LIKE)


def test_a_lidar_under_the_camera_itself_shows_the_body_frame_too():
    robot = Robot(link("camera_link", "velodyne", BODY))
    assert robot.drive(10, odometry=False, cloud="velodyne").sparse_points_m is None
    assert robot.problem.startswith(LOOKS_LIKE)


def test_the_ground_frame_shows_a_body_frame():
    robot = Robot(
        link("base_footprint", "camera_link", BODY, up_m=0.5), ground_frame="base_footprint"
    )
    assert robot.drive(10, odometry=False).camera_height_m is None
    assert robot.problem.startswith(LOOKS_LIKE)


def test_an_imu_shows_a_body_frame():
    robot = Robot(link("camera_link", "imu_link", BODY), camera_in_imu="")
    assert robot.drive(10, odometry=False, imu="imu_link").gravity_camera is None
    assert robot.problem.startswith(LOOKS_LIKE)


@pytest.mark.parametrize("pitch_deg", [-30.0, 0.0, 15.0, 40.0])
def test_a_body_frame_that_is_pitched_is_one_all_the_same(pitch_deg):
    pitched = rotation(np.array([0.0, np.radians(pitch_deg), 0.0]))
    robot = Robot(link("base_link", "camera_link", pitched))
    robot.drive(10)
    assert robot.problem.startswith(LOOKS_LIKE)


@pytest.mark.parametrize("chosen", ["body", "camera_optical_frame", "/camera_optical_frame"])
def test_a_body_frame_can_be_turned_or_replaced_by_the_optical_one(chosen):
    right = Robot(IN_OPTICAL, LIDAR).drive(10, cloud="velodyne")
    eye = link("camera_link", "camera_optical_frame", OPTICAL)

    robot = Robot(IN_BODY, LIDAR, eye, chosen=chosen)
    known = robot.drive(10, cloud="velodyne")

    assert robot.problem == ""
    np.testing.assert_allclose(known.T_odom_camera, right.T_odom_camera, atol=1e-6)
    np.testing.assert_allclose(known.gravity_camera, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(known.sparse_points_m, right.sparse_points_m, atol=1e-5)
    assert np.allclose(known.sparse_points_m[:, 2], 4.0, atol=1e-5)


def test_points_in_a_body_frame_of_the_images_are_turned_with_it():
    known = Robot(chosen="body").drive(2, odometry=False, cloud="camera_link")
    assert np.allclose(known.sparse_points_m[:, 2], 4.0)


@pytest.mark.parametrize(
    ("axis_and_angle", "what"),
    [
        ((0.0, 0.0, 0.0), "level"),
        ((-np.pi / 2, 0.0, 0.0), "straight down"),
        ((np.radians(55.0), 0.0, 0.0), "far up"),
        ((0.0, 0.0, np.pi / 2), "portrait"),
        ((0.0, 0.0, np.pi), "upside down"),
    ],
)
def test_an_optical_frame_is_not_suspected(axis_and_angle, what):
    turned = OPTICAL @ rotation(np.array(axis_and_angle))
    robot = Robot(link("base_link", "camera_link", turned), LIDAR)

    known = robot.drive(20, cloud="velodyne")

    assert robot.problem == "", what
    assert known.T_odom_camera is not None
    assert known.sparse_points_m is not None


def test_a_stereo_pair_in_a_tree_of_its_own_is_not_suspected():
    robot = Robot(link("left_optical_frame", "right_optical_frame", np.eye(3)))
    robot.drive(20, camera="right_optical_frame", odometry=False, cloud="left_optical_frame")
    assert robot.problem == ""


def test_a_camera_that_does_look_up_is_used_once_the_user_says_so():
    robot = Robot(IN_BODY, chosen="camera_link")
    assert robot.drive(20).T_odom_camera is not None
    assert robot.problem == ""


def test_a_drone_that_loops_the_loop_is_not_suspected_once_it_has_flown_level():
    robot = Robot(IN_OPTICAL)
    robot.drive(40)
    nose_up = rotation(np.array([0.0, -np.pi / 2, 0.0]))
    assert robot.drive(20, tilt=nose_up).T_odom_camera is not None
    assert robot.problem == ""


def test_a_frame_that_is_put_right_is_used_again():
    robot = Robot(IN_BODY)
    robot.drive(10)
    robot.poses.on_transforms([IN_OPTICAL], static=True)
    assert robot.drive(20).T_odom_camera is not None
    assert robot.problem == ""


def test_a_mount_that_a_parameter_states_is_judged_by_its_own_name():
    robot = Robot(camera_in_body=parse_pose("0 0 0.5 0 0 0"))
    assert robot.drive(10).T_odom_camera is None
    assert robot.problem.startswith("by odometry.camera_in_body the camera looks at the zenith")

    robot = Robot(camera_in_imu="0 0 0")
    assert robot.drive(10, odometry=False, imu="imu_link").gravity_camera is None
    assert robot.problem.startswith("by imu.camera_in_imu the camera looks at the zenith")


# The node


def test_metres_from_a_lidar_are_right_in_a_body_frame_that_is_named_one(depth_bench):
    """The replayed case: image in camera_link, LiDAR and camera joined by TF."""
    robot = {"scale.source": "sparse_points", "temporal.mode": "none"}
    bench = depth_bench(**robot, **{"frames.optical_frame": "body"})
    depth_m = play(bench)

    np.testing.assert_allclose(np.median(depth_m), 4.0, rtol=0.01)
    bench.wait_for_status(DiagnosticStatus.OK, "running", since=len(bench.diagnostics))


def test_a_node_with_a_body_frame_says_so_and_measures_no_scale_through_it(depth_bench):
    bench = depth_bench(**{"scale.source": "auto"})
    depth_m = play(bench)

    np.testing.assert_allclose(np.median(depth_m), 3.2, rtol=0.01)  # the network alone
    status = bench.wait_for_status(DiagnosticStatus.WARN, LOOKS_LIKE)
    values = {item.key: item.value for item in status.values}
    assert values["sparse_points_used"] == "0"
    assert values["frame_problem"].startswith(LOOKS_LIKE)


def play(bench: Any) -> np.ndarray:
    """Play ten images of a wall with its LiDAR; return the depth of the last."""
    bench.calibrate()
    bench.listen("depth/image")
    points = bench.peer.create_publisher(PointCloud2, "sparse_points", 5)
    bench.ros.wait_until(points.get_subscription_count)
    bench.node._stream.poses.on_transforms([IN_BODY, LIDAR], static=True)
    grey = np.full((6, 8, 3), 80, np.uint8)
    grey[2:4, 3:5] += 1  # an image without any contrast says nothing
    for _ in range(10):
        image = bench.image(grey)
        image.header.frame_id = "camera_link"
        points.publish(wall(Header(frame_id="velodyne", stamp=image.header.stamp)))
        heard = int(bench.stream_values().get("sparse_points_received", 0))
        bench.ros.wait_until(
            lambda heard=heard: int(bench.stream_values()["sparse_points_received"]) > heard
        )
        bench.process(image)
    answer = bench.output("depth/image", image)
    return np.frombuffer(answer.data, np.float32)

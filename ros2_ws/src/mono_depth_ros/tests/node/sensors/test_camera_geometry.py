"""What is known of the camera at the stamp of an image, once it is known."""

from __future__ import annotations

import threading

import pytest
from nav_msgs.msg import Odometry
from rclpy.time import Time
from std_msgs.msg import Header

from mono_depth_ros.sensors.camera_geometry import CameraGeometry
from mono_depth_ros.sensors.camera_poses import CameraPoses
from mono_depth_ros.sensors.optical_frame import OpticalFrame
from mono_depth_ros.sensors.sparse_points import PointsBuffer

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("child_frame_id", "optical_frame"),
    [("/camera", ""), ("camera", "body"), ("eye", "/eye")],
    ids=["a slash", "a body frame that is turned", "the optical frame of a parameter"],
)
def test_odometry_that_lags_is_waited_for_by_the_frame_that_the_camera_looks_along(
    child_frame_id, optical_frame
):
    poses = CameraPoses(fixed_frame="odom", camera_in_body=None)
    geometry = CameraGeometry(
        poses=poses,
        gravity=None,
        points=PointsBuffer(poses),
        optical_frame=OpticalFrame(poses.tree, optical_frame),
    )

    def odometry(at_s: float) -> None:
        stamp = Time(nanoseconds=round(at_s * 1e9)).to_msg()
        head = Header(frame_id="odom", stamp=stamp)
        message = Odometry(header=head, child_frame_id=child_frame_id)
        message.pose.pose.orientation.x = 1.0  # looks down
        poses.on_odometry(message)

    for at_s in (1.00, 1.05):
        odometry(at_s)
    geometry.wait_for(1_250_000_000, "camera", 0.4)  # learns that it is 0.1 s short
    later = threading.Timer(0.05, odometry, [1.10])
    later.start()
    geometry.wait_for(1_200_000_000, "camera", 0.4)
    known = geometry.at(1_200_000_000, "camera", 0.2)
    later.join()

    assert known.T_odom_camera is not None

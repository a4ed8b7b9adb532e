"""Gravity from messages of an IMU, and what it is good for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from sensor_msgs.msg import Imu

from mono_depth.camera.poses import quaternion_of, rotation
from mono_depth.config import ScaleConfig
from mono_depth.data import Frame, OutputKind, Prediction
from mono_depth.errors import ConfigError
from mono_depth.scale.tracker import ScaleTracker
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.synthetic.trajectory import OPTICAL_IN_BODY
from mono_depth_ros.sensors.camera_poses import CameraPoses, FrameTree, parse_rotation
from mono_depth_ros.sensors.imu_gravity import ImuGravity

pytestmark = pytest.mark.ros

G = 9.81
OPTICAL = "-1.5708 0 -1.5708"  # of an IMU with x forward, z up
SECOND = 10**9


def imu(
    at_s: float,
    *,
    up: Any = (0.0, 0.0, 1.0),
    orientation: Any = None,
    force_mps2: float = G,
    turn: Any = None,
    frame: str = "imu_link",
) -> Imu:
    """Make a message; `up` is what the accelerometer feels, orientation a 3x3 matrix."""
    message = Imu()
    message.header.frame_id = frame
    message.header.stamp = Time(nanoseconds=round(at_s * 1e9)).to_msg()
    force = message.linear_acceleration
    force.x, force.y, force.z = (force_mps2 * float(part) for part in up)
    if turn is None:
        message.angular_velocity_covariance[0] = -1.0
    else:
        rate = message.angular_velocity
        rate.x, rate.y, rate.z = map(float, turn)
    if orientation is None:
        message.orientation_covariance[0] = -1.0
        message.orientation.w = 0.0
    else:
        q = message.orientation
        q.x, q.y, q.z, q.w = quaternion_of(orientation)
    return message


def gravity_of(camera_in_imu: str = OPTICAL, **sample: Any) -> ImuGravity:
    """Return gravity after half a second of the same message."""
    gravity = ImuGravity(FrameTree(), parse_rotation(camera_in_imu))
    for i in range(51):
        gravity.on_imu(imu(1.0 + 0.01 * i, **sample))
    return gravity


NOW = SECOND + SECOND // 2


def test_a_level_imu_without_orientation_feels_where_down_is():
    gravity = gravity_of()

    down = gravity.at(NOW, "camera")

    np.testing.assert_allclose(down, [0, 1, 0], atol=1e-4)  # y of the optical frame
    assert (gravity.source, gravity.problem) == ("acceleration", "")


def test_the_orientation_of_an_imu_is_taken_where_there_is_one():
    nose_down = rotation(np.array([0.0, 0.3, 0.0]))
    gravity = gravity_of(orientation=nose_down, up=nose_down[2])

    down = gravity.at(NOW, "camera")

    # a camera that looks down sees gravity come towards its axis
    np.testing.assert_allclose(down, [0, math.cos(0.3), math.sin(0.3)], atol=1e-4)
    assert gravity.source == "orientation"


def test_an_orientation_that_the_acceleration_contradicts_is_not_taken():
    """As of an IMU whose frame has z down."""
    south = np.diag([-1.0, 1.0, -1.0])
    gravity = gravity_of(orientation=south, up=(0.0, 0.0, 1.0))

    np.testing.assert_allclose(gravity.at(NOW, "camera"), [0, 1, 0], atol=1e-4)
    assert gravity.source == "acceleration"
    assert gravity.problem == (
        "the orientation of the imu is 180 degrees off its acceleration, and is not used"
    )


@pytest.mark.parametrize("w", [0.0, 1.0])
def test_an_orientation_that_a_driver_never_filled_in_is_none(w):
    gravity = ImuGravity(FrameTree(), parse_rotation(OPTICAL))
    nose_down = rotation(np.array([0.0, 0.2, 0.0]))
    for i in range(51):
        message = imu(1.0 + 0.01 * i, up=nose_down[2])
        message.orientation_covariance[0] = 0.0
        message.orientation.w = w
        gravity.on_imu(message)

    down = gravity.at(NOW, "camera")

    np.testing.assert_allclose(down, [0, math.cos(0.2), math.sin(0.2)], atol=1e-4)
    assert (gravity.source, gravity.problem) == ("acceleration", "")


def test_the_tree_of_frames_tells_how_the_imu_is_mounted():
    poses = CameraPoses(fixed_frame="odom", camera_in_body=None)
    for parent, child, matrix in (
        ("base", "imu_link", np.diag([1.0, -1.0, -1.0])),  # upside down
        ("base", "camera", OPTICAL_IN_BODY),
    ):
        link = TransformStamped(child_frame_id=child)
        link.header.frame_id = parent
        turn = link.transform.rotation
        turn.x, turn.y, turn.z, turn.w = quaternion_of(matrix)
        poses.on_transforms([link], static=True)
    gravity = ImuGravity(poses.tree, None)
    for i in range(51):
        gravity.on_imu(imu(1.0 + 0.01 * i, up=(0.0, 0.0, -1.0)))

    np.testing.assert_allclose(gravity.at(NOW, "camera"), [0, 1, 0], atol=1e-6)


def test_an_imu_in_the_frame_of_the_camera_needs_no_tree():
    gravity = gravity_of(camera_in_imu="", frame="camera", up=(0.0, -1.0, 0.0))

    np.testing.assert_allclose(gravity.at(NOW, "camera"), [0, 1, 0], atol=1e-6)


def test_without_the_mounting_it_is_not_used_and_says_why():
    gravity = gravity_of(camera_in_imu="")

    assert gravity.at(NOW, "camera") is None
    assert gravity.problem == (
        "nothing tells how the imu (imu_link) is turned against camera: publish it on /tf_static "
        "or set imu.camera_in_imu"
    )


@pytest.mark.parametrize(
    ("force_mps2", "at_ns", "problem"),
    [
        (1.0, NOW, "is 1.00 m/s^2, expected 9.81"),  # in g
        (G, NOW + SECOND, "no message of the imu is near the stamp of the image"),
    ],
)
def test_what_is_not_gravity_is_told(force_mps2, at_ns, problem):
    gravity = gravity_of(force_mps2=force_mps2)

    assert gravity.at(at_ns, "camera") is None
    assert gravity.problem.endswith(problem)


def test_without_messages_it_says_so():
    gravity = ImuGravity(FrameTree(), None)

    assert gravity.at(NOW, "camera") is None
    assert gravity.problem == "no message received on imu"


@pytest.mark.parametrize("text", ["-1.5708 0 -1.5708", "-0.5 0.5 -0.5 0.5"])
def test_the_mounting_is_read_from_angles_or_a_quaternion(text):
    np.testing.assert_allclose(parse_rotation(text), OPTICAL_IN_BODY, atol=1e-5)


@pytest.mark.parametrize("text", ["1 2", "a b c", "nan 0 0", "0 0 0 0", "1 2 3 4 5 6"])
def test_another_mounting_is_refused(text):
    with pytest.raises(ConfigError, match="is not 'roll pitch yaw' or 'x y z w'"):
        parse_rotation(text)


# What it is good for


@pytest.fixture(scope="module")
def ramps():
    """Robots whose camera looks down by 18 to 42 degrees, over and over."""
    recordings = []
    for seed, scene in ((1, "office"), (3, "warehouse")):
        camera = SyntheticCamera(
            seed, scene=scene, width=120, height=90, rate_hz=6.0, duration_s=3.0,
            samples_per_pixel=1,
        )  # fmt: skip
        frames = []
        for stamp_ns, level in zip(
            camera.trajectory.stamps_ns, camera.trajectory.T_odom_camera, strict=True
        ):
            pose = level.copy()
            pose[:3, :3] = level[:3, :3] @ looking_down(stamp_ns * 1e-9)
            frames.append((int(stamp_ns), pose, camera.render(pose, stamp_ns * 1e-9).depth_m))
        recordings.append((camera, frames))
    return recordings


def looking_down(at_s: float) -> np.ndarray:
    angle = math.radians(30.0 + 12.0 * math.sin(math.pi * at_s))
    return rotation(np.array([-angle, 0.0, 0.0]))


def messages(camera: SyntheticCamera, rng: np.random.Generator) -> list[Imu]:
    """Return what an IMU of 100 Hz at the camera feels, without orientation."""
    level = camera.trajectory.T_odom_camera[0][:3, :3]
    made = []
    for at_s in np.arange(-1.0, 3.0, 0.01):
        now = level @ looking_down(at_s) @ OPTICAL_IN_BODY.T
        soon = level @ looking_down(at_s + 0.01) @ OPTICAL_IN_BODY.T
        step = now.T @ soon
        turn = 50.0 * np.array([step[2, 1] - step[1, 2], step[0, 2] - step[2, 0], 0.0])
        up = now[2] + rng.normal(0.0, 0.02, 3)
        made.append(imu(at_s + 10.0, up=up, turn=turn + rng.normal(0.0, 0.01, 3)))
    return made


def ground_scale_errors(ramps, *, with_imu: bool) -> tuple[list[float], int]:
    """Return the error of each frame that has a scale from the ground, and how many there are."""
    rng = np.random.default_rng(0)
    errors: list[float] = []
    total = 0
    for camera, frames in ramps:
        gravity = ImuGravity(FrameTree(), parse_rotation(OPTICAL))
        for message in messages(camera, rng):
            gravity.on_imu(message)
        tracker = ScaleTracker()
        for stamp_ns, pose, depth_m in frames:
            noise = np.exp(rng.normal(0.0, 0.03, depth_m.shape))
            values = torch.from_numpy((1.4 * depth_m * noise).astype(np.float32))
            at_ns = stamp_ns + 10 * SECOND
            frame = Frame(
                rgb=np.zeros((*depth_m.shape, 3), np.uint8),
                stamp_ns=at_ns,
                frame_id="camera",
                intrinsics=camera.intrinsics,
                camera_height_m=float(pose[2, 3]),
                gravity_camera=gravity.at(at_ns, "camera") if with_imu else None,
            )
            prediction = Prediction(values=values, kind=OutputKind.METRIC)
            found_m, status = tracker.update(prediction, frame, ScaleConfig(source="ground_plane"))
            total += 1
            if found_m is not None and status.state in ("valid", "degraded"):
                errors.append(abs(float(np.nanmedian(np.log(found_m.numpy() / depth_m)))))
    return errors, total


def test_a_robot_that_pitches_has_a_scale_from_the_ground_more_often_with_an_imu(ramps):
    blind, total = ground_scale_errors(ramps, with_imu=False)
    knowing, _ = ground_scale_errors(ramps, with_imu=True)

    assert len(blind) < 0.7 * total  # 24 of 36: a camera that looks about level is assumed
    assert len(knowing) > 0.85 * total  # 32 of 36, all but the first
    assert np.median(knowing) < 0.01


# The node

ROWS, COLUMNS = np.mgrid[0:6, 0:8]
IMAGE = np.dstack([np.uint8(100 + 2 * COLUMNS + ROWS)] * 3)


def values_after_image(bench: Any, *, with_imu: bool = True) -> dict[str, str]:
    publisher = bench.peer.create_publisher(Imu, "imu", 200)
    if with_imu:
        bench.ros.wait_until(publisher.get_subscription_count, what="imu is heard")
    image = bench.image(IMAGE)
    at_s = Time.from_msg(image.header.stamp).nanoseconds * 1e-9
    for i in range(-50, 2):
        publisher.publish(imu(at_s + 0.01 * i))
    bench.listen("depth/image")

    def is_told() -> bool:
        bench.process(bench.image(IMAGE, step_s=0.0005))
        return bench.stream_values().get("gravity_source", "") != ""

    if with_imu:
        bench.ros.wait_until(is_told, what="gravity in the diagnostics")
    else:
        bench.process(image)
    return bench.stream_values()


def test_the_node_takes_gravity_from_the_imu(depth_bench):
    bench = depth_bench(**{"imu.enabled": True, "imu.camera_in_imu": OPTICAL})
    bench.calibrate()

    values = values_after_image(bench)

    assert (values["gravity_source"], values["gravity_problem"]) == ("acceleration", "")


def test_the_node_says_why_it_cannot_use_the_imu(depth_bench):
    bench = depth_bench(**{"imu.enabled": True})
    bench.calibrate()
    bench.listen("depth/image")
    bench.process(bench.image(IMAGE))

    bench.wait_for_status(DiagnosticStatus.WARN, "no message received on imu")


def test_an_imu_is_not_listened_to_unless_it_is_wanted(depth_bench):
    bench = depth_bench()

    assert "/imu" not in {item.topic_name for item in bench.node.subscriptions}

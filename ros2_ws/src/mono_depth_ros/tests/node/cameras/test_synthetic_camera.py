from __future__ import annotations

import os
import threading
from itertools import islice, pairwise

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from mono_depth.camera.poses import quaternion_of
from mono_depth.errors import ConfigError
from mono_depth.messages.decode_image import decode_depth, decode_image
from mono_depth_ros.cameras import synthetic_cache
from mono_depth_ros.cameras.synthetic_cache import SyntheticScene, load_or_render
from mono_depth_ros.cameras.synthetic_camera import SyntheticCameraNode, to_and_fro

pytestmark = pytest.mark.ros

TOPICS = {
    "image": Image,
    "camera_info": CameraInfo,
    "odom": Odometry,
    "sparse_points": PointCloud2,
    "ground_truth/depth": Image,
}
SMALL = {"width": 64, "height": 48, "rate_hz": 10.0, "duration_s": 0.5}


def scene(**changes) -> SyntheticScene:
    values = {
        "seed": 3, "scene": "room", "trajectory": "robot", "horizontal_fov_deg": 90.0, **SMALL
    }  # fmt: skip
    return SyntheticScene(**{**values, **changes})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mono_depth" / "synthetic"


def stamp_ns(message) -> int:
    return Time.from_msg(message.header.stamp).nanoseconds


@pytest.fixture
def heard(ros):
    """Start a small camera; return the messages of each topic by stamp."""
    messages: dict[str, dict[int, object]] = {name: {} for name in TOPICS}
    listener = ros.node("listener")

    def keep(name):
        return lambda message: messages[name].__setitem__(stamp_ns(message), message)

    for name, kind in TOPICS.items():
        listener.create_subscription(kind, name, keep(name), qos_profile_sensor_data)
    values = {**SMALL, "rate_hz": 20.0, "horizontal_fov_deg": 90.0}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = ros.add(SyntheticCameraNode(context=ros.context, parameter_overrides=overrides))
    ros.wait_until(lambda: all(len(known) >= 12 for known in messages.values()), 60.0)
    node.close()
    assert node.problem == ""
    return messages


def shared_stamps(heard) -> list[int]:
    return sorted(set.intersection(*(set(known) for known in heard.values())))


def test_all_topics_of_a_frame_carry_one_stamp_and_their_frames(heard):
    stamps = shared_stamps(heard)
    assert len(stamps) >= 10
    newest = {name: known[stamps[-1]] for name, known in heard.items()}
    for name in ("image", "camera_info", "sparse_points", "ground_truth/depth"):
        assert newest[name].header.frame_id == "camera_optical_frame"
    assert newest["odom"].header.frame_id == "odom"
    assert newest["odom"].child_frame_id == "camera_link"


def test_sparse_points_lie_on_the_ground_truth_depth(heard):
    stamp = shared_stamps(heard)[0]
    depth = decode_depth(heard["ground_truth/depth"][stamp])
    info, cloud = heard["camera_info"][stamp], heard["sparse_points"][stamp]
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, cloud.point_step // 4)[:, :3]
    columns = np.rint(info.k[0] * points[:, 0] / points[:, 2] + info.k[2]).astype(int)
    rows = np.rint(info.k[4] * points[:, 1] / points[:, 2] + info.k[5]).astype(int)
    error = np.abs(points[:, 2] / depth[rows, columns] - 1.0)
    assert len(points) > 100
    assert np.median(error) < 0.02
    assert error.max() < 0.1


def test_odometry_moves_the_walls_of_one_frame_onto_those_of_another(heard):
    """Depth, calibration and odometry fit together only if every frame convention is right."""
    stamps = shared_stamps(heard)
    first, last = stamps[0], max(stamps[:8])
    seen = world_points(heard, last)
    pose = camera_pose(heard["odom"][first])
    in_first = (seen - pose[:3, 3]) @ pose[:3, :3]
    info = heard["camera_info"][first]
    depth = decode_depth(heard["ground_truth/depth"][first])
    x, y, z = in_first.T
    columns = np.rint(info.k[0] * x / z + info.k[2]).astype(int)
    rows = np.rint(info.k[4] * y / z + info.k[5]).astype(int)
    inside = (z > 0) & (columns >= 0) & (columns < 64) & (rows >= 0) & (rows < 48)
    error = np.abs(depth[rows[inside], columns[inside]] / z[inside] - 1.0)
    assert inside.mean() > 0.5
    assert np.median(error) < 0.02


def world_points(heard, stamp):
    info = heard["camera_info"][stamp]
    depth = decode_depth(heard["ground_truth/depth"][stamp])
    rows, columns = np.mgrid[0:48, 0:64]
    x, y = (columns - info.k[2]) / info.k[0] * depth, (rows - info.k[5]) / info.k[4] * depth
    points = np.stack([x, y, depth], axis=-1).reshape(-1, 3)
    pose = camera_pose(heard["odom"][stamp])
    return points @ pose[:3, :3].T + pose[:3, 3]


def camera_pose(odometry: Odometry) -> np.ndarray:
    """Pose of the optical frame, through the quaternion that the documentation names."""
    body, optical = odometry.pose.pose.orientation, (-0.5, 0.5, -0.5, 0.5)
    pose = np.eye(4)
    pose[:3, :3] = rotation(body.x, body.y, body.z, body.w) @ rotation(*optical)
    position = odometry.pose.pose.position
    pose[:3, 3] = position.x, position.y, position.z
    return pose


def rotation(x, y, z, w):
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_the_twist_is_the_motion_from_frame_to_frame(heard):
    stamps = shared_stamps(heard)[:8]
    for before, after in pairwise(stamps):
        if round((after - before) * 1e-9 * 20.0) != 1:
            continue  # a frame between the two was not heard
        moved = camera_pose(heard["odom"][after])[:3, 3] - camera_pose(heard["odom"][before])[:3, 3]
        twist = heard["odom"][after].twist.twist.linear
        speed = np.linalg.norm([twist.x, twist.y, twist.z])
        assert speed == pytest.approx(np.linalg.norm(moved) * 20.0, abs=1e-6)


def test_the_image_has_contrast(heard):
    stamp = shared_stamps(heard)[0]
    assert decode_image(heard["image"][stamp]).std() > 10.0


def test_the_recording_plays_to_its_end_and_back_without_a_jump():
    assert list(islice(to_and_fro([0, 1, 2, 3]), 14)) == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert list(islice(to_and_fro([5]), 3)) == [5, 5, 5]


def test_a_recording_is_rendered_once_and_then_read(own_cache, monkeypatch):
    first = load_or_render(scene())
    files = list(own_cache.iterdir())
    assert [file.suffix for file in files] == [".npz"]
    monkeypatch.setattr(synthetic_cache, "_render", lambda *_: pytest.fail("rendered again"))
    second = load_or_render(scene())
    assert len(first.frames) == len(second.frames) == 5
    for a, b in zip(first.frames, second.frames, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.depth_m, b.depth_m)
        np.testing.assert_array_equal(a.T_odom_camera, b.T_odom_camera)


def test_what_is_kept_is_what_was_rendered():
    stored = load_or_render(scene()).frames[2]
    from mono_depth.synthetic.camera import SyntheticCamera

    frame = SyntheticCamera(
        3, scene="room", trajectory="robot", horizontal_fov_deg=90.0, **SMALL
    )[2]  # fmt: skip
    np.testing.assert_array_equal(stored.rgb, frame.rgb)
    np.testing.assert_allclose(stored.depth_m.astype(np.float32), frame.depth_m, rtol=5e-4)


def test_another_scene_is_another_recording(own_cache):
    load_or_render(scene())
    load_or_render(scene(seed=4))
    assert len(list(own_cache.iterdir())) == 2


def test_only_the_newest_recordings_are_kept(own_cache):
    for age in range(5):
        load_or_render(scene(seed=age, duration_s=0.2))
        for file in own_cache.iterdir():
            was_s = file.stat().st_mtime
            os.utime(file, (was_s - 10.0, was_s - 10.0))
    assert len(list(own_cache.iterdir())) == 4


def test_a_disk_that_refuses_costs_time_only(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    recording = load_or_render(scene(), folder=blocked / "sub")
    assert len(recording.frames) == 5
    assert "the recording is not kept" in caplog.text


def test_rendering_stops_when_it_is_told_to(own_cache):
    assert load_or_render(scene(), keep_going=lambda: False) is None
    assert not own_cache.exists()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("scene", "moon", "scene = 'moon' is not one of room"),
        ("trajectory", "fish", "trajectory = 'fish' is not one of robot"),
        ("width", 2, "width out of range"),
        ("rate_hz", 0.0, "rate_hz out of range"),
    ],
)
def test_a_wrong_parameter_is_refused_with_the_reason(ros, name, value, reason):
    with pytest.raises(ConfigError, match=reason):
        SyntheticCameraNode(context=ros.context, parameter_overrides=[Parameter(name, value=value)])


def test_closing_while_it_renders_breaks_the_rendering_off(ros, own_cache):
    overrides = [Parameter("duration_s", value=100.0)]
    before = set(threading.enumerate())
    node = ros.add(SyntheticCameraNode(context=ros.context, parameter_overrides=overrides))
    (renderer,) = set(threading.enumerate()) - before
    node.close()
    ros.wait_until(lambda: not renderer.is_alive(), 60.0, what="the end of the renderer")
    assert not own_cache.exists()  # where a recording is kept that was rendered to its end


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_quaternion_of_turns_about_the_vertical(quarter_turns):
    angle = quarter_turns * np.pi / 2
    matrix = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    )
    np.testing.assert_allclose(rotation(*quaternion_of(matrix)), matrix, atol=1e-12)
    x, y, z, w = quaternion_of(matrix)
    assert (x, y) == pytest.approx((0.0, 0.0))
    assert np.hypot(z, w) == pytest.approx(1.0)

"""A bag written here, with a camera that is mounted 0.3 m before the robot's centre."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.open import open_sequence

SECOND_NS = 10**9


@pytest.fixture
def bag(tmp_path):
    pytest.importorskip("rosbags", reason="bags are written and read with the package rosbags")
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    make = _Messages(store)
    path = tmp_path / "drive"
    with Writer(path, version=9) as writer:
        for topic, kind, messages in make.recording():
            connection = writer.add_connection(topic, kind, typestore=store)
            for stamp_ns, message in messages:
                writer.write(connection, stamp_ns, store.serialize_cdr(message, kind))
    return path


class _Messages:
    def __init__(self, store):
        self.types = store.types

    def __call__(self, name, **values):
        return self.types[name](**values)

    def header(self, stamp_ns, frame_id):
        stamp = self("builtin_interfaces/msg/Time", sec=stamp_ns // SECOND_NS, nanosec=0)
        return self("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def xyz(self, kind, x):
        return self(f"geometry_msgs/msg/{kind}", x=x, y=0.0, z=0.0)

    def upright(self):
        return self("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)

    def image(self, stamp_ns, encoding, rows):
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(4, -1)
        padded = np.pad(data, ((0, 0), (0, 2)))
        return self(
            "sensor_msgs/msg/Image",
            header=self.header(stamp_ns, "eye"),
            height=4,
            width=6,
            encoding=encoding,
            is_bigendian=0,
            step=padded.shape[1],
            data=padded.ravel(),
        )

    def info(self):
        roi = self(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        )
        return self(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(0, "eye"),
            height=4,
            width=6,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=np.array([5.0, 0, 2.5, 0, 5, 1.5, 0, 0, 1]),
            r=np.eye(3).ravel(),
            p=np.array([5.0, 0, 2.5, 0, 0, 5, 1.5, 0, 0, 0, 1, 0]),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    def odometry(self, stamp_ns, x):
        pose = self(
            "geometry_msgs/msg/Pose", position=self.xyz("Point", x), orientation=self.upright()
        )
        still = self(
            "geometry_msgs/msg/Twist",
            linear=self.xyz("Vector3", 0.0),
            angular=self.xyz("Vector3", 0.0),
        )
        unknown = np.zeros(36)
        return self(
            "nav_msgs/msg/Odometry",
            header=self.header(stamp_ns, "odom"),
            child_frame_id="base",
            pose=self("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=unknown),
            twist=self("geometry_msgs/msg/TwistWithCovariance", twist=still, covariance=unknown),
        )

    def mount(self, parent, child, x):
        move = self(
            "geometry_msgs/msg/Transform",
            translation=self.xyz("Vector3", x),
            rotation=self.upright(),
        )
        return self(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(0, parent),
            child_frame_id=child,
            transform=move,
        )

    def recording(self):
        stamps = [SECOND_NS, 2 * SECOND_NS]
        colour = np.full((4, 6, 3), (30, 20, 10), np.uint8)  # blue, green, red
        depth_mm = np.full((4, 6), 2500, np.uint16)
        depth_mm[1, 2] = 0
        # The chain is told from both ends: base -> mast, and eye is the parent of mast.
        tf = self(
            "tf2_msgs/msg/TFMessage",
            transforms=[self.mount("base", "mast", 0.5), self.mount("eye", "mast", 0.2)],
        )
        return [
            (
                "/cam/image_raw",
                "sensor_msgs/msg/Image",
                [(t, self.image(t, "bgr8", colour)) for t in stamps],
            ),
            (
                "/cam/depth",
                "sensor_msgs/msg/Image",
                [(t + 7, self.image(t, "16UC1", depth_mm)) for t in stamps],
            ),
            ("/cam/camera_info", "sensor_msgs/msg/CameraInfo", [(SECOND_NS, self.info())]),
            (
                "/odom",
                "nav_msgs/msg/Odometry",
                [(t, self.odometry(t, t / SECOND_NS)) for t in stamps],
            ),
            ("/tf_static", "tf2_msgs/msg/TFMessage", [(0, tf)]),
        ]


def test_a_bag_gives_colour_depth_camera_and_the_pose_of_the_camera(bag):
    sequence = open_sequence(str(bag))
    assert len(sequence) == 2
    frame = sequence[1]
    assert frame.stamp_ns == 2 * SECOND_NS
    np.testing.assert_array_equal(frame.rgb[0, 0], (10, 20, 30))
    assert frame.depth_m[0, 0] == np.float32(2.5)
    assert np.isnan(frame.depth_m[1, 2])
    assert frame.intrinsics.cx == 2.5
    assert frame.T_odom_camera[0, 3] == pytest.approx(2.0 + 0.5 - 0.2)


def test_a_topic_that_is_not_there_is_said_with_those_that_are(bag):
    with pytest.raises(
        ConfigError, match=r"no topic /other; of images: /cam/depth, /cam/image_raw"
    ):
        open_sequence(str(bag), image_topic="/other")


def test_depth_is_not_taken_for_a_picture(bag):
    with pytest.raises(FrameError, match="encoding '16UC1' is not one of rgb8"):
        open_sequence(str(bag), image_topic="/cam/depth")[0]


def test_a_bag_that_was_never_closed_is_an_error_with_its_name(bag):
    (bag / "metadata.yaml").unlink()
    with pytest.raises(ConfigError, match="drive cannot be read as a bag"):
        open_sequence(str(bag), "bag")


def test_without_rosbags_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    (tmp_path / "metadata.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"pip install 'mono_depth_ros\[bag\]'"):
        open_sequence(str(tmp_path))

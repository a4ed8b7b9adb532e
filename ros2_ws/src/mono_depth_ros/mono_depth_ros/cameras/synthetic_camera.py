"""A camera that needs no hardware: moves through a synthetic room whose depth is known exactly.

The recording plays to its end, then backwards, and so on, so nothing ever jumps. `odom` is the
pose of `camera_link` (x forward, y left, z up) in the middle of the lens. The images are in
`camera_optical_frame`: the same point, turned to x right, y down, z forward (REP 103), the fixed
rotation of quaternion (-0.5, 0.5, -0.5, 0.5) from camera_link to camera_optical_frame.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from mono_depth.camera.poses import quaternion_of
from mono_depth.config import Param, check_limits
from mono_depth.errors import MonoDepthError
from mono_depth.synthetic.scene import SCENE_KINDS
from mono_depth.synthetic.trajectory import OPTICAL_IN_BODY, TRAJECTORY_STYLES
from mono_depth_ros.cameras.pacing import Pacer
from mono_depth_ros.cameras.synthetic_cache import (
    StoredFrame,
    StoredRecording,
    SyntheticScene,
    load_or_render,
)
from mono_depth_ros.codec.camera_info import camera_info_from
from mono_depth_ros.codec.encode import encode_cloud, encode_mono_float, encode_rgb
from mono_depth_ros.rclpy_support.guarded import GuardedNode, destroyed_on_error
from mono_depth_ros.rclpy_support.log_handler import LogBridge
from mono_depth_ros.rclpy_support.parameters import NodeParameters
from mono_depth_ros.rclpy_support.qos import output_qos, overridable, publisher_events
from mono_depth_ros.rclpy_support.run_nodes import run_until_finished

_TOPICS: dict[str, type] = {
    "camera_info": CameraInfo,
    "image": Image,
    "odom": Odometry,
    "sparse_points": PointCloud2,
    "ground_truth/depth": Image,
}


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """The parameters of the synthetic camera."""

    seed: Annotated[int, Param("Decides scene, path and noise.", 0, 2**31 - 1)] = 0
    scene: Annotated[str, Param("Kind of scene.", choices=tuple(SCENE_KINDS))] = "room"
    trajectory: Annotated[
        str, Param("What carries the camera.", choices=tuple(TRAJECTORY_STYLES))
    ] = "robot"
    width: Annotated[int, Param("Of the image [pixels].", 16, 4096)] = 640
    height: Annotated[int, Param("Of the image [pixels].", 16, 4096)] = 480
    rate_hz: Annotated[float, Param("Images per second [Hz].", 0.5, 120.0)] = 15.0
    horizontal_fov_deg: Annotated[float, Param("Angle of view [deg].", 20.0, 150.0)] = 70.0
    duration_s: Annotated[
        float, Param("Length of the recording, which then plays backwards [s].", 0.2, 120.0)
    ] = 8.0
    frame_id: Annotated[str, Param("Optical frame of the images, REP 103.")] = (
        "camera_optical_frame"
    )
    child_frame_id: Annotated[str, Param("Frame of the camera's body, whose pose odom is.")] = (
        "camera_link"
    )
    odom_frame_id: Annotated[str, Param("Frame that the poses of odom are in.")] = "odom"
    min_subscribers: Annotated[
        int, Param("Wait with the first image until `image` has this many subscribers.", 0, 100)
    ] = 0

    def __post_init__(self) -> None:
        check_limits(self)

    def synthetic_scene(self) -> SyntheticScene:
        """Return the part that decides what is rendered."""
        names = SyntheticScene.__dataclass_fields__
        return SyntheticScene(**{name: getattr(self, name) for name in names})


class SyntheticCameraNode(GuardedNode):
    """Renders in its thread, then publishes on time."""

    @destroyed_on_error
    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to rclpy
        super().__init__("synthetic_camera", **kwargs)
        parameters = NodeParameters(
            self, SyntheticConfig(), is_fixed=lambda: True, on_change=lambda _: None
        )
        self.config = parameters.config
        self._log_bridge = LogBridge(self)
        self._outputs = {name: self._output(kind, name) for name, kind in _TOPICS.items()}
        self.problem = ""
        self.finished = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and free everything."""
        self._stop.set()
        self._thread.join(5.0)
        self._log_bridge.close()
        self.destroy_node()

    def _output(self, message: type, name: str) -> Any:  # noqa: ANN401 - rclpy is untyped
        return self.create_publisher(
            message,
            name,
            output_qos(),
            event_callbacks=publisher_events(self, self.resolve_topic_name(name)),
            qos_overriding_options=overridable(),
        )

    def _guarded(self) -> None:
        try:
            self._play()
        except Exception as error:  # noqa: BLE001 - a thread must not end in silence
            if self.context.ok():  # else: publishing failed because of the shutdown
                is_known = isinstance(error, MonoDepthError)
                self.problem = str(error) if is_known else f"{type(error).__name__}: {error}"
            self.finished.set()

    def _play(self) -> None:
        config = self.config
        recording = load_or_render(
            config.synthetic_scene(), keep_going=lambda: not self._stop.is_set()
        )
        if recording is None:
            return
        while self._outputs["image"].get_subscription_count() < config.min_subscribers:
            if self._stop.wait(0.02):
                return
        self.get_logger().info(
            f"{config.scene} {config.seed}, {config.trajectory}: {config.width}x{config.height} "
            f"at {config.rate_hz:g} Hz, {len(recording.frames)} frames to and fro"
        )
        pacer = Pacer(config.rate_hz)
        before: StoredFrame | None = None
        for frame in to_and_fro(recording.frames):
            if not pacer.wait(self._stop):
                return
            self._send(recording, frame, frame if before is None else before)
            before = frame

    def _send(self, recording: StoredRecording, frame: StoredFrame, before: StoredFrame) -> None:
        stamp = self.get_clock().now().to_msg()
        for name, message in self._messages(recording, frame, before, stamp).items():
            self._outputs[name].publish(message)
        truth = self._outputs["ground_truth/depth"]
        if truth.get_subscription_count():
            header = Header(stamp=stamp, frame_id=self.config.frame_id)
            truth.publish(encode_mono_float(frame.depth_m.astype(np.float32), header))

    def _messages(
        self,
        recording: StoredRecording,
        frame: StoredFrame,
        before: StoredFrame,
        stamp: Any,  # noqa: ANN401 - rclpy is untyped
    ) -> dict[str, Any]:
        """Return what is sent for a frame, the image last: then all of its stamp is there."""
        header = Header(stamp=stamp, frame_id=self.config.frame_id)
        return {
            "camera_info": camera_info_from(recording.intrinsics, header),
            "odom": self._odometry(frame, before, stamp),
            "sparse_points": encode_cloud(
                frame.sparse_points_m[None], header, has_rgb=False, is_dense=True
            ),
            "image": encode_rgb(frame.rgb, header),
        }

    def _odometry(self, frame: StoredFrame, before: StoredFrame, stamp: Any) -> Odometry:  # noqa: ANN401
        message = Odometry(child_frame_id=self.config.child_frame_id)
        message.header = Header(stamp=stamp, frame_id=self.config.odom_frame_id)
        rotation, position = _body_pose(frame)
        was_rotation, was_position = _body_pose(before)
        pose, twist = message.pose.pose, message.twist.twist
        pose.position.x, pose.position.y, pose.position.z = map(float, position)
        orientation = pose.orientation
        orientation.x, orientation.y, orientation.z, orientation.w = quaternion_of(rotation)
        velocity = rotation.T @ (position - was_position) * self.config.rate_hz
        turn, _ = cv2.Rodrigues(was_rotation.T @ rotation)
        turn_rate = turn.reshape(3) * self.config.rate_hz
        twist.linear.x, twist.linear.y, twist.linear.z = map(float, velocity)
        twist.angular.x, twist.angular.y, twist.angular.z = map(float, turn_rate)
        return message


def to_and_fro(frames: list[StoredFrame]) -> Iterator[StoredFrame]:
    """Yield the frames to their end, then backwards to the start, and so on without end."""
    while True:
        yield from frames if len(frames) == 1 else frames[:-1]
        yield from frames[:0:-1]


def _body_pose(
    frame: StoredFrame,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return rotation and position in odom of the camera's body."""
    pose = frame.T_odom_camera
    return pose[:3, :3] @ OPTICAL_IN_BODY.T, pose[:3, 3]


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run_until_finished(SyntheticCameraNode, args)


if __name__ == "__main__":
    main()

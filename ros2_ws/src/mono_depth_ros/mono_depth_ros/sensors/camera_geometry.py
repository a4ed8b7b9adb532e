"""What poses, ground, IMU and points tell at the stamp of an image, if they are plausible."""

from __future__ import annotations

from dataclasses import dataclass

from mono_depth.camera.gravity import Vector
from mono_depth.camera.poses import Pose
from mono_depth.messages.point_cloud import Points
from mono_depth_ros.sensors.camera_poses import CameraPoses
from mono_depth_ros.sensors.imu_gravity import ImuGravity
from mono_depth_ros.sensors.optical_frame import OpticalFrame, ZenithWatch
from mono_depth_ros.sensors.sparse_points import PointsBuffer


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What is known of the camera at one stamp; None = unknown, or not to be trusted."""

    T_odom_camera: Pose | None = None
    gravity_camera: Vector | None = None  # (3,)
    camera_height_m: float | None = None
    sparse_points_m: Points | None = None


class CameraGeometry:
    """Asks all sensors for one image and leaves out what comes through a wrong frame."""

    def __init__(
        self,
        *,
        poses: CameraPoses,
        gravity: ImuGravity | None,
        points: PointsBuffer,
        optical_frame: OpticalFrame,
    ) -> None:
        self._poses, self._gravity, self._points = poses, gravity, points
        self._optical_frame = optical_frame
        self._mount = ZenithWatch()  # of a mount that a parameter states

    @property
    def problem(self) -> str:
        """Why what is known is not used, "" = it is."""
        if self._optical_frame.problem:
            return self._optical_frame.problem
        return self._mount_problem() if self._mount.is_told else ""

    def wait_for(self, at_ns: int, image_frame: str, max_wait_s: float) -> None:
        """Return when the pose for an image is known, or is not to be expected in time."""
        if self._poses.is_wanted:
            self._poses.wait_for(at_ns, self._optical_frame.name(image_frame), max_wait_s)

    def at(self, at_ns: int, image_frame: str, points_max_age_s: float) -> Geometry:
        """Return what is known for an image with a stamp and a (normalised) frame_id."""
        camera_frame = self._optical_frame.name(image_frame)
        T_odom_camera = self._poses.at(at_ns, camera_frame)
        over_ground = self._poses.over_ground(at_ns, camera_frame)
        points = self._points.at(at_ns, camera_frame, points_max_age_s)
        by_imu = None if self._gravity is None else self._gravity.at(at_ns, camera_frame)
        # z of either frame points up (REP 103), so its third row is up as the camera sees it.
        by_ground = None if over_ground is None else -over_ground[1][2, :3]
        by_odometry = None if T_odom_camera is None else -T_odom_camera[2, :3]

        is_imu_stated = self._gravity is not None and self._gravity.is_mount_stated
        is_body_stated = self._poses.is_mount_stated
        by_parameter = _first(
            by_imu if is_imu_stated else None, by_odometry if is_body_stated else None
        )
        by_frame = _first(
            None if is_imu_stated else by_imu,
            by_ground,
            None if is_body_stated else by_odometry,
        )
        is_frame_wrong = self._optical_frame.is_doubtful(
            camera_frame, at_ns, by_frame, bodies=[self._points.frame]
        )
        is_mount_wrong = self._is_mount_wrong(by_parameter)
        if is_mount_wrong if is_body_stated else is_frame_wrong:
            T_odom_camera = by_odometry = None
        if is_mount_wrong if is_imu_stated else is_frame_wrong:
            by_imu = None
        if is_frame_wrong:
            over_ground = by_ground = points = None
        self._tell(T_odom_camera is None, by_imu is None, points is None)
        return Geometry(
            T_odom_camera=T_odom_camera,
            gravity_camera=_first(by_imu, by_ground, by_odometry),
            camera_height_m=None if over_ground is None else over_ground[0],
            sparse_points_m=points,
        )

    def _is_mount_wrong(self, down: Vector | None) -> bool:
        if self._optical_frame.is_chosen:
            return False
        if down is not None:
            self._mount.judge(down)
        return self._mount.is_told

    def _mount_problem(self) -> str:
        names = "odometry.camera_in_body"
        if self._gravity is not None and self._gravity.is_mount_stated:
            names = "imu.camera_in_imu"
        return (
            f"by {names} the camera looks at the zenith: it is the pose of the optical frame (x "
            "right, y down, z forward), of a camera that looks ahead roll pitch yaw are "
            "'-1.5708 0 -1.5708'; if it does look up, set frames.optical_frame to the frame_id of "
            "the images"
        )

    def _tell(self, is_pose_missing: bool, is_gravity_missing: bool, no_points: bool) -> None:
        """Count for each input whether this image got something from it, or why not."""
        doubt = self.problem or "what comes through the frame of the images looks wrong"
        poses, gravity, points = self._poses, self._gravity, self._points
        if poses.is_wanted:
            poses.tally.join((poses.problem or doubt) if is_pose_missing else "")
        if gravity is not None:
            gravity.tally.join((gravity.problem or doubt) if is_gravity_missing else "")
        points.tally.join((points.problem or doubt) if no_points else "")


def _first(*downs: Vector | None) -> Vector | None:
    return next((down for down in downs if down is not None), None)

"""Every parameter of the depth node: those of the pipeline, and what only ROS needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from mono_depth.config import CloudConfig, Param, PipelineConfig, ScanConfig, check_limits
from mono_depth.display.colormap import COLORMAPS
from mono_depth.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ColorConfig:
    """The image of depth for people."""

    colormap: Annotated[
        str, Param("Colours of depth/color, near to far.", choices=tuple(COLORMAPS), live=True)
    ] = "inferno"
    near_m: Annotated[
        float,
        Param("Depth of the nearest colour [m]; 0 = follow the picture.", 0.0, 1000.0, live=True),
    ] = 0.0
    far_m: Annotated[
        float,
        Param("Depth of the farthest colour [m]; 0 = follow the picture.", 0.0, 1000.0, live=True),
    ] = 0.0
    blend: Annotated[
        float,
        Param("Share of the camera image mixed into depth/color.", 0.0, 1.0, live=True),
    ] = 0.0

    def __post_init__(self) -> None:
        check_limits(self)
        if 0.0 < self.far_m <= self.near_m:
            raise ConfigError(
                f"color.near_m = {self.near_m} must be below color.far_m = {self.far_m}"
            )


@dataclass(frozen=True, kw_only=True)
class CompressedDepthConfig:
    """The compressedDepth transport of depth/image."""

    png_level: Annotated[
        int, Param("PNG compression, 1 = fast, 9 = small and very slow.", 1, 9, live=True)
    ] = 1
    quantization: Annotated[
        float,
        Param(
            "Depth resolution parameter of the 32FC1 format, larger = finer.",
            1.0,
            1000.0,
            live=True,
        ),
    ] = 100.0

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class DiagnosticsConfig:
    """What /diagnostics tells."""

    period_s: Annotated[
        float, Param("Time between two messages on /diagnostics [s].", 0.1, 60.0, live=True)
    ] = 1.0
    nan_ratio_warn: Annotated[
        float,
        Param("Warn when a larger share of depth pixels has no value.", 0.0, 1.0, live=True),
    ] = 0.5

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class OdometryConfig:
    """Where the poses of the camera come from."""

    source: Annotated[
        str,
        Param(
            "odom = the topic odom, with /tf_static for the camera's place on the body; tf = "
            "/tf and /tf_static; none = no poses.",
            choices=("odom", "tf", "none"),
        ),
    ] = "odom"
    fixed_frame: Annotated[
        str, Param("With source tf: frame that does not jump (REP 105: odom, never map).")
    ] = "odom"
    camera_in_body: Annotated[
        str,
        Param(
            "Pose of the optical frame in the body of the odometry, 'x y z roll pitch yaw' in m "
            "and rad; empty = /tf_static tells."
        ),
    ] = ""
    ground_frame: Annotated[
        str,
        Param(
            "Frame on the ground under the robot (REP 120); where TF links it to the camera it "
            "gives the camera's height and tilt. Empty = not used."
        ),
    ] = "base_footprint"
    points_max_age_s: Annotated[
        float,
        Param(
            "Use the points of sparse_points for images whose stamps differ by at most this [s].",
            0.0,
            60.0,
            live=True,
        ),
    ] = 0.2
    max_wait_s: Annotated[
        float,
        Param(
            "While odometry comes in that is behind the images, an image waits at most this long "
            "for its pose; odometry that is behind by more is not waited for [s].",
            0.0,
            1.0,
            live=True,
        ),
    ] = 0.15

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class ImuConfig:
    """Gravity, which the ground plane is found with, from an IMU."""

    enabled: Annotated[
        bool,
        Param(
            "Take gravity from the topic imu: from the orientation, else from the acceleration. "
            "It wins over the tilt of odometry and odometry.ground_frame."
        ),
    ] = False
    camera_in_imu: Annotated[
        str,
        Param(
            "Rotation of the optical frame in the frame of the IMU, 'roll pitch yaw' in rad or "
            "quaternion 'x y z w'; empty = /tf_static tells. An IMU with x forward and z up has "
            "'-1.5708 0 -1.5708'."
        ),
    ] = ""

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class FramesConfig:
    """Which coordinate frames images are in."""

    optical_frame: Annotated[
        str,
        Param(
            "Optical frame (REP 103: x right, y down, z forward) to look the camera up by in TF, "
            "odometry and for the IMU; 'body' = the frame_id of the images is a body frame, x "
            "forward, z up, as simulators have it; empty = it is the optical frame. Outputs keep "
            "the frame_id of their image."
        ),
    ] = ""

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class SensorDepthConfig:
    """How depth of a depth camera, aligned to the image, finds its image."""

    max_apart_s: Annotated[
        float,
        Param(
            "Use depth of sensor_depth for images whose stamps differ by at most this [s]; the "
            "nearest is taken. Half the time between two images at most.",
            0.0,
            1.0,
            live=True,
        ),
    ] = 0.02
    max_wait_s: Annotated[
        float,
        Param(
            "While sensor_depth comes in, an image waits at most this long for its depth [s].",
            0.0,
            1.0,
            live=True,
        ),
    ] = 0.05

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class WatchdogConfig:
    """When a network that does not come back ends the process."""

    limit_s: Annotated[
        float,
        Param(
            "End the process with status 70, for a supervisor to start it again, when one frame is "
            "in work for longer than this [s]; 0 = never.",
            0.0,
            3600.0,
            live=True,
        ),
    ] = 60.0

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """How the samples of images are read."""

    significant_bits: Annotated[
        int,
        Param(
            "Bits that the camera fills in images of 16 bits (mono16, PNG): 8 to 16, 0 = all 16. "
            "A camera of 10 or 12 bits looks almost black without it.",
            0,
            16,
            live=True,
        ),
    ] = 0

    def __post_init__(self) -> None:
        check_limits(self)
        if 0 < self.significant_bits < 8:
            raise ConfigError(
                f"image.significant_bits = {self.significant_bits} must be 0, or 8 to 16"
            )


@dataclass(frozen=True, kw_only=True)
class NodeConfig(PipelineConfig):
    """All parameters of the depth node."""

    autostart: Annotated[
        bool, Param("Configure and activate at start, without a lifecycle manager.")
    ] = True
    image_transport: Annotated[
        str,
        Param(
            "Type of the image topic: raw = sensor_msgs/Image, compressed = CompressedImage.",
            choices=("raw", "compressed"),
        ),
    ] = "raw"
    rectify: Annotated[
        bool,
        Param("Undistort the image by its camera_info. Leave off when it is rectified already."),
    ] = False
    depth_encoding: Annotated[
        str,
        Param(
            "Encoding of depth/image: 32FC1 in metres, NaN = unknown; 16UC1 in millimetres, "
            "0 = unknown.",
            choices=("32FC1", "16UC1"),
            live=True,
        ),
    ] = "32FC1"
    max_pixels: Annotated[
        int,
        Param(
            "Larger images are refused before memory is taken for them.", 1, 2**31 - 1, live=True
        ),
    ] = 64_000_000
    max_age_s: Annotated[
        float,
        Param(
            "Skip images older than this by the node's clock [s]; 0 = accept any age.",
            0.0,
            3600.0,
            live=True,
        ),
    ] = 0.0
    snapshot_dir: Annotated[
        str, Param("Folder of the snapshot service; empty = ~/.ros/mono_depth.", live=True)
    ] = ""
    image: ImageConfig = field(default_factory=ImageConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    imu: ImuConfig = field(default_factory=ImuConfig)
    sensor_depth: SensorDepthConfig = field(default_factory=SensorDepthConfig)
    cloud: CloudConfig = field(default_factory=CloudConfig)
    scan: ScanConfig = field(default_factory=ScanConfig)
    color: ColorConfig = field(default_factory=ColorConfig)
    compressed_depth: CompressedDepthConfig = field(default_factory=CompressedDepthConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)

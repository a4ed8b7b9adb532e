"""What `mono-depth run` and `mono-depth batch` share: what is read, and what is written."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mono_depth.recordings.input_names import read_inputs
from mono_depth.runs.options import COLORMAPS, OUTPUTS, RunOptions

if TYPE_CHECKING:
    from mono_depth.recordings.frames.open import OpenOptions

_DEFAULT_OUTPUTS = "png,color"


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what is told of a source beside its path."""
    camera = parser.add_argument_group("the camera, where the source does not tell it")
    camera.add_argument("--fov", type=float, default=0.0, metavar="DEG", help="horizontal")
    camera.add_argument(
        "--camera", nargs=4, type=float, metavar=("FX", "FY", "CX", "CY"), help="in pixels"
    )
    camera.add_argument(
        "--height", type=float, default=0.0, metavar="M", help="of the camera over the ground"
    )
    source = parser.add_argument_group("the source")
    source.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th frame")
    source.add_argument("--frames", type=int, default=0, metavar="N", help="0 = all (default)")
    source.add_argument(
        "--kind",
        choices=("auto", "photos", "video"),
        default="auto",
        help="of a folder of images: each for itself, or each follows the one before (default: a "
        "video where the names of the files are times, else photos)",
    )
    source.add_argument("--rate", type=float, default=15.0, metavar="HZ", help="of such a video")
    source.add_argument(
        "--poses", default="", metavar="FILE", help="lines `t tx ty tz qx qy qz qw`, optical frame"
    )
    bag = parser.add_argument_group("topics of a bag")
    bag.add_argument("--image-topic", default="", metavar="TOPIC", help="(default: the first)")
    bag.add_argument("--odom", default="", metavar="TOPIC", help="(default: the first)")
    bag.add_argument("--imu", default="", metavar="TOPIC", help="(default: the first)")
    bag.add_argument("--points", default="", metavar="TOPIC", help="metric points (default: none)")
    bag.add_argument(
        "--sensor-depth", default="", metavar="TOPIC", help="aligned to the images (default: none)"
    )
    bag.add_argument(
        "--ground-frame", default="base_footprint", metavar="FRAME", help="on the floor"
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add what is written."""
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--save",
        default="",
        metavar="KINDS",
        help=f"of {', '.join(OUTPUTS)}, by commas (default: {_DEFAULT_OUTPUTS}, and of a video "
        "mp4 instead of color)",
    )
    group.add_argument("--colormap", choices=COLORMAPS, default="inferno")
    group.add_argument(
        "--range", nargs=2, type=float, metavar=("NEAR", "FAR"), help="of the colours [m]"
    )
    group.add_argument("--beside", action="store_true", help="draw the image beside the colours")
    group.add_argument("--stride", type=int, default=1, metavar="N", help="of clouds, in pixels")
    group.add_argument("--reach", type=float, default=20.0, metavar="M", help="of clouds and mesh")
    group.add_argument("--voxel", type=float, default=0.0, metavar="M", help="of the mesh")


def open_options(args: argparse.Namespace) -> OpenOptions:
    """Return what `add_source_options` tell of a source."""
    from mono_depth.recordings.frames.bag_sensors import BagTopics
    from mono_depth.recordings.frames.open import OpenOptions
    from mono_depth.recordings.frames.source import GivenCamera

    matrix = None
    if args.camera is not None:
        fx, fy, cx, cy = args.camera
        matrix = fx, fy, cx, cy
    return OpenOptions(
        camera=GivenCamera(horizontal_fov_deg=args.fov, matrix=matrix),
        topics=BagTopics(
            image=args.image_topic,
            odom=args.odom,
            imu=args.imu,
            points=args.points,
            sensor_depth=args.sensor_depth,
            ground_frame=args.ground_frame,
        ),
        poses=args.poses,
        kind=args.kind,
        rate_hz=args.rate,
    )


def run_options(args: argparse.Namespace, *, is_video: bool) -> RunOptions:
    """Return what the options ask for.

    Raises:
        ConfigError: a value is not allowed.
    """
    kinds = args.save or ("png,mp4" if is_video else _DEFAULT_OUTPUTS)
    near_m, far_m = args.range or (0.0, 0.0)
    return RunOptions(
        outputs=tuple(name for name in OUTPUTS if name in kinds.split(","))
        + tuple(name for name in kinds.split(",") if name not in OUTPUTS),
        inputs=read_inputs(args.use),
        every=args.every,
        most=args.frames,
        camera_height_m=args.height,
        colormap=args.colormap,
        near_m=near_m,
        far_m=far_m,
        is_beside=args.beside,
        cloud_stride=args.stride,
        cloud_max_m=args.reach,
        voxel_m=args.voxel,
    )

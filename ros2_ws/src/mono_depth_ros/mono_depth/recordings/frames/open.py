"""Open whatever has images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mono_depth.camera.trajectory import Trajectory
from mono_depth.errors import ConfigError
from mono_depth.recordings.bag_paths import bag_files, is_bag
from mono_depth.recordings.frames.bag import open_bag_frames
from mono_depth.recordings.frames.bag_sensors import BagTopics
from mono_depth.recordings.frames.image_files import USUAL_RATE_HZ, open_images
from mono_depth.recordings.frames.recorded import frames_of
from mono_depth.recordings.frames.source import FrameSource, GivenCamera
from mono_depth.recordings.frames.video import open_camera, open_video
from mono_depth.recordings.images import IMAGE_TYPES, images_in
from mono_depth.recordings.open import open_sequence
from mono_depth.recordings.pose_file import read_poses

VIDEO_TYPES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")
KINDS = ("auto", "photos", "video")
_SYNTHETIC = "synthetic:"


@dataclass(frozen=True, kw_only=True)
class OpenOptions:
    """What is told of a source beside its path."""

    camera: GivenCamera = field(default_factory=GivenCamera)
    topics: BagTopics = field(default_factory=BagTopics)
    poses: str = ""  # file of lines `t tx ty tz qx qy qz qw` of the optical frame, "" = none
    kind: str = "auto"  # of a folder of images: one of `KINDS`
    rate_hz: float = USUAL_RATE_HZ  # of a folder of images whose names are no times


def open_frames(source: str, options: OpenOptions) -> FrameSource:
    """Open an image, a folder, a video, a bag, a recording with depth, or a camera.

    Args:
        source: path, the number of a camera, or "synthetic:SCENE/TRAJECTORY/SEED".
        options: what else is told.

    Raises:
        ConfigError: there is no such source, or it cannot be read.
    """
    if options.kind not in KINDS:
        raise ConfigError(f"kind {options.kind!r} is not one of {', '.join(KINDS)}")
    if source.isdecimal():
        return open_camera(int(source), options.camera)
    if source.startswith(_SYNTHETIC):
        return frames_of(open_sequence(source), source)
    path = Path(source)
    if not path.exists():
        raise ConfigError(
            f"{source} does not exist; expected an image, a folder of images, a video, a bag, the "
            "number of a camera, or synthetic:SCENE/TRAJECTORY/SEED"
        )
    poses = read_poses(Path(options.poses)) if options.poses else None
    if is_bag(path) or (path.is_dir() and not _image_folder(path) and bag_files(path)):
        if poses is not None:
            raise ConfigError("--poses is for images and videos; a bag has its odometry")
        return open_bag_frames(path, options.camera, options.topics)
    if path.is_dir():
        return _open_folder(path, options, poses)
    if path.suffix.lower() in IMAGE_TYPES:
        return open_images(path, options.camera, poses=poses)
    return open_video(path, options.camera, poses)


def is_openable(path: Path) -> bool:
    """Tell by name and content of a folder whether `open_frames` knows such a path."""
    if path.is_dir():
        return bool(is_bag(path) or _image_folder(path) or bag_files(path))
    return is_bag(path) or path.suffix.lower() in (*IMAGE_TYPES, *VIDEO_TYPES)


def _open_folder(path: Path, options: OpenOptions, poses: Trajectory | None) -> FrameSource:
    images = _image_folder(path)
    if images is not None and images != path and (path / "depth").is_dir():
        return frames_of(open_sequence(str(path)), path.resolve().name)
    kind = "video" if options.kind == "auto" and images != path and images else options.kind
    return open_images(
        images or path, options.camera, kind=kind, rate_hz=options.rate_hz, poses=poses
    )


def _image_folder(path: Path) -> Path | None:
    """Return where the images of a folder are: in itself, or in rgb/ or color/."""
    folders = (path, path / "rgb", path / "color")
    return next((folder for folder in folders if images_in(folder)), None)

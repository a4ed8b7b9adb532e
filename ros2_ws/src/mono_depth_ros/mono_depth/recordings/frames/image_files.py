"""Photographs, and folders of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mono_depth.camera.poses import Pose
from mono_depth.camera.trajectory import Trajectory
from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth.recordings.exif_focal import focal_px_of
from mono_depth.recordings.frames.source import FRAME_ID, FrameSource, GivenCamera, SourceFrame
from mono_depth.recordings.image_file_check import check_image_file
from mono_depth.recordings.images import existing_images, read_image, times_of_names

USUAL_RATE_HZ = 15.0
_UNLESS_TOLD = ", but of files with EXIF FocalLengthIn35mmFilm by that"
_START_NS = 1_000_000_000  # stamps of streams without a clock; 0 would be no stamp


def open_images(
    path: Path,
    camera: GivenCamera,
    *,
    kind: str = "auto",
    rate_hz: float = USUAL_RATE_HZ,
    poses: Trajectory | None = None,
) -> FrameSource:
    """Open one image, or the images of a folder.

    Args:
        path: file or folder.
        camera: of images that have none.
        kind: photos = each for itself; video = each follows the one before; auto = a video where
            the names of the files are times, else photos.
        rate_hz: of a video whose names are no times.
        poses: of the optical frame, by stamp.

    Raises:
        ConfigError: there is no image.
    """
    files = [path] if path.is_file() else existing_images(path)
    times_ns = times_of_names([file.stem for file in files])
    is_video = kind == "video" or (kind == "auto" and times_ns is not None and len(files) > 1)
    names = _names(files)

    def frames() -> Iterator[SourceFrame]:
        for index, (file, name) in enumerate(zip(files, names, strict=True)):
            at_ns = (
                _START_NS + round(index * 1e9 / rate_hz) if times_ns is None else times_ns[index]
            )
            load = partial(_loaded, file, at_ns, camera, None if poses is None else poses.at(at_ns))
            yield SourceFrame(name=name, load=load)

    return FrameSource(
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        is_video=is_video,
        count=len(files),
        rate_hz=rate_hz,
        frames=frames,
        identity={"images": [f"{file.name} {_bytes(file)}" for file in files]},
        camera=f"{camera.words}{_UNLESS_TOLD if camera.is_assumed else ''}",
    )


def _loaded(file: Path, at_ns: int, camera: GivenCamera, pose: Pose | None) -> Frame:
    data = check_image_file(file)
    rgb = read_image(file, upright=camera.matrix is None)
    height, width = rgb.shape[:2]
    return Frame(
        rgb=rgb,
        stamp_ns=at_ns,
        frame_id=FRAME_ID,
        intrinsics=camera.of(width, height, focal_px_of(data, width, height)),
        T_odom_camera=pose,
    )


def _names(files: list[Path]) -> list[str]:
    """Return the stems, with the type of the file where two share one."""
    count = Counter(file.stem for file in files)
    return [
        file.stem if count[file.stem] == 1 else f"{file.stem}_{file.suffix[1:]}" for file in files
    ]


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise FrameError(f"{file} cannot be read: {error}") from error

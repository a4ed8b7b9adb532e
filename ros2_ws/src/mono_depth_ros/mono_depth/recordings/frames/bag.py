"""The images of a bag, each with what else the bag knows at its stamp."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mono_depth.data import Frame
from mono_depth.errors import FrameError
from mono_depth.messages.frame_names import frame_name
from mono_depth.recordings.bag_camera import BagCamera
from mono_depth.recordings.bag_paths import bag_files
from mono_depth.recordings.bag_reader import BagReader, StoredMessage
from mono_depth.recordings.frames.bag_sensors import BagSensors, BagTopics
from mono_depth.recordings.frames.source import FrameSource, GivenCamera, SourceFrame, numbered

_USUAL_RATE_HZ = 15.0


def open_bag_frames(path: Path, camera: GivenCamera, topics: BagTopics) -> FrameSource:
    """Open the colour images of a bag, rectified unless `rect` is in the name of their topic.

    Poses come from odometry and /tf_static; gravity from an IMU, else from the ground frame,
    else from odometry, as in the node; the height from the ground frame.

    Args:
        path: what `BagReader` opens.
        camera: where the bag has no calibration.
        topics: what is read.

    Raises:
        ConfigError: the package rosbags is missing, or the bag or a topic of it.
    """
    bag = BagReader(path)
    bag_camera = BagCamera(bag, topics.image)
    first = next(bag.messages(bag_camera.images), None)
    frame_id = "" if first is None else first.content.header.frame_id
    notes: list[str] = []

    def frames() -> Iterator[SourceFrame]:
        sensors = BagSensors(path, bag, frame_id, topics)
        for index, stored in enumerate(bag.messages(bag_camera.images)):
            load = partial(_loaded, stored, bag_camera, sensors, camera)
            yield SourceFrame(name=numbered(index), load=load)
        notes.extend(note for note in sensors.notes if note not in notes)

    if bag_camera.info is None:
        notes.append(f"no camera_info beside {bag_camera.images.name}: {camera.words}")
    return FrameSource(
        name=path.resolve().stem,
        is_video=True,
        count=len(bag_camera.images),
        rate_hz=bag.rate_hz(bag_camera.images) or _USUAL_RATE_HZ,
        frames=frames,
        identity={
            "bag": sorted(f"{file.name} {file.stat().st_size}" for file in _files(path)),
            "topics": {**vars(topics), "image": bag_camera.images.name},
        },
        camera=camera.words if bag_camera.info is None else "camera_info of the bag",
        notes=notes,
    )


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else bag_files(path)


def _loaded(
    stored: StoredMessage, bag_camera: BagCamera, sensors: BagSensors, given: GivenCamera
) -> Frame:
    rgb = bag_camera.decode(stored.content)
    height, width = rgb.shape[:2]
    calibration = bag_camera.calibration_of(rgb)
    rectifier = None if calibration is None else calibration.rectifier
    frame_id = stored.content.header.frame_id
    if frame_name(frame_id) != sensors.camera_frame:
        raise FrameError(
            f"its frame_id is {frame_id!r}, that of the first image {sensors.camera_frame!r}: "
            "two cameras share the topic"
        )
    if rectifier is not None:
        rgb = rectifier.apply(rgb)
    known = sensors.at(stored.stamp_ns, size=(width, height), rectifier=rectifier)
    return Frame(
        rgb=rgb,
        stamp_ns=stored.stamp_ns,
        frame_id=frame_id,
        intrinsics=given.of(width, height) if calibration is None else calibration.intrinsics,
        is_visible=None if rectifier is None else rectifier.is_visible,
        **vars(known),
    )

"""Videos and cameras."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mono_depth.camera.poses import Pose
from mono_depth.camera.trajectory import Trajectory
from mono_depth.data import Frame, RgbImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.frames.source import (
    FRAME_ID,
    FrameSource,
    GivenCamera,
    SourceFrame,
    numbered,
)
from mono_depth.recordings.images import Video

USUAL_RATE_HZ = 30.0
START_NS = 1_000_000_000  # stamp of the first frame; 0 would be no stamp
_CAMERA_WAIT_S = 5.0  # without an image: the camera is gone


def open_video(path: Path, camera: GivenCamera, poses: Trajectory | None = None) -> FrameSource:
    """Open a video file; its frames are stamped with their time from the start, plus a second.

    Args:
        path: what OpenCV reads.
        camera: of the images.
        poses: of the optical frame by time from the start.

    Raises:
        ConfigError: OpenCV cannot read it.
    """
    video = Video(path)
    rate_hz = video.rate_hz or USUAL_RATE_HZ
    notes: list[str] = []

    def frames() -> Iterator[SourceFrame]:
        last_ns = count = 0
        for index, (rgb, time_ns) in enumerate(video.decoded()):
            # Some files tell the time 0 for every frame.
            is_later = index == 0 or time_ns > last_ns
            at_ns = last_ns = time_ns if is_later else last_ns + round(1e9 / rate_hz)
            pose = None if poses is None else poses.at(at_ns)
            load = partial(_frame, rgb, START_NS + at_ns, camera, pose)
            yield SourceFrame(name=numbered(index), load=load)
            count = index + 1
        if video.count > count:
            notes.append(f"the file says {video.count} frames, and ends after {count}")

    return FrameSource(
        name=path.resolve().stem,
        is_video=True,
        count=video.count if video.count > 0 else None,
        rate_hz=rate_hz,
        frames=frames,
        identity={"video": f"{path.name} {path.stat().st_size}"},
        camera=camera.words,
        notes=notes,
    )


def open_camera(device: int | str, camera: GivenCamera) -> FrameSource:
    """Open a camera of this machine; frames are stamped by a steady clock, from a second on.

    Args:
        device: number, or a path or address that OpenCV opens.
        camera: of the images.

    Raises:
        ConfigError: there is no such camera.
    """
    capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        raise ConfigError(f"camera {device} cannot be opened; on Linux it is /dev/video{device}")
    rate_hz = capture.get(cv2.CAP_PROP_FPS)

    code = cv2.COLOR_BGR2RGB

    def frames() -> Iterator[SourceFrame]:
        start_s = heard_s = time.monotonic()
        try:
            for index in itertools.count():
                while not capture.grab():
                    if time.monotonic() - heard_s > _CAMERA_WAIT_S:
                        return
                    time.sleep(0.01)
                heard_s = time.monotonic()
                is_decoded, bgr = capture.retrieve()
                rgb = np.asarray(cv2.cvtColor(bgr, code), np.uint8) if is_decoded else None
                at_ns = START_NS + round((heard_s - start_s) * 1e9)
                load = partial(_frame, rgb, at_ns, camera, None)
                yield SourceFrame(name=numbered(index), load=load)
        finally:
            capture.release()

    return FrameSource(
        name=f"camera_{device}",
        is_video=True,
        count=None,
        rate_hz=rate_hz if 0.0 < rate_hz <= 1000.0 else USUAL_RATE_HZ,
        frames=frames,
        identity={"camera": str(device)},
        camera=camera.words,
        is_live=True,
    )


def _frame(rgb: RgbImage | None, at_ns: int, camera: GivenCamera, pose: Pose | None) -> Frame:
    if rgb is None:
        raise FrameError("it cannot be decoded: the file is damaged there")
    height, width = rgb.shape[:2]
    return Frame(
        rgb=rgb,
        stamp_ns=at_ns,
        frame_id=FRAME_ID,
        intrinsics=camera.of(width, height),
        T_odom_camera=pose,
    )

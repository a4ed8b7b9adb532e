"""Recordings with known depth, whatever they are stored as."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from mono_depth.camera.poses import Pose
from mono_depth.data import DepthImage, Frame, Intrinsics, Mask, RgbImage
from mono_depth.errors import ConfigError, FrameError
from mono_depth.recordings.input_names import USUAL_INPUTS
from mono_depth.recordings.inputs import with_inputs
from mono_depth.synthetic.arrays import F32, F64

_LOG = logging.getLogger(__name__)
_LOOKED_AT = 8
_FRAME_ID = "camera_optical_frame"


@dataclass(frozen=True, kw_only=True)
class GivenCamera:
    """What a user says of a recording that does not tell it, or tells it wrongly."""

    fx_fy_cx_cy: tuple[float, float, float, float] | None = None  # of its rectified images
    depth_units_per_m: float | None = None  # of depth in whole numbers


@dataclass(frozen=True, kw_only=True)
class SequenceFrame:
    """A rectified image with what is known about it."""

    rgb: RgbImage  # (H, W, 3) uint8
    depth_m: DepthImage  # (H, W) true depth along z, NaN = not known
    intrinsics: Intrinsics
    stamp_ns: int
    T_odom_camera: Pose | None = None  # of the optical frame (REP 103)
    mover_mask: Mask | None = None  # (H, W) belongs to something that moves
    sparse_points_m: F32 | None = None  # (n, 3) in the optical frame
    gravity_camera: F64 | None = None  # (3,) unit vector of gravity in the optical frame
    camera_height_m: float | None = None  # of the optical centre over the ground
    sensor_depth_m: DepthImage | None = None  # (h, w) of a depth camera, with its holes

    def as_camera_frame(self, inputs: Collection[str] = USUAL_INPUTS) -> Frame:
        """Return what a robot knows of it: some of `INPUTS`, and never the true depth."""
        frame = Frame(
            rgb=self.rgb,
            stamp_ns=self.stamp_ns,
            frame_id=_FRAME_ID,
            intrinsics=self.intrinsics,
            T_odom_camera=self.T_odom_camera,
            sparse_points_m=self.sparse_points_m,
            gravity_camera=self.gravity_camera,
            camera_height_m=self.camera_height_m,
            sensor_depth_m=self.sensor_depth_m,
        )
        return with_inputs(frame, inputs)


@dataclass(frozen=True, kw_only=True)
class FrameSequence:
    """Frames of one camera in order of time, read when asked for."""

    name: str
    indices: range  # which frames of the recording
    load: Callable[[int], SequenceFrame]  # reads a frame of the recording

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> SequenceFrame:
        return self.load(self.indices[index])

    def __iter__(self) -> Iterator[SequenceFrame]:
        """Yield the frames that can be read, and say in the log how many cannot.

        Raises:
            FrameError: none can.
        """
        damaged: list[FrameError] = []
        for index in self.indices:
            try:
                frame = self.load(index)
            except FrameError as error:
                damaged.append(error)
            else:
                yield frame
        if damaged and len(damaged) == len(self):
            raise damaged[0]
        if damaged:
            _LOG.warning(
                "%s: %d of %d frames cannot be read, and are left out: %s",
                *(self.name, len(damaged), len(self), damaged[0]),
            )

    def knows_poses(self) -> bool:
        """Tell whether any of a few frames, spread over the recording, has a pose."""
        spread = range(0, len(self), max(1, len(self) // _LOOKED_AT))
        return any(self._has_pose(index) for index in spread)

    def _has_pose(self, index: int) -> bool:
        try:
            return self[index].T_odom_camera is not None
        except FrameError:
            return False

    def thinned(self, every: int = 1, most: int = 0) -> FrameSequence:
        """Return every n-th frame, `most` of them at most; 0 = all."""
        if every < 1 or most < 0:
            raise ConfigError(f"every {every}. frame, {most} at most: expected >= 1 and >= 0")
        chosen = self.indices[::every]
        return FrameSequence(
            name=self.name, indices=chosen[:most] if most else chosen, load=self.load
        )

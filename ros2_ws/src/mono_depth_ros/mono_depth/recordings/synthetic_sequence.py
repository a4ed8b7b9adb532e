"""The synthetic camera as a recording."""

from __future__ import annotations

import re

from mono_depth.errors import ConfigError
from mono_depth.recordings.sequence import FrameSequence, SequenceFrame
from mono_depth.synthetic.camera import SyntheticCamera
from mono_depth.synthetic.frame import SyntheticFrame

_SOURCE = re.compile(r"synthetic:([a-z]+)/([a-z]+)/(\d+)(?:/(\d+)x(\d+))?")
_SIZE = (640, 480)


def open_synthetic(source: str) -> FrameSequence:
    """Open "synthetic:SCENE/TRAJECTORY/SEED" or "synthetic:SCENE/TRAJECTORY/SEED/WxH".

    Raises:
        ConfigError: it is not of that form, or there is no such scene or trajectory.
    """
    found = _SOURCE.fullmatch(source)
    if found is None:
        raise ConfigError(f"{source!r} is not such as synthetic:room/robot/1 or .../1/320x240")
    scene, trajectory, seed, width, height = found.groups()
    size = (int(width), int(height)) if width else _SIZE
    camera = SyntheticCamera(int(seed), scene, trajectory, *size)

    def load(index: int) -> SequenceFrame:
        return as_sequence_frame(camera[index])

    return FrameSequence(
        name=source.removeprefix("synthetic:"), indices=range(len(camera)), load=load
    )


def as_sequence_frame(frame: SyntheticFrame) -> SequenceFrame:
    """Return a rendered frame as one of a recording."""
    return SequenceFrame(
        rgb=frame.rgb,
        depth_m=frame.depth_m,
        intrinsics=frame.intrinsics,
        stamp_ns=frame.stamp_ns,
        T_odom_camera=frame.T_odom_camera,
        mover_mask=frame.mover_mask,
        sparse_points_m=frame.sparse_points_m,
        gravity_camera=-frame.T_odom_camera[2, :3],  # z of odom is up, and 0 on the floor
        camera_height_m=float(frame.T_odom_camera[2, 3]),
    )

"""What a run writes, and what it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mono_depth.errors import ConfigError
from mono_depth.recordings.input_names import INPUTS

FRAME_OUTPUTS = ("png", "npy", "tiff", "exr", "color", "ply", "glb")  # files of each frame
STREAM_OUTPUTS = ("mp4", "mcap", "mesh")  # one of all frames
OUTPUTS = (*FRAME_OUTPUTS, *STREAM_OUTPUTS)
COLORMAPS = ("inferno", "turbo", "magma", "plasma", "viridis", "cividis", "jet", "gray")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """All that decides the files of a run, beside its source and the pipeline."""

    outputs: tuple[str, ...] = ("png", "color")
    inputs: tuple[str, ...] = INPUTS  # what of the source the pipeline is given
    every: int = 1  # take every n-th frame
    most: int = 0  # frames at most, 0 = all
    camera_height_m: float = 0.0  # of frames that do not tell it, 0 = not known
    colormap: str = "inferno"
    near_m: float = 0.0  # range of the colours, 0 = that of the scene
    far_m: float = 0.0
    is_beside: bool = False  # the image is drawn beside the colours
    cloud_stride: int = 1
    cloud_max_m: float = 20.0
    voxel_m: float = 0.0  # of the mesh, 0 = a 60th of cloud_max_m

    def __post_init__(self) -> None:
        unknown = sorted(set(self.outputs) - set(OUTPUTS))
        if unknown or not self.outputs:
            raise ConfigError(
                f"outputs {', '.join(unknown) or 'none'}: expected some of {', '.join(OUTPUTS)}"
            )
        if self.every < 1 or self.most < 0 or self.cloud_stride < 1:
            raise ConfigError("every and stride are at least 1, frames at least 0")
        if self.colormap not in COLORMAPS:
            raise ConfigError(f"colour map {self.colormap!r} is not one of {', '.join(COLORMAPS)}")
        is_range = 0.0 < self.near_m < self.far_m < math.inf
        if (self.near_m or self.far_m) and not is_range:
            raise ConfigError(
                f"colours from {self.near_m:g} m to {self.far_m:g} m, expected 0 < near < far"
            )
        if not 0.0 <= self.camera_height_m < 1000.0 or not self.cloud_max_m > 0.0:
            raise ConfigError("the height of the camera and the reach of clouds are in metres")

    @property
    def streams(self) -> tuple[str, ...]:
        """The outputs that are one file of all frames."""
        return tuple(name for name in STREAM_OUTPUTS if name in self.outputs)

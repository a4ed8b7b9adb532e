"""What every source of frames is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mono_depth.data import Frame, Intrinsics
from mono_depth.errors import ConfigError

FRAME_ID = "camera_optical_frame"  # of images whose file names no frame
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """A frame of a source, read when it is asked for."""

    name: str  # of the files that are made of it
    load: Callable[[], Frame]  # raises FrameError where it cannot be read


@dataclass(frozen=True, kw_only=True)
class FrameSource:
    """Frames in the order of time, or photographs that have nothing to do with one another."""

    name: str
    is_video: bool  # frames follow one another; False = each is for itself
    count: int | None  # of the frames, as far as it is known beforehand; a video may be wrong
    rate_hz: float  # of a video
    frames: Callable[[], Iterator[SourceFrame]]  # from the first one, each time it is called
    identity: dict[str, Any]  # what it is read from: the same for the same frames
    camera: str = ""  # where the intrinsics come from, in words
    notes: list[str] = field(default_factory=list)  # what people should know, found while reading
    is_live: bool = False  # a camera: it does not wait


@dataclass(frozen=True, kw_only=True)
class GivenCamera:
    """What the user tells of a camera, for images that do not tell it."""

    horizontal_fov_deg: float = 0.0  # 0 = not told
    matrix: tuple[float, float, float, float] | None = None  # fx, fy, cx, cy [px]

    def __post_init__(self) -> None:
        if self.horizontal_fov_deg and not 0.0 < self.horizontal_fov_deg < 180.0:
            raise ConfigError(f"field of view {self.horizontal_fov_deg:g}: expected 0 to 180")

    def of(self, width: int, height: int, focal_px: float | None = None) -> Intrinsics:
        """Return the camera of an image; 60 degrees across the longer side where none is told.

        Args:
            width: of the image [px].
            height: of the image [px].
            focal_px: that its file tells, used where the user tells nothing.
        """
        if self.matrix is not None:
            fx, fy, cx, cy = self.matrix
            return Intrinsics(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)
        if self.horizontal_fov_deg:
            return Intrinsics.of_view(width, height, self.horizontal_fov_deg)
        assumed = Intrinsics.assumed(width, height)
        return assumed if focal_px is None else replace(assumed, fx=focal_px, fy=focal_px)

    @property
    def is_assumed(self) -> bool:
        """Tell whether the user tells nothing."""
        return self.matrix is None and not self.horizontal_fov_deg

    @property
    def words(self) -> str:
        """Where the intrinsics come from."""
        if self.matrix is not None:
            return "given"
        if self.horizontal_fov_deg:
            return f"given field of view of {self.horizontal_fov_deg:g} degrees"
        return "assumed field of view of 60 degrees across the longer side"


def numbered(index: int) -> str:
    """Return the name of the n-th frame of a stream."""
    return f"{index:0{_DIGITS}d}"
